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

  /** One line chart in a figure: rows of numbers by island. Returns { plot, resize }. */
  function lines(figure, rows, height) {
    const generations = rows.length ? rows[0].map((_, k) => k) : [];
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
        ...rows.map((_, k) => ({ label: `island ${k}`, stroke: color(k), width: 1.5, points: { show: generations.length < 2 }, spanGaps: true, value: shown })),
      ],
      hooks: { draw: [zero] },
    };
    const plot = new uPlot(options, [generations, ...rows], figure);
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

  return { lines, migration, svg, color };
})();
