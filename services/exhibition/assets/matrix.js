"use strict";
// Who says what of whom: masks and controls down, machines across, colored by rate.
const Matrix = (() => {
  const { el, whole, finite, many, percent, share, unique, wilson, walk } = Text;
  const SIDES = [["fitted", "Judges: the masks were bred for them"], ["audit", "Audit"], ["critic", "Critics: they took no part"]];

  /** Cells of verify.json’s rows; a machine that matches has one for each of its thresholds. */
  function ofVerification(rows) {
    return rows.flatMap((row) => {
      const cell = { subject: String(row.subject), control: row.kind !== "elite", machine: String(row.machine), side: String(row.side), what: row.what, threshold: "" };
      if (row.compared === 0) return (row.matches || []).map((m) => ({ ...cell, threshold: String(m.name), said: "no face" }));
      return row.rate ? [{ ...cell, rate: row.rate }] : (row.matches || []).map((m) => ({ ...cell, threshold: String(m.name), rate: m.rate }));
    });
  }

  /** The same of the audit at a run’s end: of masks with their audits, and of its controls. */
  function ofAudit(masks, controls) {
    const cells = [];
    for (const { id, audit } of masks.filter((mask) => mask.audit)) {
      const ask = (machine, side, rate) => {
        const yes = Math.round(rate * audit.views), [low, high] = wilson(yes, audit.views);
        cells.push({ subject: id, control: false, machine, side, what: "detect", threshold: "", rate: { share: rate, low, high, hits: yes, trials: audit.views } });
      };
      for (const [name, rate] of Object.entries(audit.judges || {})) ask(name, "fitted", rate);
      ask("audit", "audit", audit.hog_rate);
      for (const [name, rate] of Object.entries(audit.critics || {})) ask(name, "critic", rate);
    }
    for (const [kind, subject] of Object.entries(controls ? controls.subjects : {})) {
      for (const row of controls.rows.filter((r) => r.what === "detect" && r[kind])) cells.push({ subject, control: true, machine: row.machine, side: row.side, what: "detect", threshold: "", rate: row[kind] });
    }
    return cells;
  }

  /** A table of cells that answer one question, and below it what is said of the one that is pointed at. */
  function table(cells, title, asks) {
    const sides = SIDES.map(([side, words]) => ({ side, words, columns: unique(cells.filter((c) => c.side === side).map((c) => JSON.stringify([c.machine, c.threshold]))).map((key) => JSON.parse(key)) })).filter((s) => s.columns.length);
    const strange = unique(cells.map((c) => c.side)).filter((side) => !SIDES.some(([known]) => known === side));
    for (const side of strange) sides.push({ side, words: side, columns: unique(cells.filter((c) => c.side === side).map((c) => JSON.stringify([c.machine, c.threshold]))).map((key) => JSON.parse(key)) });
    const subjects = unique(cells.map((c) => c.subject)).map((name) => ({ name, control: cells.find((c) => c.subject === name).control }));
    const detail = el("p", { class: "detail", role: "status" }, "Point at a rate, touch it or walk to it with the arrow keys: its interval stands here.");
    const label = (machine) => (machine === "audit" ? "dlib’s own pipeline" : machine);
    const cell = ({ name, control }, { side, words }, [machine, threshold]) => {
      const found = cells.find((c) => c.subject === name && c.side === side && c.machine === machine && c.threshold === threshold);
      if (!found) return el("td", {}, el("span", { class: "none" }, "–"));
      const known = found.rate && finite(found.rate.share);
      const counted = known && finite(found.rate.hits) ? ` in ${found.rate.hits} of ${many(found.rate.trials, "answer")}` : "";
      const whole = `${name}${control ? " (control)" : ""}: ${label(machine)}${threshold ? ` at ${threshold}` : ""} ${asks}${counted}: ${found.said || share(found.rate)}`;
      const button = el("button", { type: "button", class: known ? `rate rate${Math.round(found.rate.share * 10)}` : "rate", "aria-label": whole }, known ? percent(found.rate.share) : found.said || "–");
      for (const event of ["focus", "click", "pointerenter"]) button.addEventListener(event, () => { detail.textContent = whole; });
      return el("td", {}, button);
    };
    const body = (group) => group.map((subject) => el("tr", {}, el("th", { scope: "row" }, whole(subject.name)), sides.map((s) => s.columns.map((column) => cell(subject, s, column)))));
    const wide = 1 + sides.reduce((sum, s) => sum + s.columns.length, 0);
    const elites = subjects.filter((s) => !s.control), controls = subjects.filter((s) => s.control);
    const grid = el("table", { class: "matrix", "aria-label": title },
      el("thead", {},
        el("tr", {}, el("td", {}), sides.map((s) => el("th", { scope: "colgroup", colspan: s.columns.length }, s.words))),
        el("tr", {}, el("td", {}), sides.map((s) => s.columns.map(([machine, threshold]) => el("th", { scope: "col" }, label(machine), threshold ? el("span", {}, threshold) : null))))),
      el("tbody", {}, el("tr", { class: "group" }, el("th", { scope: "rowgroup", colspan: wide }, "Masks of this run")), body(elites)),
      controls.length ? el("tbody", {}, el("tr", { class: "group" }, el("th", { scope: "rowgroup", colspan: wide }, "Controls: no search has made them")), body(controls)) : null);
    walk(grid, "button");
    return el("div", {}, el("p", { class: "quiet title" }, title), el("div", { class: "scroll" }, grid), detail);
  }

  return { ofVerification, ofAudit, table };
})();
