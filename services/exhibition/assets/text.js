"use strict";
// Elements, numbers and words. Everything that a run can name is written as text, never as HTML.
const Text = (() => {
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") node.className = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }
  const fill = (id, ...children) => document.getElementById(id).replaceChildren(...children.flat(Infinity).filter(Boolean));
  const p = (...children) => el("p", {}, ...children);
  const quiet = (...children) => el("p", { class: "quiet" }, ...children);
  const strong = (text) => el("strong", { class: "figure" }, String(text));
  /** A mask’s id: it never breaks at its hyphens. */
  const named = (id) => el("span", { class: "id" }, id);
  /** Words in which masks are named, the same way. */
  const whole = (words) => words.split(/(i\d+-g\d+-\d+)/).map((part, k) => (k % 2 ? named(part) : part));
  const finite = (value) => typeof value === "number" && isFinite(value);
  const signed = (value, digits = 2) => (finite(value) ? `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}` : "–");
  /** A mask’s fitness: on the ranking views, unless it was never ranked. */
  const fitness = (mask) => `fitness ${signed(mask.fitness)}${mask.ranked === false ? " on its own views" : ""}`;
  const many = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more || `${one}s`}`;
  const percent = (share) => `${Math.round(share * 100)}%`;
  /** One alone may stand without a list. */
  const listed = (words) => (typeof words === "string" ? words : words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`);
  const unique = (values) => [...new Set(values)];

  /** Wilson's 95% interval of a share. */
  function wilson(yes, count) {
    const z = 1.96, share = yes / count, base = 1 + (z * z) / count;
    const middle = (share + (z * z) / (2 * count)) / base;
    const half = (z / base) * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }

  /** How sure a rate is: "60% (31% to 83%)". */
  const share = (rate) => (rate && finite(rate.share) ? `${percent(rate.share)} (${percent(rate.low)} to ${percent(rate.high)})` : "–");

  /** The same for a narrow cell: it breaks before the interval only. */
  const rated = (rate) => (rate && finite(rate.share) ? [`${percent(rate.share)} `, el("span", { class: "id" }, `(${percent(rate.low)} to ${percent(rate.high)})`)] : ["–"]);

  /** Many buttons of one table or plot, reached by one Tab and walked with the arrow keys. */
  function walk(place, query) {
    const buttons = [...place.querySelectorAll(query)];
    buttons.forEach((button, k) => button.setAttribute("tabindex", k ? "-1" : "0"));
    place.onkeydown = (event) => {
      const at = buttons.indexOf(document.activeElement);
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (at < 0 || !step) return;
      const from = buttons[at].getBoundingClientRect();
      // The nearest one that way; a little aside is farther than straight on.
      const away = (button) => {
        const to = button.getBoundingClientRect();
        const across = to.left + to.width / 2 - from.left - from.width / 2, down = to.top + to.height / 2 - from.top - from.height / 2;
        const ahead = across * step[0] + down * step[1];
        return ahead > 1 ? ahead + 3 * Math.abs(across * step[1] + down * step[0]) : Infinity;
      };
      const next = buttons.reduce((best, button) => (away(button) < away(best) ? button : best), buttons[at]);
      event.preventDefault();
      buttons[at].setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    };
  }

  return { el, fill, p, quiet, strong, named, whole, finite, signed, fitness, many, percent, listed, unique, wilson, share, rated, walk };
})();
