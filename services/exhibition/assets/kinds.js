"use strict";
// The archive: a picture for each kind of mask at its place, its fitness as a color below.
const Kinds = (() => {
  const { el, finite, signed, walk } = Text;
  const count = (n) => Array.from({ length: n }, (_, k) => k);

  /** A table of the archive's cells. thumbs: pictures by id; choose: called with the mask that was chosen. */
  function table(archive, thumbs, choose) {
    const [x, y = { name: "", unit: "", cells: 1, low: 0, high: 1 }] = archive.measures;
    const at = (axis, k) => (axis.low + ((axis.high - axis.low) * k) / axis.cells).toFixed(axis.unit ? 1 : 2);
    const span = (axis, k) => (axis.name ? `${at(axis, k)}${k === axis.cells - 1 ? "+" : `–${at(axis, k + 1)}`}` : "");
    const known = archive.masks.map((m) => m.fitness).filter(finite);
    const low = Math.min(...known), high = Math.max(...known);
    const shade = (m) => (finite(m.fitness) ? Math.min(9, Math.floor((10 * (m.fitness - low)) / Math.max(1e-9, high - low))) : 0);
    const found = new Map(archive.masks.map((m) => [m.place.join(), m]));
    const cell = (i, j) => {
      const mask = found.get(`${i},${j}`);
      if (!mask) return el("td", { class: "cell" });
      const thumb = thumbs[mask.id];
      const button = el("button", { type: "button", class: mask.accepted ? "accepted" : null, "data-kind": mask.id, "aria-label": `${mask.id}, fitness ${signed(mask.fitness)} on its own views${mask.accepted ? ", accepted" : ""}` },
        thumb ? el("img", { src: thumb, alt: "", width: 64, height: 64 }) : null, el("span", { class: `heat heat${shade(mask)}${thumb ? "" : " alone"}` }));
      button.addEventListener("click", () => choose(mask));
      return el("td", { class: "cell" }, button);
    };
    const named = (axis) => (axis.unit ? `${axis.name}, ${axis.unit}` : axis.name);
    const grid = el("table", { class: "kinds" },
      el("tbody", {}, count(y.cells).reverse().map((j, row) => el("tr", {},
        row || !y.name ? null : el("th", { scope: "rowgroup", rowspan: y.cells, class: "axis" }, el("span", {}, named(y))),
        el("th", { scope: "row" }, span(y, j)), count(x.cells).map((i) => cell(i, j))))),
      el("tfoot", {},
        el("tr", {}, el("td", { colspan: y.name ? 2 : 1 }), count(x.cells).map((i) => el("th", { scope: "col" }, span(x, i)))),
        el("tr", {}, el("td", { colspan: y.name ? 2 : 1 }), el("th", { scope: "colgroup", colspan: x.cells, class: "axis" }, named(x)))));
    walk(grid, "button");
    const scale = known.length ? el("p", { class: "scale quiet" }, signed(low), el("span", { class: "ramp", "aria-hidden": "true" }, count(10).map((k) => el("i", { class: `heat${k}` }))), `${signed(high)} fitness on own views`, el("span", { class: "frame", "aria-hidden": "true" }), "accepted by every machine of the search") : null;
    return [grid, scale];
  }

  return { table };
})();
