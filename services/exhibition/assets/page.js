"use strict";
// Fills the page from the facts it carries. Everything that a run can name is written as text, never as HTML.
(() => {
  const $ = (id) => document.getElementById(id);
  const live = document.documentElement.hasAttribute("data-live");
  let facts = JSON.parse($("facts").textContent);
  const state = { mask: null, view: null, frames: [], plots: [], playing: 0, failed: null };

  const { el, fill, p, quiet, strong, named, whole, finite, signed, fitness, many, percent, listed, unique, share, rated } = Text;

  // -- the stage

  function stage() {
    const asked = facts.asked;
    $("aim").textContent = { identity: "Evolved toward one face", several: "Evolved toward several faces at once" }[asked.aim] || "Evolved toward any face at all";
    stands();
    for (const id of ["received", "lineage", "sure"]) $(id).hidden = !facts.masks.length;
    fit($("title"));
    if (!facts.masks.length) {
      $("mask-name").textContent = "No mask yet";
      $("mask-facts").textContent = "Masks appear with the first checkpoint.";
      return;
    }
    open3d();
    gallery();
    const wanted = decodeURIComponent(location.hash.slice(1));
    const kept = facts.masks.find((m) => m.id === (state.mask ? state.mask.id : wanted));
    choose(kept || facts.masks[0], false);
  }

  /** How far the run is; the same words are not said again. */
  function stands() {
    const grown = `on ${many(facts.asked.islands, "island")}, ${many(facts.masks_scored, "mask")} seen`;
    const words = facts.state === "done"
      ? `${many(facts.generations, "generation")} ${grown}.`
      : `Still growing: generation ${facts.generation} of ${facts.generations} ${grown} so far.`;
    const refused = facts.refusal ? ` The coordinator has refused to go on: ${facts.refusal}` : "";
    if ($("state").textContent !== words + refused) $("state").textContent = words + refused;
  }

  /** A title in one line, smaller where it is long; only one that is far too long is broken. */
  function fit(title) {
    title.style.fontSize = "";
    const usual = parseFloat(getComputedStyle(title).fontSize);
    for (let size = usual; title.scrollWidth > title.clientWidth && size > 20; size *= 0.92) title.style.fontSize = `${size}px`;
    title.classList.toggle("long", title.scrollWidth > title.clientWidth);
  }

  function open3d() {
    if (state.view || state.failed || !facts.mesh) return;
    try {
      state.view = new Viewer.View($("viewer"), facts.mesh);
    } catch (error) {
      state.failed = error;
      $("viewer").hidden = true;
      $("no-view").hidden = false;
      $("still").hidden = false;
      document.querySelector(".controls").hidden = true;
      return;
    }
    $("reset").addEventListener("click", () => state.view.front());
    $("turn").addEventListener("click", () => {
      const on = $("turn").getAttribute("aria-pressed") !== "true";
      $("turn").setAttribute("aria-pressed", String(on));
      state.view.turning(on);
    });
    $("surface").addEventListener("change", dress);
    $("moment").addEventListener("input", () => { halt(); moment(Number($("moment").value)); });
    $("play").addEventListener("click", () => (state.playing ? halt() : play()));
  }

  function gallery() {
    fill("gallery", facts.masks.map((mask) => {
      const picture = el("img", { alt: "", loading: "lazy", width: 160, height: 160 });
      if (mask.front) picture.src = mask.front;
      else picture.hidden = true;
      const button = el("button", { type: "button", "data-mask": mask.id }, picture, named(mask.id), el("span", {}, fitness(mask)));
      button.addEventListener("click", () => choose(mask, true));
      return button;
    }));
  }

  function choose(mask, byHand) {
    state.mask = mask;
    for (const button of $("gallery").children) button.setAttribute("aria-pressed", String(button.dataset.mask === mask.id));
    itself(mask);
    if (state.failed && mask.front) { $("still").src = mask.front; $("still").alt = `Mask ${mask.id} from the front`; }
    surfaces(mask);
    story(mask);
    if (state.view && mask.mesh) dress();
    received(mask);
    lineage(mask);
    if (byHand) history.replaceState(null, "", `#${encodeURIComponent(mask.id)}`);
  }

  /** What stands beside the mask in the view. */
  function caption(id, words, spoken) {
    $("mask-name").textContent = id;
    $("mask-facts").textContent = words.join(" · ");
    $("viewer").setAttribute("aria-label", `Mask ${id}, ${spoken}`);
  }

  function itself(mask) {
    const values = facts.objectives.map((label) => `${label} ${signed(mask.values[label])}`);
    const folded = finite(mask.flipped) ? [`${percent(mask.flipped)} of its surface folded over`] : [];
    caption(mask.id, [fitness(mask), ...values, ...folded], `island ${mask.island}, generation ${mask.generation}`);
  }

  function surfaces(mask) {
    const kept = $("surface").value;
    const options = [["nylon", "White nylon"], ["plaster", "Plaster"], ["mirror", "Mirror"]];
    if (mask.colors) options.unshift(["color", "Its own colors"]);
    for (const model of Object.keys(mask.gaze || {})) options.push([`gaze:${model}`, `Gaze of ${model}`]);
    fill("surface", options.map(([value, name]) => el("option", { value }, name)));
    if (options.some(([value]) => value === kept)) $("surface").value = kept;
  }

  function dress() {
    const mask = state.mask, kind = $("surface").value;
    const gazed = kind.startsWith("gaze:") ? kind.slice(5) : null;
    halt();
    itself(mask);
    state.view.show(mask.mesh, gazed !== null ? mask.gaze[gazed] : kind === "color" ? mask.colors : null);
    state.view.surface(kind);
    legend(mask, gazed);
    if (!$("time").hidden) { $("moment").value = $("moment").max; told(Number($("moment").max)); }
  }

  /** What the colors of a gaze map mean. */
  function legend(mask, model) {
    $("legend").hidden = model === null;
    if (model === null) return fill("legend");
    const g = (mask.gazed || {})[model] || {};
    const ends = finite(g.reach) ? [`costs it ${g.reach.toFixed(2)}`, `gains it ${g.reach.toFixed(2)}`] : ["costs it score", "gains it score"];
    const how = g.method === "gradient" ? "by gradients" : "covering one patch of the surface after the other";
    fill("legend",
      el("p", { class: "name" }, `Where ${model} looks`),
      el("p", { class: "scale quiet" }, ends[1], el("span", { class: "gaze-ramp", "aria-hidden": "true" }), ends[0]),
      quiet("Red: without this place the machine’s score falls. Blue: it rises."),
      finite(g.views) ? quiet(`Mean of ${many(g.views, "held-out view")}, ${how}.${g.mirrored ? " The mask is symmetric: left and right are averaged." : ""}`) : null,
      g.deletion ? quiet(`Check: covering the reddest tenth costs ${g.deletion.top.toFixed(2)}, a random tenth ${(g.deletion.random.reduce((a, b) => a + b, 0) / g.deletion.random.length).toFixed(2)}.`) : null);
  }

  // -- from noise to face, in the same view

  /** A mask’s shape, where the page carries it. */
  function shape(id) {
    const own = facts.masks.find((m) => m.id === id);
    return own ? own.mesh : facts.shapes[id];
  }

  /** The masks that lead to this one: of the best the film’s moments, of others their own line. */
  function moments(mask) {
    const film = facts.story;
    const line = film.length > 1 && film[film.length - 1].id === mask.id ? film : (mask.lineage || []).filter((n) => n.trunk).reverse();
    return line.filter((moment) => shape(moment.id));
  }

  function story(mask) {
    state.moments = moments(mask);
    $("time").hidden = !(state.view && mask.mesh && state.moments.length > 1 && state.moments[state.moments.length - 1].id === mask.id);
    if ($("time").hidden) return;
    state.frames = state.moments.map((entry) => Viewer.places(shape(entry.id)));
    $("moment").max = String(state.moments.length - 1);
    $("moment").value = $("moment").max;
    told(state.moments.length - 1);
  }

  function moment(at) {
    if (at >= state.moments.length - 1) return dress();
    $("legend").hidden = true;
    itself(state.mask);
    state.view.between(state.frames, at);
    told(at);
  }

  function told(at) {
    const nearest = state.moments[Math.round(at)];
    const exact = Math.abs(at - Math.round(at)) < 0.02;
    const number = nearest.id === state.mask.id ? fitness(state.mask) : `${signed(nearest.fitness)} on its own views`;
    $("moment-name").textContent = `generation ${nearest.generation}, ${exact ? number : "on the way"}${exact && (nearest.seen || []).length ? `, first face for ${listed(nearest.seen)}` : ""}`;
  }

  function play() {
    const last = state.frames.length - 1;
    const start = Number($("moment").value) >= last ? 0 : Number($("moment").value);
    const began = performance.now();
    $("play").setAttribute("aria-pressed", "true");
    const step = (now) => {
      const at = Math.min(last, start + ((now - began) / 1000) * 1.5);
      $("moment").value = String(at);
      if (at < last) {
        moment(at);
        state.playing = requestAnimationFrame(step);
      } else dress();
    };
    state.playing = requestAnimationFrame(step);
  }

  function halt() {
    if (state.playing) cancelAnimationFrame(state.playing);
    state.playing = 0;
    $("play").setAttribute("aria-pressed", "false");
  }

  // -- the best elite beside what no search has made

  const called = (row) => (row.machine !== "audit" ? row.machine : row.what === "match" ? "dlib’s own pipeline (recognizer)" : "dlib’s own pipeline (HOG)");
  const role = (side) => (side === "fitted" ? "judge" : side);
  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(Math.round(value * 100))}`;
  const ahead = (m) => [strong(`${points(m.share)} points`), " ", el("span", { class: "id" }, `(${points(m.low)} to ${points(m.high)})`)];

  function against() {
    const c = facts.controls;
    $("against").hidden = !facts.masks.length;
    $("against-rates").hidden = $("against-words").hidden = !c;
    if (!c) {
      $("against-lead").textContent = facts.state === "done"
        ? "There are no controls in this run: no machine was asked about noise under the elites’ views. datamask verify asks."
        : "There are no controls in this run yet: machines are asked about noise, too, when it ends.";
      return;
    }
    const kinds = Object.keys(c.subjects), [main] = kinds;
    const name = (kind) => ({ noise: "noise", first: "the best mask of generation 0" })[kind] || `the ${c.subjects[kind]}`;
    const asks = { detect: "sees a face", correlate: "sees its reference", match: c.question === "target" ? "takes for the person" : "takes two views for one person" };
    // Machines that took no part speak first: the others are what the elite was bred for.
    const order = ["critic", "audit", "fitted"];
    const rows = [...c.rows].sort((a, b) => order.indexOf(a.side) - order.indexOf(b.side));
    const lead = rows.find((row) => row.what === "detect") || rows[0];
    fill("against-lead", strong(called(lead)), lead.side === "critic" ? ", which took no part in the search, " : " ", `${asks[lead.what]} in `, strong(share(lead.elite)), ` of ${many(lead.elite.trials, "held-out view")} of the best mask; in `,
      ...kinds.filter((kind) => lead[kind]).flatMap((kind, k, all) => [k ? (k === all.length - 1 ? " and in " : ", in ") : "", strong(share(lead[kind])), ` of ${name(kind)}`]),
      ".", ...(lead[main] ? [` Elite against ${name(main)}: `, ...ahead(lead[main].more), "."] : []));
    const heads = ["machine", "question", c.elite, ...kinds.map((kind) => c.subjects[kind]), `elite against ${name(main)}`];
    fill("against-rates", el("table", {}, el("caption", {}, `Share of held-out views, with 95% intervals; asked by ${c.by}`),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, whole(String(head)))))),
      el("tbody", {}, rows.map((row) => el("tr", {},
        el("th", { scope: "row" }, row.side === row.machine ? called(row) : `${row.machine} (${role(row.side)})`),
        el("td", {}, [asks[row.what] || String(row.what), row.threshold].filter(Boolean).join(", ")), el("td", { class: row[main] && row[main].more.low > 0 ? "yes" : null }, rated(row.elite)),
        kinds.map((kind) => el("td", {}, rated(row[kind]))), el("td", {}, row[main] ? ahead(row[main].more) : "–"))))));
    $("against-words").textContent = `Every control was shown to the same machines under the elite’s own held-out views${c.subjects.noise ? "; of noise, each view or two show another mask" : ""}. The intervals are over views: Wilson’s for the rate of one mask, Newcombe’s for a difference. They say how sure these rates are, not how another run would end. Gold: more than ${name(main)}, beyond the interval.`;
  }

  // -- words

  /** What was asked of machines: each kind of question once, with all machines that it was put to. */
  function questions() {
    const kinds = unique(facts.asked.objectives.map((o) => o.kind));
    return kinds.map((kind) => {
      const own = facts.asked.objectives.filter((o) => o.kind === kind), models = unique(own.map((o) => o.model));
      return { models, asks: own[0].asks[models.length === 1 ? 0 : 1] };
    });
  }

  function asked() {
    const a = facts.asked;
    const start = a.start !== "noise" ? (a.face ? a.zero : `${a.zero}: ${a.title}, which has no face`) : a.face ? "noise: random weights on a human head, smeared and folded" : `noise: random waves on ${a.title}, which has no face`;
    const weights = a.objectives.map((o) => o.weight), even = weights.every((w) => w === weights[0]);
    const capped = a.objectives.filter((o) => o.saturate < 1);
    const of = a.objectives.length === 1 ? `its margin: how far ${a.objectives[0].label} is beyond its threshold` : even ? "the mean of the machines’ margins, each of which says how far beyond its threshold a machine is" : `the mean of the machines’ margins (how far beyond its threshold a machine is), weighted ${listed(a.objectives.map((o) => `${o.label} ${o.weight}`))}`;
    fill("asked",
      p("Can masks be bred until ", questions().flatMap((q, k, all) => [k ? (k === all.length - 1 ? " and " : ", ") : "", strong(listed(q.models)), ` ${q.asks}`]), "?"),
      p("The search began with ", start, ". ", strong(many(a.islands, "island")), " of ", strong(many(a.population, "mask")), `${a.islands === 1 ? "" : " each"}, bred by `, listed(a.optimizers), "; every mask was rendered from ", strong(many(a.views, "side")), " under changing light, and scored."),
      p(`A mask’s fitness is ${of}. Zero is the threshold. ${capped.length ? `Of what lies above it only a part counts, so that one machine’s contentment does not pay for another’s refusal: ${listed(capped.map((o) => `${o.saturate} of ${o.label}’s`))}.` : ""}`));
  }

  function came() {
    if (!facts.masks.length) return fill("came", p("Nothing yet."));
    const best = facts.masks[0], unranked = best.ranked === false, ranking = `${many(facts.asked.ranking_views, "view")}, the same for every mask`;
    const which = facts.chosen ? (facts.masks.length > 1 ? "first mask shown" : "mask shown") : "best mask";
    const words = [p("After ", strong(many(facts.generation, "generation")), `, the ${which} is `, strong(best.id), ". Masks are ranked on ", ranking, unranked ? "; this one never was, and its fitness on its own views is " : ", and there its fitness is ", strong(signed(best.fitness)), ": ",
      ...facts.objectives.flatMap((label, k) => [k ? (k === facts.objectives.length - 1 ? " and " : ", ") : "", `${label} `, strong(signed(best.values[label]))]), ". Wherever this page says fitness and no more, it is on the ranking views; a generation’s own views differ from one generation to the next, and what masks got on them is called so.")];
    const scored = facts.views_scored - (facts.views_ranked || 0);
    words.push(p(strong(many(facts.views_scored, "rendered view")), facts.views_ranked === null ? " were scored in the generations; those that ranked masks were not counted by the version that made this run." : ` were scored: ${scored.toLocaleString("en")} in the generations and ${facts.views_ranked.toLocaleString("en")} to rank masks.`));
    if (facts.controls && (!facts.chosen || best.id === facts.controls.elite)) words.push(p("What machines say of it on views that the search never used, and of noise on the same ones, stands above."));
    else if (best.audit) {
      const yes = (rate) => strong(Math.round(rate * best.audit.views));
      const critics = Object.entries(best.audit.critics || {});
      words.push(p("Of ", strong(many(best.audit.views, "view")), " that played no part in the search, dlib’s own pipeline sees a face in ", yes(best.audit.hog_rate), critics.flatMap(([name, rate], k) => [k === critics.length - 1 ? " and " : ", ", `${name}, which never scored it before, in `, yes(rate)]), "."));
    }
    fill("came", words);
  }

  // -- what the machine received

  function received(mask) {
    const views = mask.received || [];
    $("received-lead").textContent = views.length
      ? `Mask ${mask.id}, in the very pixels that were scored, from views that the search never used${views.length > 2 ? ": the one that HOG likes most, one in the middle, the one it likes least" : ""}.`
      : `No machine’s picture of mask ${mask.id} is kept in this record.`;
    fill("views", views.map(seen));
    scores(mask);
  }

  function seen(view, k) {
    const where = `yaw ${signed(view.yaw_deg, 0)}°, pitch ${signed(view.pitch_deg, 0)}°`;
    const points = Charts.svg("svg", { viewBox: `0 0 ${view.size_px} ${view.size_px}`, "aria-hidden": "true" });
    if (view.box_px) {
      const [l, t, r, b] = view.box_px;
      points.append(Charts.svg("rect", { x: l, y: t, width: r - l, height: b - t, fill: "none", stroke: "#deb86e", "stroke-width": 1 }));
    }
    for (const [x, y] of view.own_points_px || []) points.append(Charts.svg("path", { d: `M${x - 2.5} ${y}H${x + 2.5}M${x} ${y - 2.5}V${y + 2.5}`, stroke: "#9fd0ff", "stroke-width": 0.9 }));
    for (const [x, y] of view.points_px || []) points.append(Charts.svg("circle", { cx: x, cy: y, r: 2.1, fill: "none", stroke: "#deb86e", "stroke-width": 1 }));
    const own = (view.own_points_px || []).length > 0;
    const found = view.box_px ? `gold: dlib’s box and the five points by which a recognizer straightens the face${own ? "; blue: the same places on the mask itself" : ""}` : `dlib finds no face here${own ? "; blue: where the mask’s own eyes and nose are" : ""}`;
    return el("article", { class: "seen" },
      el("h3", {}, `${view.why}: ${where}`),
      el("figure", {}, el("img", { src: view.pixels, alt: `The picture as it was scored, ${where}` }), el("figcaption", {}, `${view.size_px} × ${view.size_px} pixels, exactly as scored`)),
      el("figure", {}, el("div", { class: "overlay" }, el("img", { src: view.pixels, alt: "" }), points), el("figcaption", {}, found)),
      el("figure", {}, el("img", { src: view.hog, alt: `The gradients that HOG keeps of it, ${where}` }), el("figcaption", {}, "what HOG keeps: strokes along edges, no light, no skin")),
      el("figure", { class: "scores" }, view.scores.map(meter)),
      view.embedding ? el("figure", { class: "strip" }, el("img", { src: view.embedding, alt: "The 128 numbers of the embedding as a strip" }), el("figcaption", {}, "what the recognizer keeps: 128 numbers, gold above zero, blue below")) : null);
  }

  /** One machine's score against its threshold, on a line from the worst to the best that matters. */
  function meter(score) {
    const range = score.lower_is_better ? [1.2, 0] : [-1.5, 2];
    const at = (value) => 100 * Math.min(1, Math.max(0, (value - range[0]) / (range[1] - range[0])));
    const yes = score.value !== null && (score.lower_is_better ? score.value < score.threshold : score.value > score.threshold);
    const line = Charts.svg("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" },
      Charts.svg("path", { d: "M0 7H100", stroke: "#34363a", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }),
      Charts.svg("path", { d: `M${at(score.threshold)} 1V13`, stroke: "#dcdad5", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }));
    if (score.value !== null) line.append(Charts.svg("path", { d: `M${at(score.threshold)} 7H${at(score.value)}`, stroke: yes ? "#deb86e" : "#8f939b", "stroke-width": 5, "vector-effect": "non-scaling-stroke" }));
    const unit = score.lower_is_better ? "distance" : "score";
    const value = score.value === null ? "none" : score.lower_is_better ? score.value.toFixed(2) : signed(score.value);
    return el("div", { class: "meter" }, el("span", {}, score.machine),
      el("span", { class: yes ? "value yes" : "value" }, value), line,
      el("span", { class: "quiet" }, `${unit}; threshold ${score.threshold}: ${yes ? "yes" : "no"}`));
  }

  function scores(mask) {
    const audit = mask.audit;
    if (!audit || !Array.isArray(audit.per_view) || !audit.per_view.length) return fill("scores", el("p", { class: "quiet" }, "No held-out views are recorded for this mask."));
    const critics = Object.keys(audit.critics || {});
    const distances = audit.per_view.some((v) => finite(v.distance));
    const head = ["view", "yaw", "pitch", "dlib HOG", ...(distances ? ["distance"] : []), ...critics];
    const rows = audit.per_view.map((view, k) => el("tr", {},
      el("th", { scope: "row" }, String(k + 1)), el("td", { class: "number" }, signed(view.yaw_deg, 0)), el("td", { class: "number" }, signed(view.pitch_deg, 0)),
      el("td", { class: view.detected ? "number yes" : "number no" }, view.detected ? signed(view.hog_score) : "no face"),
      ...(distances ? [el("td", { class: "number" }, finite(view.distance) ? view.distance.toFixed(2) : "–")] : []),
      ...critics.map((name) => el("td", { class: view.critics[name] ? "yes" : "no" }, view.critics[name] ? "face" : "no face"))));
    fill("scores", el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores on held-out views" },
      el("table", {}, el("caption", {}, `${many(audit.views, "held-out view")} of ${mask.id}; degrees; HOG’s score above its threshold 0`),
        el("thead", {}, el("tr", {}, head.map((name, k) => el("th", { scope: "col", class: k > 0 && k < head.length - critics.length ? "number" : null }, name)))), el("tbody", {}, rows))));
  }

  // -- lineage

  function lineage(mask) {
    const nodes = mask.lineage || [];
    const drawn = nodes.some((n) => n.edge === "drawn");
    $("lineage-lead").textContent = nodes.length < 2 ? "No ancestors are recorded." : `${drawn
      ? "CMA breeds no children: it draws masks from a distribution, and every generation moves that distribution. So the fittest mask of a generation stands in for it (dashed). Masks that came from other islands join from below."
      : "Who was bred from whom, back to noise. The main line follows the fitter parent; the other parent stands below."} Numbers are what a mask got on its own generation’s views. Choose a picture to see who it is.`;
    fill("ancestor");
    if (nodes.length < 2) return fill("tree");
    fill("tree", Lineage.tree(mask, nodes, facts.thumbs || {}, (node) => ancestor(mask, node)));
    $("tree").scrollLeft = $("tree").scrollWidth;
  }

  function ancestor(mask, node) {
    press("tree", "ancestor", node.id);
    const words = [node.id === mask.id ? fitness(mask) : `${signed(node.fitness)} on its own generation’s views`, `island ${node.island}, generation ${node.generation}`, node.noise ? "noise" : Lineage.words(mask, node)];
    fill("ancestor", ...portrait(node.id, words), onStage(node.id, words));
  }

  /** A button that shows a mask and its words in the 3D view, where its shape is at hand. */
  function onStage(id, words) {
    const other = facts.masks.find((m) => m.id === id);
    if (!state.view || !shape(id)) return null;
    const button = el("button", { type: "button" }, "Show it in 3D above");
    button.addEventListener("click", () => {
      if (other) choose(other, true);
      else {
        halt();
        $("legend").hidden = true;
        state.view.show(shape(id), null);
        caption(id, words, words.join(", "));
        const at = state.moments.findIndex((moment) => moment.id === id);
        if (!$("time").hidden && at >= 0) { $("moment").value = String(at); told(at); }
      }
      $("masks").scrollIntoView();
    });
    return el("p", {}, button);
  }

  // -- evolution

  function evolution() {
    const curves = facts.curves;
    if (!curves.best.length || !curves.best[0].length) return fill("charts", el("p", { class: "quiet" }, "The curves begin with the first checkpoint."));
    const ranked = curves.ranked;
    $("evolution-lead").textContent = `${ranked ? `Lines: the best mask that each island has had so far, on the run’s ${many(facts.asked.ranking_views, "ranking view")}, which stay the same. Dots: the best mask of every generation on that generation’s own views, some of which are easier than others` : "The best mask of every generation on that generation’s own views, one color an island; some views are easier than others, and this record holds no rankings to draw a line from"}. Zero is the machine’s own threshold; above it the machine says yes.`;
    const wanted = [["Fitness", curves.best, ranked && ranked.best], ...facts.objectives.map((label) => [label, curves.values[label], ranked && ranked.values[label]])];
    const islands = curves.best.length;
    const data = wanted.map(([, own, lines]) => Charts.data(own, ranked && ranked.generations, lines));
    if (state.plots.length === wanted.length && state.plots[0].series.length === data[0].length) {
      data.forEach((rows, k) => state.plots[k].setData(rows));
    } else {
      fill("charts");
      state.plots = wanted.map(([title], k) => {
        const figure = el("figure", { class: k ? null : "first", "aria-label": `${title}, best masks by island and generation` }, el("figcaption", {}, title));
        $("charts").append(figure);
        return Charts.lines(figure, data[k], islands, k ? 200 : 300);
      });
    }
    migration();
    const drawn = data[0], shown = (row, g) => el("td", { class: "number" }, signed(row[g]));
    fill("numbers", el("table", {}, el("caption", {}, `Fitness of each island: its generation’s best on its own views${ranked ? "; the best so far on the ranking views" : ""}`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "generation"), curves.best.flatMap((_, k) => [el("th", { scope: "col", class: "number" }, `island ${k}`), ranked ? el("th", { scope: "col", class: "number" }, `island ${k}, ranked`) : null]))),
      el("tbody", {}, drawn[0].filter((g) => g % Math.ceil(drawn[0].length / 50) === 0 || g === drawn[0].length - 1)
        .map((g) => el("tr", {}, el("th", { scope: "row" }, String(g)), curves.best.flatMap((_, k) => [shown(drawn[1 + k], g), ranked ? shown(drawn[1 + islands + k], g) : null]))))));
  }

  function migration() {
    const m = facts.migration;
    $("migration-lead").textContent = m.moves.length
      ? `Topology ${m.topology}, every ${many(m.every, "generation")}: copies of the best masks go to the next island and are bred there. Each curve is one that was let in.`
      : m.topology === "none" || facts.asked.islands < 2 ? "The islands of this run never met." : "No mask has moved yet.";
    fill("migration", m.moves.length ? Charts.migration(facts) : null);
    $("migration").hidden = !m.moves.length;
  }

  // -- masks of every kind

  function archive() {
    const a = facts.archive;
    $("archive").hidden = $("archive-link").hidden = !a;
    if (!a) return;
    const [x, y] = a.measures;
    const others = a.measures.slice(2).map((m) => m.name);
    $("archive-lead").textContent = `One mask for each kind: ${a.filled} of ${many(a.cells, "cell")} ${a.filled === 1 ? "is" : "are"} filled, ${a.accepted} of them with ${a.accepted === 1 ? "a mask" : "masks"} that every machine of the search accepts (gold frame). Across: ${x.name}${y ? `; up: ${y.name}` : ""}${others.length ? `; of cells that differ in ${listed(others)} only, the best is shown` : ""}${a.filled_in_sight > a.masks.length ? `; shown are the ${a.masks.length} best of ${a.filled_in_sight}` : ""}. QD score ${a.qd_score.toFixed(1)}. Choose a cell to see its mask.`;
    fill("kinds", Kinds.table(a, facts.thumbs || {}, kind));
    if (a.masks.length) kind(a.masks.find((m) => m.id === state.kind) || a.masks[0]);
  }

  function kind(mask) {
    state.kind = mask.id;
    const values = facts.objectives.map((label) => `${label} ${signed(mask.values[label])}`);
    const numbers = facts.archive.measures.map((m, k) => `${m.name} ${finite(mask.measures[k]) ? mask.measures[k].toFixed(m.unit ? 1 : 2) : "–"}${m.unit ? ` ${m.unit}` : ""}`);
    introduce(mask, "kinds", "kind", [`fitness ${signed(mask.fitness)} on its own generation’s views`, values.join(" · "), numbers.join(" · ")]);
  }

  /** Press the button of a mask in a table or plot. */
  function press(plot, what, id) {
    for (const button of $(plot).querySelectorAll(`[data-${what}]`)) button.setAttribute("aria-pressed", String(button.dataset[what] === id));
  }

  /** A mask’s small picture, its id and words on it. */
  function portrait(id, words) {
    const thumb = facts.thumbs && facts.thumbs[id];
    return [thumb ? el("img", { src: thumb, alt: `Mask ${id}`, width: 160, height: 160 }) : null, el("p", { class: "name" }, named(id)), ...words.map((line) => quiet(line))];
  }

  /** Press a mask’s button in a plot, and show at `place` who it is. */
  function introduce(mask, plot, place, words) {
    press(plot, plot === "kinds" ? "kind" : "mask", mask.id);
    const told = [mask.accepted ? "accepted by every machine of the search" : "not accepted by every machine of the search", ...words];
    fill(place, ...portrait(mask.id, told), onStage(mask.id, told));
  }

  // -- masks that nobody beats in everything

  function trade() {
    const f = facts.front;
    $("front").hidden = $("front-link").hidden = !f || !f.masks.length;
    if (!f || !f.masks.length) return;
    const names = f.aims.map((a) => a.name);
    $("front-lead").textContent = `The aims of this run pull apart: ${listed(names)}. ${many(f.count, "mask")} ${f.count === 1 ? "is" : "are"} beaten by no other in all of them at once; ${f.masks.length < f.count ? `${f.masks.length} of these are` : "they are"} the large dots, gold where every machine of the search accepts. Small dots are other masks of the run. All numbers are from the views of a mask’s own generation.`;
    fill("front-plot", Charts.front(f, along));
    fill("front-mask", quiet("Choose a large dot to see its mask."));
  }

  function along(mask) {
    const told = facts.front.aims.map((a, k) => `${a.name} ${finite(mask.aims[k]) ? mask.aims[k].toFixed(2) : "–"}${a.unit ? ` ${a.unit}` : ""}`);
    introduce(mask, "front-plot", "front-mask", told);
  }

  // -- how sure

  function sure() {
    const models = facts.manifest.models || {}, stated = facts.manifest.objectives || [];
    const words = [p("A detector ", strong("accepts"), " a view if its score is above its threshold and the detection lies over the mask. A recognizer accepts if the distance is below its threshold. ",
      ...facts.asked.objectives.map((o, k) => {
        if (!models[o.model]) return null;
        const { threshold, threshold_source: source } = models[o.model], own = (stated[k] || { threshold }).threshold;
        return `${o.label}: ${own} (${own === threshold ? source : `stated for this run; published: ${threshold}, ${source}`}). `;
      }))];
    const audited = facts.masks.filter((mask) => mask.audit);
    if (audited.length) words.push(p("The table asks on views that the search never used. Judges are what the masks were bred for. dlib’s own pipeline has the weights of judges of its name, so it checks our code: an audit. A critic took no part at all, so it checks the claim. The intervals are 95% (Wilson): with so few views, that is how sure we can be."));
    else words.push(p("These masks have not been checked on held-out views yet."));
    const v = facts.verification;
    const verified = v && Array.isArray(v.rows);
    if (verified) {
      const controls = [...new Set(v.rows.filter((row) => row.kind !== "elite").map((row) => String(row.subject)))];
      words.push(p("This run was verified on ", strong(v.views), ` held-out ${v.views === 1 ? "view" : "views"}, beside controls: `, listed(controls), ". ", String(v.note || "")));
      const calibrated = Object.entries(v.calibration || {}).filter(([, c]) => c.pairs);
      for (const [name, c] of calibrated) words.push(p(`${name} was calibrated on ${c.pairs}: `, listed(c.cuts.map((cut) => `${cut.name} at ${Number(cut.threshold).toFixed(3)}`)), "."));
      const gap = v.gap && v.gap.detect;
      if (gap && finite(gap.gap)) words.push(p("Machines that the masks were bred for see a face in ", strong(percent(gap.fitted)), " of views, critics in ", strong(percent(gap.critic)), "."));
      for (const warning of v.warnings || []) words.push(p(String(warning)));
    }
    words.push(p(verified && Object.values(v.calibration || {}).some((c) => c.pairs) ? "" : "Thresholds read off photographs do not hold for renders. This run was not calibrated against rendered impostors, so no rate of false alarms is stated."));
    words.push(p("A mask on a screen is not a presentation attack in the sense of ISO/IEC 30107-3: nobody has held it before a camera."));
    fill("sure-words", words.filter((w) => w.textContent));
    fill("verification", verified ? matrices(Matrix.ofVerification(v.rows), v.question, `${many(v.views, "held-out view")}, asked by datamask verify`) : null);
    const atEnd = audited.length ? matrices(Matrix.ofAudit(audited, facts.audit && facts.audit.controls), "itself", `${many(audited[0].audit.views, "held-out view")}, asked by datamask evolve when the run ended`) : null;
    // One table of an answer is enough at a time; the other one’s views are others, and so are its rates.
    fill("verdicts", verified && atEnd ? el("details", {}, el("summary", {}, "The same at the run’s end, on other views"), atEnd) : atEnd);
    $("verification").hidden = !verified;
  }

  /** A matrix for each question that machines answered. */
  function matrices(cells, question, asked) {
    const asks = { detect: "sees a face", correlate: "sees its reference", match: question === "target" ? "takes it for the person" : "takes two views for one person" };
    return unique(cells.map((cell) => cell.what)).map((what) => {
      const own = cells.filter((cell) => cell.what === what), verb = asks[what] || String(what);
      return Matrix.table(own, `How often each machine ${verb}: ${asked}`, verb);
    });
  }

  // -- provenance and files

  function provenance() {
    const m = facts.manifest, consent = m.consent;
    const words = [];
    if (consent) {
      words.push(p(strong("Whose face: "), listed(consent.subject || ""), ". ", strong("Granted by: "), listed(consent.granted_by || ""), ". ", strong("For: "), consent.purpose || "", "."));
      words.push(p("Consent covers ", listed(consent.covers || []), consent.expires ? `, until ${consent.expires}.` : "."));
      if (!(consent.covers || []).includes("exhibit")) words.push(p(strong("It does not cover showing."), " Ask before this page leaves the studio."));
      words.push(p(`The ${many((m.photos_sha256 || []).length, "photograph")} stayed where ${(m.photos_sha256 || []).length === 1 ? "it was" : "they were"}; the run keeps embeddings only.`));
    } else words.push(p("No person’s face was used as a goal, so no consent is on record. The detectors themselves were trained on photographs of people who, as far as is known, were not asked."));
    fill("consent", words);
    const entries = Object.entries(m.models || {}).map(([name, info]) => el("div", { class: "card" },
      el("div", {}, el("strong", {}, name), el("div", { class: "quiet" }, listed(info.roles || []) || "audit")),
      el("div", {}, String(info.licence || "")), el("div", { class: "quiet" }, String(info.training_data || "")),
      el("div", { class: "quiet" }, `sha256 ${String(info.sha256 || "").slice(0, 16)}`)));
    if (m.basis) entries.push(el("div", { class: "card" }, el("div", {}, el("strong", {}, m.basis.id), el("div", { class: "quiet" }, `${facts.asked.title}, which masks are made of`)), el("div", {}, String(m.basis.licence || "")), el("div", { class: "quiet" }, String(m.basis.source || "")), el("div", { class: "quiet" }, `sha256 ${String(m.basis.sha256 || "").slice(0, 16)}`)));
    fill("models", entries);
    const versions = Object.entries(facts.versions).map(([name, version]) => `${name} ${version}`);
    fill("versions", p(`Seed ${facts.seed}. `, m.started ? `Started ${m.started}. ` : "", versions.join(", ")));
  }

  function files() {
    fill("downloads", Files.lists(facts.files, !live));
    $("files").hidden = !facts.files.length;
  }

  function film() {
    $("film").hidden = !facts.film;
    if (facts.film && !$("film-video").src) {
      const raw = Viewer.bytes(facts.film.data);
      $("film-video").src = `data:video/mp4;base64,${facts.film.data}`;
      $("film-video").setAttribute("aria-label", `Film, ${Math.round(raw.length / 1024)} kilobytes: from noise to a face`);
      const poster = facts.film.poster || (facts.masks.length ? facts.masks[0].front : null);
      if (poster) $("film-video").poster = poster;
    }
  }

  function render() {
    for (const part of [stage, against, asked, came, film, archive, trade, evolution, sure, provenance, files]) part();
  }

  async function follow() {
    let tag = null;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 3000));
      try {
        const answer = await fetch("data.json", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
        stands(); // what a silence before said is over
        if (answer.status !== 200) continue;
        tag = answer.headers.get("ETag");
        facts = await answer.json();
        const scroll = window.scrollY;
        render();
        window.scrollTo({ top: scroll, behavior: "instant" });
        window.datamask.facts = facts;
        window.datamask.refreshed += 1;
      } catch (error) {
        $("state").textContent = "The run’s server does not answer; this is what it last said.";
      }
    }
  }

  window.datamask = { state, facts, refreshed: 0 };
  render();
  document.documentElement.setAttribute("data-ready", "");
  if (live) follow();
})();
