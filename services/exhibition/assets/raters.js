"use strict";
// One picture after the other: a face or none, and where its eyes are. Nothing is asked of any server.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const answers = new Map(); // by picture: {face, eyes: [[x, y], ...] in hundredths, shown}
  const COLUMNS = ["test", "picture", "face", "person", "notes", "eyes", "rater", "shown"];
  let rater = "";
  let order = [];
  let at = 0;
  let eyes = [];
  let saved = true;

  // Each rater has an order of their own, the same one if they begin again: xmur3 and mulberry32.
  function shuffled(count, word) {
    let h = 1779033703 ^ word.length;
    for (const letter of word) {
      h = Math.imul(h ^ letter.codePointAt(0), 3432918353);
      h = (h << 13) | (h >>> 19);
    }
    const random = () => {
      h = (h + 0x6d2b79f5) | 0;
      let t = Math.imul(h ^ (h >>> 15), 1 | h);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const numbers = Array.from({ length: count }, (_, k) => k);
    for (let k = count - 1; k > 0; k--) {
      const other = Math.floor(random() * (k + 1));
      [numbers[k], numbers[other]] = [numbers[other], numbers[k]];
    }
    return numbers;
  }

  function show(section) {
    for (const id of ["start", "ask", "end"]) $(id).hidden = id !== section;
  }

  function ask() {
    if (at >= order.length) {
      show("end");
      $("csv").focus();
      return;
    }
    show("ask");
    $("count").textContent = `Picture ${at + 1} of ${order.length}`;
    $("picture").src = data.pictures[order[at]];
    $("picture").alt = `Picture ${at + 1} of ${order.length}`;
    $("face").hidden = false;
    $("eyes").hidden = true;
    $("frame").classList.remove("asking");
    $("back").disabled = at === 0;
    eyes = [];
    draw();
    $("yes").focus({ preventScroll: true });
    $("yes").blur();
  }

  function asking() {
    return !$("ask").hidden && !$("eyes").hidden;
  }

  function keep(face) {
    answers.set(order[at] + 1, { face, eyes: face === "yes" ? eyes.slice() : [], shown: at + 1 });
    saved = false;
    at += 1;
    ask();
  }

  function askEyes() {
    $("face").hidden = true;
    $("eyes").hidden = false;
    $("frame").classList.add("asking");
    $("cells").value = "";
    $("wrong").textContent = "";
    eyes = [];
    draw();
  }

  function element(name, attributes, words) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (words) made.textContent = words;
    $("marks").append(made);
  }

  function draw() {
    $("marks").replaceChildren();
    if (!asking()) return;
    const step = 100 / data.grid;
    for (let k = 1; k < data.grid; k++) {
      element("line", { x1: k * step, x2: k * step, y1: 0, y2: 100 });
      element("line", { y1: k * step, y2: k * step, x1: 0, x2: 100 });
    }
    for (let k = 0; k < data.grid; k++) {
      element("text", { x: (k + 0.5) * step, y: 2.6 }, String.fromCharCode(65 + k));
      if (k) element("text", { x: 1.8, y: (k + 0.5) * step + 0.9 }, String(k + 1));
    }
    for (const [x, y] of eyes) {
      element("circle", { cx: x, cy: y, r: 2, class: "under" });
      element("circle", { cx: x, cy: y, r: 2 });
    }
    $("where").textContent = [
      "Where are its eyes? Click on each, or write their cells. None to be seen? Go on.",
      "One eye. Click on the other, or go on if there is only one.",
      "Both eyes. Go on, or take back.",
    ][eyes.length];
  }

  function mark(x, y) {
    if (eyes.length < 2) eyes.push([x, y]);
    draw();
  }

  function written() {
    const words = $("cells").value.trim().toUpperCase().split(/[\s,;]+/).filter(Boolean);
    const step = 100 / data.grid;
    const found = [];
    for (const word of words) {
      const cell = /^([A-Z])(\d{1,2})$/.exec(word);
      const column = cell ? cell[1].charCodeAt(0) - 65 : -1;
      const row = cell ? Number(cell[2]) - 1 : -1;
      if (column < 0 || column >= data.grid || row < 0 || row >= data.grid) return null;
      found.push([(column + 0.5) * step, (row + 0.5) * step]);
    }
    return found.length > 2 ? null : found;
  }

  function goOn() {
    if ($("cells").value.trim()) {
      const found = written();
      if (!found) {
        $("wrong").textContent = "Expected one or two cells, such as H8 M8.";
        return;
      }
      eyes = found;
    }
    keep("yes");
  }

  function rows() {
    const sorted = [...answers.keys()].sort((a, b) => a - b);
    return sorted.map((picture) => {
      const { face, eyes: places, shown } = answers.get(picture);
      const where = places.map(([x, y]) => `${x.toFixed(1)}/${y.toFixed(1)}`).join(" ");
      return { test: data.test, picture, face, person: "", notes: "", eyes: where, rater, shown };
    });
  }

  function asCsv() {
    const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
    return [COLUMNS.join(","), ...rows().map((row) => COLUMNS.map((name) => quoted(row[name])).join(","))].join("\n") + "\n";
  }

  function asJson() {
    return JSON.stringify({ format: 1, test: data.test, rater, answers: rows() }, null, 1) + "\n";
  }

  function save(text, kind, ending) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = `answers-${data.test}-${rater.replace(/[^\w-]+/g, "_")}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
    $("saved").textContent = `Saved as ${link.download}.`;
  }

  $("name").addEventListener("submit", (event) => {
    event.preventDefault();
    rater = $("rater").value.trim();
    if (!rater) return;
    order = shuffled(data.pictures.length, `${data.test} ${rater}`);
    ask();
  });
  $("yes").addEventListener("click", askEyes);
  $("no").addEventListener("click", () => keep("no"));
  $("next").addEventListener("click", goOn);
  $("undo").addEventListener("click", () => {
    eyes.pop();
    draw();
  });
  $("back").addEventListener("click", () => {
    if (at > 0) at -= 1;
    ask();
  });
  $("frame").addEventListener("click", (event) => {
    if (!asking()) return;
    const box = $("picture").getBoundingClientRect();
    const place = (value, low, size) => Math.min(100, Math.max(0, (100 * (value - low)) / size));
    mark(place(event.clientX, box.left, box.width), place(event.clientY, box.top, box.height));
  });
  $("csv").addEventListener("click", () => save(asCsv(), "text/csv", "csv"));
  $("json").addEventListener("click", () => save(asJson(), "application/json", "json"));
  document.addEventListener("keydown", (event) => {
    if ($("ask").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === $("cells");
    if (event.key === "Enter" && asking() && event.target.tagName !== "BUTTON") {
      event.preventDefault();
      goOn();
    } else if (typing) {
      return;
    } else if (asking() && event.key.toLowerCase() === "z") {
      $("undo").click();
    } else if (!asking() && event.key.toLowerCase() === "f") {
      event.preventDefault();
      askEyes();
    } else if (!asking() && event.key.toLowerCase() === "n") {
      keep("no");
    }
  });
  window.addEventListener("beforeunload", (event) => {
    if (!saved) event.preventDefault();
  });
  window.raters = { asCsv, asJson }; // what a test reads
})();
