"use strict";
// Fills the page from the facts it carries. Everything that a run can name is written as text, never as HTML.
(() => {
  const $ = (id) => document.getElementById(id);
  const live = document.documentElement.hasAttribute("data-live");
  let facts = JSON.parse($("facts").textContent);
  const state = { mask: null, view: null, frames: [], plots: [], playing: 0, failed: null };

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") node.className = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }
  const fill = (id, ...children) => $(id).replaceChildren(...children.flat().filter(Boolean));
  const p = (...children) => el("p", {}, ...children);
  const strong = (text) => el("strong", { class: "figure" }, String(text));
  const signed = (value, digits = 2) => (value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`);
  const many = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more || `${one}s`}`;
  const percent = (share) => `${Math.round(share * 100)}%`;
  const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`);
  const href = (key) => `./${key.split("/").map(encodeURIComponent).join("/")}`;
  const finite = (value) => typeof value === "number" && isFinite(value);

  /** Wilson's 95% interval of a share. */
  function wilson(yes, count) {
    const z = 1.96, share = yes / count, base = 1 + (z * z) / count;
    const middle = (share + (z * z) / (2 * count)) / base;
    const half = (z / base) * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }

  // -- the stage

  function stage() {
    const asked = facts.asked;
    $("aim").textContent = asked.aim === "identity" ? "Evolved toward one face" : "Evolved toward any face at all";
    $("state").textContent = facts.state === "done"
      ? `${many(facts.generations, "generation")} on ${many(asked.islands, "island")}, ${many(facts.masks_scored, "mask")} looked at.`
      : `Still growing: generation ${facts.generation} of ${facts.generations}, ${many(facts.masks_scored, "mask")} looked at so far.`;
    if (facts.refusal) $("state").textContent += ` The coordinator has refused to go on: ${facts.refusal}`;
    if (!facts.masks.length) {
      $("mask-name").textContent = "No mask yet";
      $("mask-facts").textContent = "Masks appear with the first checkpoint.";
      for (const id of ["received", "lineage", "sure"]) $(id).hidden = true;
      return;
    }
    for (const id of ["received", "lineage", "sure"]) $(id).hidden = false;
    open3d();
    gallery();
    const wanted = decodeURIComponent(location.hash.slice(1));
    const kept = facts.masks.find((m) => m.id === (state.mask ? state.mask.id : wanted));
    choose(kept || facts.masks[0], false);
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
      const button = el("button", { type: "button", "data-mask": mask.id }, picture, el("span", {}, mask.id), el("span", {}, `fitness ${signed(mask.fitness)}`));
      button.addEventListener("click", () => choose(mask, true));
      return button;
    }));
  }

  function choose(mask, byHand) {
    state.mask = mask;
    for (const button of $("gallery").children) button.setAttribute("aria-pressed", String(button.dataset.mask === mask.id));
    $("mask-name").textContent = mask.id;
    const values = facts.objectives.map((label) => `${label} ${signed(mask.values[label])}`);
    $("mask-facts").textContent = `${values.join(" · ")}${finite(mask.flipped) ? ` · ${percent(mask.flipped)} of its surface folded over` : ""}`;
    $("viewer").setAttribute("aria-label", `Mask ${mask.id}, island ${mask.island}, generation ${mask.generation}`);
    if (state.failed && mask.front) { $("still").src = mask.front; $("still").alt = `Mask ${mask.id} from the front`; }
    surfaces(mask);
    story(mask);
    if (state.view && mask.mesh) dress();
    received(mask);
    lineage(mask);
    if (byHand) history.replaceState(null, "", `#${encodeURIComponent(mask.id)}`);
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
    const colors = kind.startsWith("gaze:") ? mask.gaze[kind.slice(5)] : kind === "color" ? mask.colors : null;
    halt();
    state.view.show(mask.mesh, colors);
    state.view.surface(kind);
    if (!$("time").hidden) { $("moment").value = $("moment").max; named(Number($("moment").max)); }
  }

  // -- from noise to face, in the same view

  function story(mask) {
    const told = facts.story.filter((moment) => moment.mesh);
    const fits = told.length > 1 && facts.story[facts.story.length - 1].id === mask.id && state.view;
    $("time").hidden = !fits;
    if (!fits) return;
    state.moments = told;
    state.frames = told.map((entry) => Viewer.places(entry.mesh));
    $("moment").max = String(told.length - 1);
    $("moment").value = $("moment").max;
    named(told.length - 1);
  }

  function moment(at) {
    state.view.between(state.frames, at);
    named(at);
  }

  function named(at) {
    const nearest = state.moments[Math.round(at)];
    const exact = Math.abs(at - Math.round(at)) < 0.02;
    $("moment-name").textContent = `generation ${nearest.generation}, ${exact ? `fitness ${signed(nearest.fitness)}` : "on the way"}${exact && (nearest.seen || []).length ? `, first face for ${listed(nearest.seen)}` : ""}`;
  }

  function play() {
    const last = state.frames.length - 1;
    const start = Number($("moment").value) >= last ? 0 : Number($("moment").value);
    const began = performance.now();
    $("play").setAttribute("aria-pressed", "true");
    const step = (now) => {
      const at = Math.min(last, start + ((now - began) / 1000) * 1.5);
      $("moment").value = String(at);
      moment(at);
      if (at < last) state.playing = requestAnimationFrame(step);
      else halt();
    };
    state.playing = requestAnimationFrame(step);
  }

  function halt() {
    if (state.playing) cancelAnimationFrame(state.playing);
    state.playing = 0;
    $("play").setAttribute("aria-pressed", "false");
  }

  // -- the best elite beside what no search has made

  const share = (rate) => (rate && finite(rate.share) ? `${percent(rate.share)} (${percent(rate.low)} to ${percent(rate.high)})` : "–");
  const called = (machine) => (machine === "audit" ? "dlib’s own pipeline (HOG)" : machine);
  const role = (side) => (side === "fitted" ? "judge" : side);
  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(Math.round(value * 100))}`;
  const ahead = (m) => [strong(`${points(m.share)} points`), ` (${points(m.low)} to ${points(m.high)})`];

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
    const asks = { detect: "sees a face", correlate: "sees its reference", match: c.question === "target" ? "takes for the person" : "takes two views for one face" };
    // Machines that took no part speak first: the others are what the elite was bred for.
    const order = ["critic", "audit", "fitted"];
    const rows = [...c.rows].sort((a, b) => order.indexOf(a.side) - order.indexOf(b.side));
    const lead = rows.find((row) => row.what === "detect") || rows[0];
    fill("against-lead", strong(called(lead.machine)), lead.side === "critic" ? ", which took no part in the search, " : " ", `${asks[lead.what]} in `, strong(share(lead.elite)), ` of ${many(lead.elite.trials, "held-out view")} of the best mask; in `,
      ...kinds.filter((kind) => lead[kind]).flatMap((kind, k, all) => [k ? (k === all.length - 1 ? " and in " : ", in ") : "", strong(share(lead[kind])), ` of ${name(kind)}`]),
      ".", ...(lead[main] ? [` Elite against ${name(main)}: `, ...ahead(lead[main].more), "."] : []));
    const heads = ["machine", "question", c.elite, ...kinds.map((kind) => c.subjects[kind]), `elite against ${name(main)}`];
    fill("against-rates", el("table", {}, el("caption", {}, `Share of held-out views, with 95% intervals; asked by ${c.by}`),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {},
        el("th", { scope: "row" }, row.side === row.machine ? called(row.machine) : `${row.machine} (${role(row.side)})`),
        el("td", {}, [asks[row.what] || String(row.what), row.threshold].filter(Boolean).join(", ")), el("td", { class: row[main] && row[main].more.low > 0 ? "yes" : null }, share(row.elite)),
        kinds.map((kind) => el("td", {}, share(row[kind]))), el("td", {}, row[main] ? ahead(row[main].more) : "–"))))));
    $("against-words").textContent = `Every control was shown to the same machines under the elite’s own held-out views${c.subjects.noise ? "; of noise, each view or two show another mask" : ""}. The intervals are over views: Wilson’s for the rate of one mask, Newcombe’s for a difference. They say how sure these rates are, not how another run would end. Gold: more than ${name(main)}, beyond the interval.`;
  }

  /** What the audit’s controls got from one machine, as words. */
  function beside(machine) {
    const c = facts.audit && facts.audit.controls;
    const row = c && c.rows.find((r) => r.machine === machine && r.what === "detect");
    return row ? ` (${Object.keys(c.subjects).filter((kind) => row[kind]).map((kind) => `${({ noise: "noise", first: "generation 0’s best" })[kind] || c.subjects[kind]}: ${row[kind].hits} of ${row[kind].trials}`).join("; ")})` : "";
  }

  // -- words

  function asked() {
    const a = facts.asked;
    const machines = a.objectives.map((o) => `${o.label} (weight ${o.weight})`);
    const start = a.start !== "noise" ? (a.face ? a.zero : `${a.zero}: ${a.title}, which has no face`) : a.face ? "noise: random weights on a human head, smeared and folded" : `noise: random waves on ${a.title}, which has no face`;
    fill("asked",
      p("Can masks be bred until ", strong(listed(a.objectives.map((o) => o.model).filter((m, k, all) => all.indexOf(m) === k))), a.aim === "identity" ? " take them for one person?" : " take them for a face?"),
      p("The search began with ", start, ". ", strong(many(a.islands, "island")), " of ", strong(a.population), " masks each, bred by ", listed(a.optimizers), "; every mask was rendered from ", strong(many(a.views, "side")), " under changing light, and scored."),
      p("What was rewarded: ", listed(machines), "."));
  }

  function came() {
    if (!facts.masks.length) return fill("came", p("Nothing yet."));
    const best = facts.masks[0];
    const words = [p("After ", strong(many(facts.generation, "generation")), " and ", strong(many(facts.views_scored, "rendered view")), ", the best mask is ", strong(best.id), " with a fitness of ", strong(signed(best.fitness)), ". On the views it was ranked by, it stands ",
      ...facts.objectives.flatMap((label, k) => [k ? (k === facts.objectives.length - 1 ? " and " : ", ") : "", strong(signed(best.values[label])), ` from ${label}’s threshold`]), ".")];
    if (best.audit) {
      const yes = Math.round(best.audit.hog_rate * best.audit.views);
      words.push(p("On ", strong(best.audit.views), " views that played no part in the search, dlib’s own pipeline sees a face in ", strong(yes), beside("audit"), ...Object.entries(best.audit.critics || {}).flatMap(([name, rate]) => [`, and ${name}, which never scored it before, in `, strong(Math.round(rate * best.audit.views)), beside(name)]), "."));
    }
    fill("came", words);
  }

  // -- what the machine received

  function received(mask) {
    const views = mask.received || [];
    $("received-lead").textContent = views.length
      ? `Mask ${mask.id}, in the very pixels that were scored, from views that the search never used: the one that HOG likes most, one in the middle, the one it likes least.`
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
    const trunk = nodes.filter((n) => n.trunk);
    const drawn = nodes.some((n) => n.edge === "drawn");
    $("lineage-lead").textContent = nodes.length < 2 ? "No ancestors are recorded." : drawn
      ? "CMA breeds no children: it draws masks from a distribution, and every generation moves that distribution. So the fittest mask of a generation stands in for it (dashed). Masks that came from other islands join from below."
      : "Who was bred from whom, back to noise. The main line follows the fitter parent; the other parent stands below.";
    if (nodes.length < 2) return fill("tree");
    const side = 96, gap = 38, top = 22, rows = new Map();
    const column = new Map(trunk.map((n, k) => [n.id, trunk.length - 1 - k]));
    const place = new Map(trunk.map((n) => [n.id, [column.get(n.id) * (side + gap), top]]));
    let deepest = 0;
    for (const n of nodes.filter((m) => !m.trunk)) {
      const at = Math.max(0, (column.get(n.child) ?? 0) - 1);
      const row = (rows.get(at) || 0) + 1;
      rows.set(at, row);
      deepest = Math.max(deepest, row);
      place.set(`${n.child}<${n.id}`, [at * (side + gap) + (column.get(n.child) === 0 ? 0 : (side + gap) / 2), top + row * (side + 52)]);
    }
    const width = trunk.length * (side + gap) + 10, height = top + (deepest + 1) * (side + 52);
    const picture = Charts.svg("svg", { class: "tree", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(nodes) });
    const links = Charts.svg("g"), cards = Charts.svg("g");
    picture.append(links, cards);
    for (const n of nodes) {
      const [x, y] = place.get(n.trunk ? n.id : `${n.child}<${n.id}`);
      if (n.child) {
        const [cx, cy] = place.get(n.child);
        const d = n.trunk ? `M${x + side} ${y + side / 2}H${cx}` : `M${x + side / 2} ${y}C${x + side / 2} ${y - 40} ${cx + side / 2} ${cy + side + 70} ${cx + side / 2} ${cy + side + 34}`;
        links.append(Charts.svg("path", { d, stroke: n.edge === "migrated" ? Charts.color(n.island) : "#6a6c70", "stroke-width": 1.3, "stroke-dasharray": n.edge === "drawn" ? "4 4" : "none" }));
        if (n.trunk && n.skipped) links.append(Charts.svg("text", { x: (x + side + cx) / 2, y: y + side / 2 - 7, "text-anchor": "middle" }, `+${n.skipped}`));
      }
      const thumb = (facts.thumbs || {})[n.id];
      if (thumb) {
        const image = Charts.svg("image", { x, y, width: side, height: side });
        image.setAttribute("href", thumb);
        cards.append(image);
      } else cards.append(Charts.svg("rect", { x, y, width: side, height: side, fill: "#232427" }));
      cards.append(Charts.svg("text", { x, y: y + side + 15, class: "strong" }, n.noise ? "noise" : `generation ${n.generation}`));
      cards.append(Charts.svg("text", { x, y: y + side + 29 }, n.edge === "migrated" ? `from island ${n.island}` : `${n.edge === "drawn" ? "fittest " : ""}${signed(n.fitness)}`));
    }
    fill("tree", picture);
    $("tree").scrollLeft = $("tree").scrollWidth;
  }

  function spoken(nodes) {
    const trunk = nodes.filter((n) => n.trunk);
    const last = trunk[trunk.length - 1];
    return `Line of ${nodes[0].id} through ${many(trunk.length - 1, "earlier mask")} back to ${last.noise ? "noise" : "the beginning of the record"}; ${many(nodes.length - trunk.length, "branch", "branches")}`;
  }

  // -- evolution

  function evolution() {
    const curves = facts.curves;
    if (!curves.best.length || !curves.best[0].length) return fill("charts", el("p", { class: "quiet" }, "The curves begin with the first checkpoint."));
    const wanted = [["Fitness", curves.best], ...facts.objectives.map((label) => [label, curves.values[label]])];
    if (state.plots.length === wanted.length && state.plots[0].series.length === curves.best.length + 1) {
      wanted.forEach(([, rows], k) => state.plots[k].setData([rows[0].map((_, g) => g), ...rows]));
    } else {
      fill("charts");
      state.plots = wanted.map(([title, rows], k) => {
        const figure = el("figure", { class: k ? null : "first", role: "group", "aria-label": `${title}, best mask of each generation, by island` }, el("figcaption", {}, title));
        $("charts").append(figure);
        return Charts.lines(figure, rows, k ? 200 : 300);
      });
    }
    migration();
    fill("numbers", el("table", {}, el("caption", {}, "Best fitness of each island"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "generation"), curves.best.map((_, k) => el("th", { scope: "col", class: "number" }, `island ${k}`)))),
      el("tbody", {}, curves.best[0].map((_, g) => g).filter((g) => g % Math.ceil(curves.best[0].length / 50) === 0 || g === curves.best[0].length - 1)
        .map((g) => el("tr", {}, el("th", { scope: "row" }, String(g)), curves.best.map((row) => el("td", { class: "number" }, signed(row[g]))))))));
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
    const [x, y = { name: "", unit: "", cells: 1, low: 0, high: 1 }] = a.measures;
    const at = (axis, k) => { const v = axis.low + ((axis.high - axis.low) * k) / axis.cells; return axis.unit ? `${v.toFixed(1)} ${axis.unit}` : v.toFixed(2); };
    const others = a.measures.slice(2).map((m) => m.name);
    $("archive-lead").textContent = `One mask for each kind: ${a.filled} of ${a.cells} cells are filled, ${a.accepted} of them with masks that every machine of the search accepts (gold frame). Across: ${x.name}; up: ${y.name}${others.length ? `; of cells that differ in ${listed(others)} only, the best is shown` : ""}. Brighter is fitter. QD score ${a.qd_score.toFixed(1)}.`;
    const known = a.masks.map((m) => m.fitness).filter(finite);
    const low = Math.min(...known), span = Math.max(1e-9, Math.max(...known) - low);
    const shade = (m) => (finite(m.fitness) ? Math.min(9, Math.floor((10 * (m.fitness - low)) / span)) : 0);
    const found = new Map(a.masks.map((m) => [m.place.join(), m]));
    const cell = (i, j) => {
      const mask = found.get(`${i},${j}`);
      if (!mask) return el("td", { class: "cell" });
      const button = el("button", { type: "button", class: `heat heat${shade(mask)}${mask.accepted ? " accepted" : ""}`, "data-kind": mask.id, "aria-label": `${mask.id}, fitness ${signed(mask.fitness)}${mask.accepted ? ", accepted" : ""}` });
      button.addEventListener("click", () => kind(mask));
      return el("td", { class: "cell" }, button);
    };
    const count = (n) => Array.from({ length: n }, (_, k) => k);
    fill("kinds", el("table", { class: "kinds" },
      el("tbody", {}, count(y.cells).reverse().map((j) => el("tr", {}, el("th", { scope: "row" }, y.name ? at(y, j) : ""), count(x.cells).map((i) => cell(i, j))))),
      el("tfoot", {}, el("tr", {}, el("td", {}), count(x.cells).map((i) => el("th", { scope: "col" }, at(x, i)))))));
    fill("kind", el("p", { class: "quiet" }, "Choose a cell to see its mask."));
  }

  function kind(mask) {
    const numbers = facts.archive.measures.map((m, k) => `${m.name} ${finite(mask.measures[k]) ? mask.measures[k].toFixed(m.unit ? 1 : 2) : "–"}${m.unit ? ` ${m.unit}` : ""}`);
    const values = facts.objectives.map((label) => `${label} ${signed(mask.values[label])}`);
    introduce(mask, "kinds", "kind", [`fitness ${signed(mask.fitness)}`, ...values], el("p", { class: "quiet" }, numbers.join(" · ")));
  }

  /** Press a mask's button in a plot, and show at `place` who it is. */
  function introduce(mask, plot, place, words, ...more) {
    for (const button of $(plot).querySelectorAll("[data-kind], [data-mask]")) button.setAttribute("aria-pressed", String((button.dataset.kind || button.dataset.mask) === mask.id));
    const thumb = facts.thumbs && facts.thumbs[mask.id];
    fill(place, thumb ? el("img", { src: thumb, alt: `Mask ${mask.id}`, width: 96, height: 96 }) : null,
      el("p", {}, strong(mask.id), ` ${[mask.accepted ? "accepted" : "not accepted", ...words].join(" · ")}`), ...more);
    const whole = facts.masks.find((m) => m.id === mask.id);
    if (whole) choose(whole, true);
  }

  // -- masks that nobody beats in everything

  function trade() {
    const f = facts.front;
    $("front").hidden = $("front-link").hidden = !f || !f.masks.length;
    if (!f || !f.masks.length) return;
    const names = f.aims.map((a) => a.name);
    $("front-lead").textContent = `The aims of this run pull apart: ${listed(names)}. ${many(f.count, "mask")} ${f.count === 1 ? "is" : "are"} beaten by no other in all of them at once; ${f.masks.length < f.count ? `${f.masks.length} of these are` : "they are"} the large dots, gold where every machine of the search accepts. Small dots are other masks of the run. All numbers are those of a mask’s own generation.`;
    fill("front-plot", Charts.front(f, along));
    fill("front-mask", el("p", { class: "quiet" }, "Choose a large dot to see its mask."));
  }

  function along(mask) {
    const told = facts.front.aims.map((a, k) => `${a.name} ${finite(mask.aims[k]) ? mask.aims[k].toFixed(2) : "–"}${a.unit ? ` ${a.unit}` : ""}`);
    introduce(mask, "front-plot", "front-mask", told);
  }

  // -- how sure

  function sure() {
    const models = facts.manifest.models || {};
    const words = [p("A detector ", strong("accepts"), " a view if its score is above its own published threshold and the detection lies over the mask. A recognizer accepts if the distance is below its threshold. ",
      ...facts.asked.objectives.map((o) => o.model).filter((m, k, all) => all.indexOf(m) === k && models[m]).map((m) => `${m}: ${models[m].threshold} (${models[m].threshold_source}). `))];
    const audited = facts.masks.filter((mask) => mask.audit);
    if (audited.length) words.push(p("The table asks on views that the search never used. Judges are what the masks were bred for. dlib’s own pipeline has the weights of judges of its name, so it checks our code. A critic took no part at all, so it checks the claim. The brackets are 95% intervals (Wilson): with so few views, that is how sure we can be."));
    else words.push(p("These masks have not been checked on held-out views yet."));
    const v = facts.verification;
    const verified = v && Array.isArray(v.rows);
    if (verified) {
      const controls = [...new Set(v.rows.filter((row) => row.kind !== "elite").map((row) => String(row.subject)))];
      words.push(p("This run was verified on ", strong(v.views), " held-out views, beside controls: ", listed(controls), ". ", String(v.note || "")));
      const calibrated = Object.entries(v.calibration || {}).filter(([, c]) => c.pairs);
      for (const [name, c] of calibrated) words.push(p(`${name} was calibrated on ${c.pairs}: `, listed(c.cuts.map((cut) => `${cut.name} at ${Number(cut.threshold).toFixed(3)}`)), "."));
      const gap = v.gap && v.gap.detect;
      if (gap && finite(gap.gap)) words.push(p("Machines that the masks were bred for see a face in ", strong(percent(gap.fitted)), " of views, critics in ", strong(percent(gap.critic)), "."));
      for (const warning of v.warnings || []) words.push(p(String(warning)));
    }
    words.push(p(verified && Object.values(v.calibration || {}).some((c) => c.pairs) ? "" : "Thresholds read off photographs do not hold for renders. This run was not calibrated against rendered impostors, so no rate of false alarms is stated."));
    words.push(p("A mask on a screen is not a presentation attack in the sense of ISO/IEC 30107-3: nobody has held it before a camera."));
    fill("sure-words", words.filter((w) => w.textContent));
    verdicts(audited);
    verification(verified ? v.rows : []);
  }

  /** Every machine's rates, elites first, then the controls. */
  function verification(rows) {
    const asked = { detect: "sees a face", correlate: "sees its reference", match: "matches" };
    const said = (row) => (row.compared === 0 ? "no face" : row.rate ? share(row.rate) : (row.matches || []).map((m) => `${m.name}: ${share(m.rate)}`).join("; "));
    fill("verification", rows.length ? el("table", {}, el("caption", {}, "Verification: simulated match rates on held-out views, with 95% intervals"),
      el("thead", {}, el("tr", {}, ["who", "machine", "part in the search", "question", "rate"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.kind === "elite" ? row.subject : `${row.subject} (control)`), el("td", {}, row.machine), el("td", {}, role(row.side)), el("td", {}, asked[row.what] || String(row.what)), el("td", {}, said(row)))))) : null);
    $("verification").hidden = !rows.length;
  }

  function verdicts(audited) {
    if (!audited.length) return fill("verdicts");
    const judges = Object.keys(audited[0].audit.judges || {}), critics = Object.keys(audited[0].audit.critics || {});
    const controls = (facts.audit && facts.audit.controls) || { subjects: {}, rows: [] };
    const rateOf = (machine, kind) => (controls.rows.find((row) => row.machine === machine && row.what === "detect") || {})[kind];
    const cell = (rate, count) => {
      if (!finite(rate)) return "–";
      const yes = Math.round(rate * count), [low, high] = wilson(yes, count);
      return `${yes} of ${count} (${percent(low)} to ${percent(high)})`;
    };
    fill("verdicts", el("table", {}, el("caption", {}, "Held-out views in which a face is seen"),
      el("thead", {}, el("tr", {}, ["mask", ...judges.map((name) => `${name} (judge)`), "dlib HOG (audit)", ...critics.map((c) => `${c} (critic)`)].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, audited.map((mask) => el("tr", {}, el("th", { scope: "row" }, mask.id),
        judges.map((name) => el("td", {}, cell((mask.audit.judges || {})[name], mask.audit.views))), el("td", {}, cell(mask.audit.hog_rate, mask.audit.views)),
        critics.map((name) => el("td", {}, cell((mask.audit.critics || {})[name], mask.audit.views))))),
      Object.entries(controls.subjects).map(([kind, name]) => el("tr", {}, el("th", { scope: "row" }, `${name} (control)`),
        [...judges, "audit", ...critics].map((machine) => { const rate = rateOf(machine, kind) || {}; return el("td", {}, cell(rate.share, rate.trials)); }))))));
  }

  // -- provenance and files

  function provenance() {
    const m = facts.manifest, consent = m.consent;
    const words = [];
    if (consent) {
      words.push(p(strong("Whose face: "), consent.subject || "", ". ", strong("Granted by: "), consent.granted_by || "", ". ", strong("For: "), consent.purpose || "", "."));
      words.push(p("Consent covers ", listed(consent.covers || []), consent.expires ? `, until ${consent.expires}.` : "."));
      if (!(consent.covers || []).includes("exhibit")) words.push(p(strong("It does not cover showing."), " Ask before this page leaves the studio."));
      words.push(p(`The ${many((m.photos_sha256 || []).length, "photograph")} stayed where it was; the run keeps embeddings only.`));
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

  const GROUPS = [
    ["Pictures and films", (key) => /\.(png|webp|mp4)$/.test(key) && !key.startsWith("masks/")],
    ["Record", (key) => /\.(toml|json|csv)$/.test(key) && !key.startsWith("masks/")],
    ["Every mask that was scored", (key) => key.endsWith(".parquet")],
  ];

  function files() {
    const link = (key, name) => el("li", {}, el("a", { href: href(key), download: live ? null : key.split("/").pop() }, name));
    const groups = [];
    const ids = [...new Set(facts.files.filter((key) => key.startsWith("masks/")).map((key) => key.split("/")[1]))];
    for (const [title, belongs] of GROUPS) {
      const own = facts.files.filter(belongs);
      if (own.length) groups.push(el("div", {}, el("h3", {}, title), el("ul", {}, own.map((key) => link(key, key)))));
    }
    for (const id of ids) {
      const own = facts.files.filter((key) => key.startsWith(`masks/${id}/`));
      groups.push(el("div", {}, el("h3", {}, id), el("ul", {}, own.map((key) => link(key, key.slice(`masks/${id}/`.length))))));
    }
    fill("downloads", groups);
    $("files").hidden = !groups.length;
  }

  function film() {
    $("film").hidden = !facts.film;
    if (facts.film && !$("film-video").src) {
      const raw = Viewer.bytes(facts.film.data);
      $("film-video").src = `data:video/mp4;base64,${facts.film.data}`;
      $("film-video").setAttribute("aria-label", `Film, ${Math.round(raw.length / 1024)} kilobytes: from noise to a face`);
      if (facts.film.poster) $("film-video").poster = facts.film.poster;
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
