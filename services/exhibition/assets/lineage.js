"use strict";
// A mask's line back to noise, as pictures that answer a click.
const Lineage = (() => {
  const { signed, fitness, many, walk } = Text;
  const { svg, color } = Charts;
  const SIDE = 96, GAP = 38, TOP = 22;

  /** The tree as SVG. nodes: the mask first; thumbs: pictures by id; choose: called with the node that was chosen. */
  function tree(mask, nodes, thumbs, choose) {
    const trunk = nodes.filter((n) => n.trunk);
    const column = new Map(trunk.map((n, k) => [n.id, trunk.length - 1 - k]));
    const place = new Map(trunk.map((n) => [n.id, [column.get(n.id) * (SIDE + GAP), TOP]]));
    const rows = new Map();
    let deepest = 0;
    for (const n of nodes.filter((m) => !m.trunk)) {
      const at = Math.max(0, (column.get(n.child) ?? 0) - 1);
      const row = (rows.get(at) || 0) + 1;
      rows.set(at, row);
      deepest = Math.max(deepest, row);
      place.set(`${n.child}<${n.id}`, [at * (SIDE + GAP) + (column.get(n.child) === 0 ? 0 : (SIDE + GAP) / 2), TOP + row * (SIDE + 52)]);
    }
    const width = trunk.length * (SIDE + GAP) + 10, height = TOP + (deepest + 1) * (SIDE + 52);
    const picture = svg("svg", { class: "tree", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": spoken(nodes) });
    const links = svg("g"), cards = svg("g");
    picture.append(links, cards);
    for (const n of nodes) {
      const [x, y] = place.get(n.trunk ? n.id : `${n.child}<${n.id}`);
      if (n.child) links.append(...link(n, [x, y], place.get(n.child)));
      cards.append(...card(mask, n, [x, y], thumbs[n.id], choose));
    }
    walk(picture, "[role=button]");
    return picture;
  }

  function link(n, [x, y], [cx, cy]) {
    const d = n.trunk ? `M${x + SIDE} ${y + SIDE / 2}H${cx}` : `M${x + SIDE / 2} ${y}C${x + SIDE / 2} ${y - 40} ${cx + SIDE / 2} ${cy + SIDE + 70} ${cx + SIDE / 2} ${cy + SIDE + 34}`;
    const line = svg("path", { d, stroke: n.edge === "migrated" ? color(n.island) : "#6a6c70", "stroke-width": 1.3, "stroke-dasharray": n.edge === "drawn" ? "4 4" : "none" });
    return n.trunk && n.skipped ? [line, svg("text", { x: (x + SIDE + cx) / 2, y: y + SIDE / 2 - 7, "text-anchor": "middle" }, `+${n.skipped}`)] : [line];
  }

  function card(mask, n, [x, y], thumb, choose) {
    const title = n.noise ? "noise" : `generation ${n.generation}`;
    const below = n.id === mask.id && mask.ranked !== false ? fitness(mask) : n.edge === "migrated" ? `from island ${n.island}` : `${signed(n.fitness)}, own views`;
    const button = svg("g", { role: "button", class: "ancestor", "data-ancestor": n.id, "aria-pressed": "false", "aria-label": `${n.id}: ${title} ${below}` });
    if (thumb) {
      const image = svg("image", { x, y, width: SIDE, height: SIDE });
      image.setAttribute("href", thumb);
      button.append(image);
    }
    button.append(svg("rect", { x, y, width: SIDE, height: SIDE, fill: thumb ? "transparent" : "#232427", class: "frame" }));
    button.addEventListener("click", () => choose(n));
    button.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(n); } });
    return [button, svg("text", { x, y: y + SIDE + 15, class: "strong" }, title), svg("text", { x, y: y + SIDE + 29 }, below)];
  }

  function spoken(nodes) {
    const trunk = nodes.filter((n) => n.trunk);
    const last = trunk[trunk.length - 1];
    return `Line of ${nodes[0].id} through ${many(trunk.length - 1, "earlier mask")} back to ${last.noise ? "noise" : "the beginning of the record"}; ${many(nodes.length - trunk.length, "branch", "branches")}`;
  }

  /** How a node leads to the next one, in words. */
  function words(mask, n) {
    if (n.id === mask.id) return "the mask itself";
    if (n.edge === "drawn") return "the fittest of its generation: it stands in for the distribution that the next one was drawn from";
    if (n.edge === "migrated") return `it came from island ${n.island}`;
    return n.trunk ? "the fitter parent of the next one" : "the other parent";
  }

  return { tree, words };
})();
