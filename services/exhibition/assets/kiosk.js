"use strict";
// The screen in the room: one mask at a time, turned by a finger, changed by a swipe; alone it goes through all.
(() => {
  const $ = (id) => document.getElementById(id);
  const facts = JSON.parse($("facts").textContent);
  const { masks, words } = facts;
  const { hold_ms: HOLD_MS, change_ms: CHANGE_MS, idle_ms: IDLE_MS } = facts;
  const SWAY = 0.42, SWAY_MS = 16000; // radians to both sides, and how long a turn there and back takes
  const SWIPE_PX = 90, SWIPE_MS = 450; // a finger that goes so far so fast means another mask, else it turns this one
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const state = { at: 0, idle: false, growing: false, touched: performance.now(), view: null, shown: 0 };
  let frame = 0, run = 0;

  const shape = (id) => (masks.find((m) => m.id === id) || {}).mesh || facts.shapes[id];
  const painted = masks.every((m) => m.colors);

  function label(k) {
    const mask = masks[k];
    $("artist").textContent = mask.artist || "";
    $("artist").hidden = !mask.artist;
    $("title").textContent = mask.title;
    $("year").textContent = `, ${mask.year}`;
    $("lines").textContent = mask.facts.join("\n");
    $("text").textContent = mask.text;
    $("grow").hidden = !(state.view && mask.line.length);
    $("viewer").setAttribute("aria-label", words.view.replace("{work}", mask.title));
    $("label").classList.remove("away");
    fit();
  }

  /** Type as large as the label holds all of it: a long statement on a small screen is set smaller. */
  function fit() {
    const room = $("label").clientHeight - parseFloat(getComputedStyle($("label")).paddingTop);
    let size = 1;
    do $("words").style.fontSize = `${size}em`;
    while ($("words").offsetHeight > room && (size -= 0.05) > 0.5);
  }

  /** Show a mask as it is, from the front. */
  function choose(k) {
    stop();
    state.at = (k + masks.length) % masks.length;
    state.shown += 1;
    const mask = masks[state.at];
    label(state.at);
    if (state.view && mask.mesh) {
      state.view.show(mask.mesh, mask.colors);
      state.view.surface(mask.colors ? "color" : "nylon");
      state.view.front();
    } else if (mask.front) $("still").src = mask.front;
  }

  /** Call ``draw`` before each picture, with the milliseconds since the first one, until it says that it is done. */
  function each(draw) {
    stop();
    const mine = run;
    let began = null;
    const step = (now) => {
      if (mine !== run) return;
      began ??= now; // a slow screen shows the beginning, too
      if (draw(now - began) !== false) frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  }

  function stop() {
    cancelAnimationFrame(frame);
    run += 1;
    state.growing = false;
    $("moment").textContent = "";
  }

  // -- how a mask grew

  function grow(after) {
    const mask = masks[state.at], last = mask.line.length - 1;
    const frames = mask.line.map((node) => Viewer.places(shape(node.id)));
    const length = Math.min(18000, Math.max(7000, last * 1400));
    each((ms) => {
      const at = Math.min(last, (ms / length) * last);
      state.growing = at < last;
      if (!state.growing) {
        if (after) after();
        else choose(state.at);
        return false;
      }
      state.view.between(frames, at);
      if (state.idle) sway(ms);
      $("moment").textContent = words.generation.replace("{number}", String(mask.line[Math.round(at)].generation));
      return true;
    });
  }

  // -- left alone

  const sway = (ms) => { if (!still) state.view.aside(SWAY * Math.sin((2 * Math.PI * ms) / SWAY_MS)); };

  function idle() {
    state.idle = true;
    $("about").hidden = true;
    document.body.classList.add("idle");
    document.body.classList.remove("touched");
    choose(state.at);
    onward();
  }

  /** Hold this mask for a while, then let it become the next, and so on. */
  function onward() {
    if (!state.view) return each((ms) => (ms < HOLD_MS ? true : (choose(state.at + 1), onward(), false)));
    const from = state.at, to = (from + 1) % masks.length;
    if (to === from) {
      return each((ms) => {
        sway(ms);
        if (ms < 2 * SWAY_MS || !masks[from].line.length) return true;
        grow(() => { choose(from); onward(); });
        return false;
      });
    }
    const pair = [from, to].map((k) => Viewer.places(masks[k].mesh));
    const paints = painted ? [from, to].map((k) => Viewer.linear(masks[k].colors)) : null;
    let told = 0; // the label fades at the beginning; from the middle on it is the next one's
    each((ms) => {
      sway(ms);
      if (ms < HOLD_MS) return true;
      const share = still ? 1 : (ms - HOLD_MS) / CHANGE_MS;
      if (told === 0) { $("label").classList.add("away"); told = 1; }
      if (told === 1 && share > 0.5) { state.at = to; label(to); told = 2; }
      if (share < 1) { state.view.between(pair, share, paints); return true; }
      state.view.show(masks[to].mesh, masks[to].colors);
      state.shown += 1;
      onward();
      return false;
    });
  }

  /** A hand is here. */
  function wake() {
    state.touched = performance.now();
    document.body.classList.add("touched");
    if (!state.idle) return;
    state.idle = false;
    document.body.classList.remove("idle");
    choose(state.at);
  }

  // -- hands

  function touches() {
    let down = null;
    addEventListener("pointerdown", (event) => {
      wake();
      down = event.isPrimary ? { x: event.clientX, y: event.clientY, at: event.timeStamp, inside: $("view").contains(event.target) } : null;
    }, true);
    addEventListener("pointermove", () => { state.touched = performance.now(); }, true);
    addEventListener("pointerup", (event) => {
      full();
      if (!down || !down.inside || event.target.closest("button")) return;
      const across = event.clientX - down.x, along = event.clientY - down.y, took = event.timeStamp - down.at;
      down = null;
      if (Math.abs(across) > SWIPE_PX && Math.abs(across) > 2 * Math.abs(along) && took < SWIPE_MS) choose(state.at + (across < 0 ? 1 : -1));
    }, true);
    addEventListener("keydown", (event) => {
      wake();
      if (event.key === "ArrowRight") choose(state.at + 1);
      else if (event.key === "ArrowLeft") choose(state.at - 1);
      else if (event.key === "Escape") about(false);
    });
    addEventListener("resize", fit);
    for (const kind of ["contextmenu", "dragstart", "selectstart"]) addEventListener(kind, (event) => event.preventDefault());
    $("previous").addEventListener("click", () => choose(state.at - 1));
    $("next").addEventListener("click", () => choose(state.at + 1));
    $("previous").hidden = $("next").hidden = masks.length < 2;
    $("grow").addEventListener("click", () => grow(null));
    $("about-open").addEventListener("click", () => about(true));
    $("about-close").addEventListener("click", () => about(false));
  }

  function about(open) {
    $("about").hidden = !open;
    if (open) { $("about-text").scrollTop = 0; $("about-close").focus({ preventScroll: true }); }
  }

  /** All of the screen, and none of its sleep; a browser that was started as a kiosk has both. */
  function full() {
    if (!document.fullscreenElement && document.documentElement.requestFullscreen) document.documentElement.requestFullscreen().catch(() => {});
    if (navigator.wakeLock) navigator.wakeLock.request("screen").catch(() => {});
  }

  try {
    state.view = new Viewer.View($("viewer"), facts.mesh);
    state.view.reach = 0.86;
    state.view.controls.enableDamping = false; // what glides on would turn the next mask
    $("viewer").style.touchAction = "none";
  } catch (error) {
    $("viewer").hidden = true;
    $("still").hidden = $("no-view").hidden = false;
    $("hint").hidden = true;
  }
  touches();
  idle();
  setInterval(() => { if (!state.idle && !state.growing && performance.now() - state.touched > IDLE_MS) idle(); }, 500);
  window.kiosk = { state, masks };
  document.documentElement.setAttribute("data-ready", "");
})();
