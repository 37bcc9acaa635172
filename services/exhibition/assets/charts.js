"use strict";
// Curves by island, and who sent migrants to whom.
const Charts = (() => {
  const { uPlot } = Vendor;
  const COLORS = ["#deb86e", "#7fa8d1", "#c98b86", "#8fbf9f", "#b59ad0", "#d8d5cc", "#6fb7b7", "#c7a07a", "#93a4c9", "#a9b86a"];
  const SVG = "http://www.w3.org/2000/svg";
  const color = (k) => COLORS[k % COLORS.length];

  function svg(tag, attributes, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    for (const child of children) node.append(child);
    return node;
  }

  function zero(plot) {
    const y = plot.valToPos(0, "y", true);
    if (y < plot.bbox.top || y > plot.bbox.top + plot.bbox.height) return;
    const pen = plot.ctx;
    pen.save();
    pen.strokeStyle = "#8a8c90";
    pen.lineWidth = 1;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(plot.bbox.left, y);
    pen.lineTo(plot.bbox.left + plot.bbox.width, y);
    pen.stroke();
    pen.restore();
  }

  /** Rows for a plot: generations, each island’s best on its own views, and where they are known its best so far
   * on the ranking views, which stands from the end of an epoch to the end of the next. */
  function data(own, ends, ranked) {
    const generations = own[0].map((_, g) => g);
    const carried = (row) => generations.map((g) => {
      let latest = null;
      ends.forEach((end, k) => { if (end <= g) latest = row[k]; });
      return latest;
    });
    return [generations, ...own, ...(ranked ? ranked.map(carried) : [])];
  }

  /** One chart in a figure, of data as above: dots for own views, lines for ranking views. */
  function lines(figure, rows, islands, height) {
    const generations = rows[0], ranked = rows.length > 1 + islands;
    const count = generations.length;
    const axis = { stroke: "#9a9b9e", grid: { stroke: "#26282b", width: 1 }, ticks: { stroke: "#34363a", width: 1 }, font: "12px system-ui, sans-serif" };
    const shown = (plot, value) => (value == null ? "–" : value.toFixed(2));
    const options = {
      width: Math.max(280, figure.clientWidth), height,
      legend: { live: true },
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: false }, y: { range: (plot, low, high) => span(low, high) } },
      axes: [{ ...axis, size: 32 }, { ...axis, size: 46, values: (plot, ticks) => ticks.map((t) => String(Math.round(t * 100) / 100)) }],
      series: [
        { label: "generation", value: (plot, value) => (value == null ? "–" : String(value)) },
        ...rows.slice(1, 1 + islands).map((_, k) => ({ label: `island ${k}, own views`, stroke: `${color(k)}${ranked ? "77" : "cc"}`, width: 1, paths: () => null, points: { show: true, size: count > 80 ? 3 : 4, width: 0, fill: `${color(k)}${ranked ? "77" : "cc"}` }, value: shown })),
        ...rows.slice(1 + islands).map((_, k) => ({ label: `island ${k}`, stroke: color(k), width: 2, points: { show: count < 2 }, paths: uPlot.paths.stepped({ align: 1 }), value: shown })),
      ],
      hooks: { draw: [zero] },
    };
    const plot = new uPlot(options, rows, figure);
    new ResizeObserver(() => {
      const width = Math.max(280, figure.clientWidth);
      if (width !== plot.width) plot.setSize({ width, height });
    }).observe(figure);
    return plot;
  }

  function span(low, high) {
    if (low == null || !isFinite(low) || !isFinite(high)) return [-1, 1];
    const bottom = Math.min(low, 0), top = Math.max(high, 0);
    const air = Math.max((top - bottom) * 0.06, 0.05);
    return [bottom - air, top + air];
  }

  /** Islands as lanes, generations from left to right, an arrow for every migrant that was let in. */
  function migration(facts) {
    const islands = facts.curves.best.length;
    const generations = Math.max(1, facts.generations - 1);
    const lane = islands > 16 ? 18 : 34, left = 76, right = 24, top = 18;
    const width = 1080, height = top + islands * lane + 30;
    const x = (g) => left + ((width - left - right) * g) / generations;
    const y = (k) => top + lane * (k + 0.5);
    const picture = svg("svg", { class: "lanes", viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    const moves = facts.migration.moves;
    picture.setAttribute("aria-label", `${moves.length} migrations between ${islands} islands`);
    for (let k = 0; k < islands; k += 1) {
      picture.append(svg("path", { d: `M${left} ${y(k)}H${x(generations)}`, stroke: color(k), "stroke-opacity": 0.55, "stroke-width": 1 }));
      picture.append(svg("text", { x: left - 12, y: y(k) + 4, "text-anchor": "end" }, `island ${k}`));
    }
    for (const [from, to, generation] of moves) {
      const x0 = x(generation - 0.8), x1 = x(generation), a = y(from), b = y(to);
      const bend = (x1 - x0) * 0.6 + 6;
      picture.append(svg("path", { d: `M${x0} ${a}C${x0 + bend} ${a} ${x1 - bend} ${b} ${x1} ${b}`, stroke: color(from), "stroke-width": 1.2, "stroke-opacity": 0.9 }));
      picture.append(svg("circle", { cx: x1, cy: b, r: 2.6, fill: color(from) }));
    }
    for (const g of [0, Math.round(generations / 2), generations]) {
      picture.append(svg("text", { x: x(g), y: height - 8, "text-anchor": g === generations ? "end" : g ? "middle" : "start" }, `generation ${g}`));
    }
    return picture;
  }

  /** The last aim across, the first one up: a cloud of masks, and those on the front as buttons. */
  function front(facts, choose) {
    const up = 0, across = facts.aims.length - 1;
    const width = 760, height = 420, left = 64, right = 20, top = 16, bottom = 48;
    const all = [...facts.cloud, ...facts.masks.map((m) => m.aims)].filter((a) => a.every((v) => v !== null));
    const ends = (k) => {
      const low = Math.min(...all.map((a) => a[k])), high = Math.max(...all.map((a) => a[k]));
      const air = Math.max((high - low) * 0.04, 1e-6);
      return [low - air, high + air];
    };
    const [x0, x1] = ends(across), [y0, y1] = ends(up);
    const x = (v) => left + ((width - left - right) * (v - x0)) / (x1 - x0);
    const y = (v) => height - bottom - ((height - top - bottom) * (v - y0)) / (y1 - y0);
    const picture = svg("svg", { class: "lanes", viewBox: `0 0 ${width} ${height}`, width, height, role: "group" });
    picture.setAttribute("aria-label", `${facts.masks.length} masks on the front`);
    picture.append(svg("path", { d: `M${left} ${top}V${height - bottom}H${width - right}`, fill: "none", stroke: "#34363a" }));
    for (let k = 0; k <= 4; k += 1) {
      const h = x0 + ((x1 - x0) * k) / 4, v = y0 + ((y1 - y0) * k) / 4;
      picture.append(svg("text", { x: x(h), y: height - bottom + 18, "text-anchor": "middle" }, h.toFixed(1)));
      picture.append(svg("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(1)));
    }
    const named = (a) => (a.unit ? `${a.name}, ${a.unit}` : a.name);
    picture.append(svg("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, named(facts.aims[across])));
    picture.append(svg("text", { x: 14, y: height / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${height / 2})` }, named(facts.aims[up])));
    for (const a of all.slice(0, facts.cloud.length)) picture.append(svg("circle", { cx: x(a[across]), cy: y(a[up]), r: 1.6, fill: "#5c5f64" }));
    for (const mask of facts.masks) {
      const dot = svg("circle", { cx: x(mask.aims[across]), cy: y(mask.aims[up]), r: 6, fill: mask.accepted ? "#deb86e" : "#17181a", stroke: mask.accepted ? "#deb86e" : "#d8d5cc", "stroke-width": 1.5, tabindex: 0, role: "button", "data-mask": mask.id, "aria-label": mask.id, class: "dot" });
      dot.addEventListener("click", () => choose(mask));
      dot.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(mask); } });
      picture.append(dot);
    }
    return picture;
  }

  return { data, lines, migration, front, svg, color };
})();
