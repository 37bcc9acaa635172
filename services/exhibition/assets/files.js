"use strict";
// What there is to take along, each file with a word of what it is.
const Files = (() => {
  const { el, many } = Text;
  const WORDS = [
    [/^lineup\.png$/, "the masks in a row, to one scale"],
    [/^composite\.png$/, "the mean of the masks"],
    [/^filmstrip\.png$/, "from noise to face, as stills"],
    [/^before-after\.png$/, "the noise it began with, and what came out"],
    [/^archive\.png$/, "one mask of each kind"],
    [/^front\.png$/, "masks that no other beats in all aims"],
    [/^film\.mp4$/, "from noise to face, a film"],
    [/^film\.webp$/, "the film, small, for places that play none"],
    [/^turntable\.mp4$/, "the best mask from side to side"],
    [/^verify\/rates\.png$/, "who sees a face in whom, drawn"],
    [/^verify\/identification\.png$/, "how the masks rank among people"],
    [/^plates\/.*\.png$/, "one mask, 18 × 26 cm at 300 dpi"],
    [/(^|\/)still-room\.png$/, "on a gallery’s wall, from behind a visitor"],
    [/(^|\/)still-[^/]*\.png$/, "on a gallery’s wall, as a photograph"],
    [/^figures?\//, "a figure for a paper"],
    [/^run\.toml$/, "what was asked, filled in: run it again"],
    [/^manifest\.json$/, "models with hashes and licences, consent, versions"],
    [/^fingerprint\.json$/, "what this machine’s numbers look like"],
    [/^audit\.json$/, "rates of masks and controls at the run’s end"],
    [/^verify\/verify\.json$/, "rates of masks and controls, asked again"],
    [/^captions\.txt$|^captions\.html$/, "labels for the wall"],
    [/^archive\.parquet$/, "the archive’s masks as a table"],
    [/^evaluations\/.*\.parquet$/, "every mask of some generations: weights, scores, parents"],
    [/(^|\/)front\.png$/, "the mask from the front"],
    [/(^|\/)views\.png$/, "all held-out views, as machines got them"],
    [/(^|\/)genome\.json$/, "its weights, gene by gene"],
    [/(^|\/)audit\.json$/, "what machines said of each held-out view"],
    [/(^|\/)mask\.glb$/, "its surface in 3D, for viewers"],
    [/(^|\/)gaze-[^/]*\.png$/, "where a machine looks, three sides"],
    [/(^|\/)gaze-[^/]*\.glb$/, "where a machine looks, on the surface in 3D"],
    [/(^|\/)gaze-[^/]*\.json$/, "where a machine looks, as numbers"],
    [/\.stl$/, "solid for a 3D printer"],
    [/\.3mf$/, "solid for a 3D printer, with units and colors"],
    [/\.obj$|\.ply$/, "surface in 3D"],
    [/\.csv$/, "table, for spreadsheets"],
    [/\.pdf$/, "sheet to print"],
    [/\.glb$/, "in 3D, for viewers"],
    [/\.mp4$|\.webp$/, "moving picture"],
    [/\.png$/, "picture"],
    [/\.parquet$/, "table"],
    [/\.json$|\.toml$/, "numbers and words, for programs"],
  ];
  const whole = (key) => !key.startsWith("masks/");
  const GROUPS = [
    ["Pictures and films", (key) => /\.(png|webp|mp4)$/.test(key) && whole(key)],
    ["Record", (key) => /\.(toml|json|csv)$/.test(key) && whole(key)],
  ];
  const TABLES = "Every mask that was scored";
  const word = (key) => (WORDS.find(([pattern]) => pattern.test(key)) || [null, ""])[1];
  const href = (key) => `./${key.split("/").map(encodeURIComponent).join("/")}`;

  /** Lists of links by group. download: whether a click saves the file. */
  function lists(keys, download) {
    const link = (key, name) => el("li", {}, el("a", { href: href(key), download: download ? key.split("/").pop() : null }, name), el("span", { class: "quiet" }, word(key)));
    const list = (own, name) => el("ul", {}, own.map((key) => link(key, name(key))));
    const groups = GROUPS.map(([title, belongs]) => [title, keys.filter(belongs), (key) => key]);
    for (const id of new Set(keys.filter((key) => !whole(key)).map((key) => key.split("/")[1]))) {
      groups.push([id, keys.filter((key) => key.startsWith(`masks/${id}/`)), (key) => key.slice(`masks/${id}/`.length)]);
    }
    const shown = groups.filter(([, own]) => own.length).map(([title, own, name]) => el("div", {}, el("h3", {}, title), list(own, name)));
    const tables = keys.filter((key) => key.endsWith(".parquet") && whole(key));
    if (tables.length > 4) shown.push(el("div", {}, el("h3", {}, TABLES), el("details", {}, el("summary", {}, many(tables.length, "table")), list(tables, (key) => key))));
    else if (tables.length) shown.push(el("div", {}, el("h3", {}, TABLES), list(tables, (key) => key)));
    return shown;
  }

  return { lists };
})();
