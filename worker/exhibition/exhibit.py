"""A run's sheets, film and report page, made from its record; on request a pack for a gallery.

What is not in the record is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import BadInput, CorruptData
from services.exhibition import palette
from services.exhibition.archive_sheet import Axis, kinds_sheet
from services.exhibition.composite import composite
from services.exhibition.controls import Counts, controls_of_facts
from services.exhibition.credits import NOTHING, Credits
from services.exhibition.facts import PICTURES_KEY, gaze_colors, with_shapes
from services.exhibition.film import POSE, Frame, Paint, film_strip
from services.exhibition.inline import picture_uri, smaller
from services.exhibition.kiosk import IDLE_S, KIOSK, Stand, kiosk_page
from services.exhibition.lineup import MOST_ROWS, Caption, lineup, shared_field_mm
from services.exhibition.movie import Mark, check_side, morph, mp4, turntable, webp
from services.exhibition.own_picture import Shown, own_pictures
from services.exhibition.page import page
from services.exhibition.path_tracer import PathShot, photograph
from services.exhibition.press import PLATE_DPI, PLATE_MM, plate_png
from services.exhibition.studio import LitMask, Studio, dressed, one_thread
from services.exhibition.wording import ENGLISH, load_wording
from services.progress import Progress, silent
from services.recognition.dlib.alignment import POINT_NAMES
from services.recognition.dlib.audit import hog_boxes
from services.recognition.template import POINT_NAMES as SITES
from services.rendering.rig import COLOR, NYLON, Material, material_named
from services.shape.basis import load_basis
from services.storage.store import ObjectMissing, Store
from services.wire.page_plan import PagePlan, visitors_files
from worker.examination.sites import find_sites
from worker.exhibition.machine_views import machine_views
from worker.exhibition.pack import show_of, write_pack
from worker.exhibition.wall import PICTURE as WALL
from worker.exhibition.wall import hang
from worker.eye import Eye

Float = NDArray[np.float32]

MOST_MACHINE_VIEWS = 12  # masks whose machine pictures a page carries
MOST_THUMBS = 320
BEFORE_AFTER = "before-after.png"
_THUMB_PX, _FRONT_PX, _WALL_PX = 96, 360, 1600
_SCREEN_PX = 3000  # a line-up that is wider is looked at from near: outlines without corners
_SMOOTH_FILM_PX = 720


@dataclass(frozen=True)
class Options:
    """What to make beside the page and the film.

    film_px: side of the film. boxes: draw dlib's box and score on the film's pictures. spin: a turntable of
    the best mask. sheets: whether line-up, composite and strips are made anew, or left as they are.
    lineup_px: width of the line-up, None: its natural size. captions: whether it has any. material: of that
    line-up, plates and stills; None: the masks' own colors where they have color genes, else nylon.
    pack: folder for an exhibition pack; dpi: of its plates and poster. stills: how each mask is photographed
    on a wall, in ``material``; None: it is not.
    kiosk: whether a page for a screen in the room is made; idle_s: after how many seconds without a touch it
    shows mask after mask. credits, language: of labels, pack and kiosk, see services/exhibition/credits.py
    and wording.py.
    """

    film_px: int = 540
    boxes: bool = False
    spin: bool = False
    sheets: bool = False
    lineup_px: int | None = None
    captions: bool = True
    material: str | None = None
    pack: Path | None = None
    stills: PathShot | None = None
    kiosk: bool = False
    idle_s: int = IDLE_S
    dpi: int = PLATE_DPI
    credits: Credits = NOTHING
    language: str = ENGLISH


SHEETS_TOO = Options(sheets=True)  # what a run ends with


def exhibit(
    run: Store, plan: PagePlan, options: Options | None = None, progress: Progress | None = None
) -> list[str]:
    """Write ``film.mp4``, ``film.webp`` and ``report.html`` into a run's store; returns the keys.

    :raises BadInput: where the run has no mask yet, the film's side is odd, or a label does not hold what was
        given for it.
    """
    options, tell = options or Options(), progress or silent
    if not plan.facts["masks"]:
        raise BadInput(
            f"{run.url}: this run has no elites yet, so there is nothing to show; see datamask show {run.url}"
        )
    check_side("film", options.film_px)
    show = None
    if options.pack is not None or options.kiosk:  # what does not fit is said before anything is drawn
        show = show_of(run, plan.facts, options.credits, load_wording(options.language))
    with one_thread():
        maker = _Maker(run, plan, options)
        keys = [
            *maker.sheets(tell),
            *maker.kinds(tell),
            *maker.wall(tell),
            *maker.front(tell),
            *maker.films(tell),
            *maker.stills(tell),
        ]
        pictures = maker.pictures(tell)
    run.put(PICTURES_KEY, json.dumps(pictures, allow_nan=False).encode())
    facts = with_shapes(plan, run, pictures)
    facts["files"] = sorted(visitors_files(run, {mask["id"] for mask in maker.masks}))
    run.put("report.html", page(facts))
    tell("page", 1, 1)
    keys.append("report.html")
    beside = {}
    if show is not None and options.kiosk:
        stand = Stand(show.title, show.labels, show.about, options.idle_s)
        beside[KIOSK] = kiosk_page(facts, stand, show.words)
        run.put(KIOSK, beside[KIOSK])
        keys.append(KIOSK)
    if show is not None and options.pack is not None:
        with one_thread():
            beside["lineup.png"] = palette.png(maker.lineup(None))
            lit, material = maker.lit_masks, maker.material
            write_pack(options.pack, run, facts, lit, material, show, beside, tell, options.dpi)
    return keys


class _Maker:
    """One run's masks, and the studio that shows them."""

    def __init__(self, run: Store, plan: PagePlan, options: Options) -> None:
        self.run, self.plan, self.facts, self.options = run, plan, plan.facts, options
        basis = load_basis(self.facts["asked"]["basis"])
        # A blank has no places of its own to mark in what a machine received.
        self.eye = Eye(basis, points=POINT_NAMES if basis.landmarks else ())
        self.basis, self.decoder = basis, self.eye.decoder
        self.poster: str | None = None
        self.masks: list[Mapping[str, Any]] = list(self.facts["masks"])

    @cached_property
    def vertices(self) -> Float:
        """The masks, float32 (n, V, 3)."""
        return self.decode(self.genomes)

    @cached_property
    def genomes(self) -> Float:
        """Their genomes, float32 (n, d)."""
        return np.stack([self.genome(mask["id"]) for mask in self.masks])

    @property
    def material(self) -> Material:
        """What line-up, plates and stills show the masks in."""
        usual = COLOR if len(self.basis.colors) else NYLON
        return usual if self.options.material is None else material_named(self.options.material)

    @cached_property
    def lit_masks(self) -> list[LitMask]:
        """The masks in the studio: in ``color`` in their own, or in those of the record's gaze maps."""
        options = self.options
        near = options.pack is not None or options.stills is not None
        printed = near or (options.lineup_px or 0) > _SCREEN_PX
        studio = self._studio(finer=2, shadow_px=128) if printed else self._studio(finer=1)
        lit = [studio.light(points) for points in self.vertices]
        if self.material != COLOR:
            return lit
        if len(self.basis.colors):
            return dressed(lit, self.paint(self.genomes))
        return [s.painted(self._colors(mask["id"])) for s, mask in zip(lit, self.masks, strict=True)]

    def _studio(self, **finer: int) -> Studio:
        """A studio for masks of the run's basis."""
        return Studio(self.basis.triangles, self.basis.facts.center_m, **finer)

    def _colors(self, mask: str) -> NDArray[np.uint8]:
        found = gaze_colors(self.run, mask, self.facts["files"], len(self.basis.neutral))
        if not found:
            raise BadInput(
                f"--material color: the record holds no colors of {mask} (masks/{mask}/gaze-*.glb); "
                "take nylon, plaster or mirror"
            )
        return next(iter(found.values()))

    def sheets(self, tell: Progress) -> list[str]:
        """Line-up, composite, before and after."""
        options = self.options
        if not options.sheets:
            return []
        limited = self.plan.work["research_only"]
        beside = controls_of_facts(self.facts)
        captions = [caption(mask, limited, beside) for mask in self.masks] if options.captions else None
        sheets: list[tuple[str, Callable[[], palette.Image]]] = [
            ("lineup.png", lambda: self.lineup(captions)),
            (
                "composite.png",
                lambda: composite(self._studio(finer=1), self.vertices, *self._places()),
            ),
        ]
        frames = self.frames
        strips: list[tuple[str, Studio, list[Frame], str]] = [
            ("filmstrip.png", self._studio(), frames, "From noise to face")
        ]
        if len(frames) > 1:
            ends = [frames[0], frames[-1]]
            strips.append((BEFORE_AFTER, self._studio(finer=1), ends, "Before and after"))
        else:
            self.run.delete(BEFORE_AFTER)  # of other masks
        sheets += [(key, partial(self._strip, studio, shown, title)) for key, studio, shown, title in strips]
        for k, (key, make) in enumerate(sheets):
            self.run.put(key, palette.png(make()))
            tell("sheets", k + 1, len(sheets))
        keys = [key for key, _ in sheets]
        ids = [mask["id"] for mask in self.masks]
        shown = Shown(ids, self.vertices, self.basis.triangles, self.paint(self.genomes), self.facts)
        for key, picture in own_pictures(shown):
            self.run.put(key, palette.png(picture))
            keys.append(key)
        return keys

    def lineup(self, captions: Sequence[Caption] | None) -> palette.Image:
        """All masks under one light, uint8 (H, W, 3)."""
        level, width_px = self.level, self.options.lineup_px
        return lineup(self.lit_masks, captions, level=level, width_px=width_px, material=self.material)

    @property
    def level(self) -> str:
        """What lies at the origin of the basis."""
        return "the eyes" if self.basis.facts.face else "the center"

    def _places(self) -> tuple[NDArray[np.floating] | None, str]:
        """Places of each mask (n, L, 3) to lay the masks over one another by, and what to say of it."""
        if self.basis.landmarks:
            landmarks = np.array(sorted(self.basis.landmarks.values()), np.int64)
            return self.vertices[:, landmarks], "aligned on landmarks"
        found = []
        for genome in self.genomes if len(self.masks) <= MOST_MACHINE_VIEWS else ():
            sites = find_sites(self.eye, genome)
            if not all(name in sites.at for name in SITES):
                break
            found.append([sites.at[name] for name in SITES])
        if len(found) < len(self.masks):
            return None, "as they hang: machines do not see eyes in all of them"
        return np.array(found), "aligned where machines see eyes, nose and mouth"

    def _strip(self, studio: Studio, frames: Sequence[Frame], title: str) -> palette.Image:
        return film_strip(studio, self.decode, frames, title, self.painter)

    @property
    def frames(self) -> list[Frame]:
        """The run's story: the best mask of some generations; of a run without one its best mask."""
        story = self.facts["story"] or [{**self.masks[0], "fitness": None}]
        return [
            Frame(self.genome(s["id"]), s["generation"], s["fitness"], tuple(s.get("seen", ())))
            for s in story
        ]

    def kinds(self, tell: Progress) -> list[str]:
        """The archive's masks, each at its cell."""
        archive = self.facts.get("archive")
        if not archive:
            return []
        axes = [Axis(*(m[k] for k in ("name", "unit", "cells", "low", "high"))) for m in archive["measures"]]
        shown = archive["masks"]
        lit = self._lit_plainly("archive", shown, tell)
        places = [(int(mask["place"][0]), int(mask["place"][1])) for mask in shown]
        accepted = [bool(mask["accepted"]) for mask in shown]
        up = axes[1] if len(axes) > 1 else None
        sheet = kinds_sheet(lit, places, accepted, axes[0], up, not_shown(archive))
        self.run.put("archive.png", palette.png(sheet))
        return ["archive.png"]

    def wall(self, tell: Progress) -> list[str]:
        """The archive's masks where its cells are sets of machines."""
        wall = self.facts.get("wall")
        if not wall or not wall["masks"] or not self.options.sheets:
            return []
        lit = self._lit_plainly("wall", wall["masks"], tell)
        return hang(self.run, self.eye, self.plan, [self.genome(m["id"]) for m in wall["masks"]], lit, tell)

    def front(self, tell: Progress) -> list[str]:
        """The masks that nobody beats in all of the run's aims, side by side."""
        front = self.facts.get("front")
        if not front or not front["masks"] or not self.options.sheets:
            return []
        title = f"What {' and '.join(a['name'] for a in front['aims'])} cost each other"
        lit = self._lit_plainly("front", front["masks"], tell)
        self.run.put("front.png", palette.png(lineup(lit, front_captions(front), title, level=self.level)))
        return ["front.png"]

    def _lit_plainly(self, what: str, masks: Sequence[Mapping[str, Any]], tell: Progress) -> list[LitMask]:
        """Many masks in a plainer light, one by one."""
        studio = self._studio(directions=48, shadow_px=64)
        lit = []
        for k, mask in enumerate(masks):
            lit.append(self.lit(studio, mask["id"]))
            tell(what, k + 1, len(masks))
        return lit

    def decode(self, genomes: Float) -> Float:
        """Vertices float32 (n, V, 3)."""
        decoded: Float = self.eye.vertices(genomes).numpy()
        return decoded

    def paint(self, genomes: Float) -> NDArray[np.uint8] | None:
        """Colors uint8 (n, V, 3), or None where the basis has no color genes."""
        return self.decoder.paint_bytes(torch.from_numpy(np.array(genomes, np.float32)))

    def lit(self, studio: Studio, mask: str) -> LitMask:
        """One mask in its own colors, if it has any."""
        genome = self.genome(mask)[None]
        return dressed([studio.light(self.decode(genome)[0])], self.paint(genome))[0]

    @property
    def painter(self) -> Paint | None:
        """:meth:`paint` where there is anything to paint."""
        return self.paint if len(self.basis.colors) else None

    def genome(self, mask: str) -> Float:
        """The genome of a mask that the plan names."""
        found = self.plan.genomes.get(mask)
        if found is None or not np.isfinite(found).all() or found.shape != (len(self.basis.gene_names),):
            raise CorruptData(
                f"{self.run.url}: no usable genome of {mask} in the record; restore it from a copy of the run"
            )
        return found

    def stills(self, tell: Progress) -> list[str]:
        """Each mask on a gallery's wall, and the best one from behind a visitor."""
        if self.options.stills is None:
            return []
        shot = replace(self.options.stills, material=self.material)
        keys = []
        named = [
            (m["id"], lit, shot.material.name) for m, lit in zip(self.masks, self.lit_masks, strict=True)
        ]
        for mask, lit, name in [*named, (*named[0][:2], "room")]:
            key = f"masks/{mask}/still-{name}.png"
            taken = photograph(lit, replace(shot, room=name == "room"), told_as(tell, key))
            self.run.put(key, plate_png(taken, round(shot.width_px / PLATE_MM[0] * 25.4)))
            keys.append(key)
        return keys

    def films(self, tell: Progress) -> list[str]:
        """From noise to face, and the turntable."""
        options = self.options
        studio = self._studio(directions=64, shadow_px=64, finer=int(options.film_px > _SMOOTH_FILM_PX))
        marker = hog_mark if options.boxes else None
        frames = self.frames
        steps = 9
        total = (len(frames) - 1) * steps + 1
        shown = []
        for picture in morph(
            studio,
            self.decode,
            frames,
            size_px=options.film_px,
            steps=steps,
            marker=marker,
            paint=self.painter,
        ):
            shown.append(picture)
            if len(shown) <= total:  # then the last one is held
                tell("film", len(shown), total)
        self.poster = picture_uri(smaller(palette.png(shown[-1]), _FRONT_PX), quality=80)
        self.run.put("film.mp4", mp4(shown))
        self.run.put("film.webp", webp(shown))
        keys = ["film.mp4", "film.webp"]
        if options.spin:
            best = self.masks[0]["id"]
            mask_lit = self.lit(studio, best)
            self.run.put(
                "turntable.mp4", mp4(turntable(mask_lit, best, size_px=options.film_px, marker=marker))
            )
            keys.append("turntable.mp4")
        return keys

    def pictures(self, tell: Progress) -> dict[str, Any]:
        """Small pictures for the page: fronts, ancestors, and what the machines received."""
        studio = self._studio(directions=32, shadow_px=48)
        nodes = [n["id"] for mask in self.masks for n in mask["lineage"]]
        kinds = [m["id"] for m in (self.facts.get("archive") or {"masks": []})["masks"]]
        along = [m["id"] for m in (self.facts.get("front") or {"masks": []})["masks"]]
        wanted = [*(m["id"] for m in self.masks), *nodes, *along, *kinds]
        wanted = list(dict.fromkeys(wanted))[:MOST_THUMBS]
        thumbs = {}
        for k, name in enumerate(wanted):
            mask_lit = self.lit(studio, name)
            thumbs[name] = picture_uri(_on_wall(mask_lit, _THUMB_PX), quality=72)
            tell("ancestors", k + 1, len(wanted))
        fronts = {}
        for mask in self.masks:
            fronts[mask["id"]] = picture_uri(self._front(mask["id"], studio), quality=80)
        seen = {}
        chosen = self.masks[:MOST_MACHINE_VIEWS]
        for k, mask in enumerate(chosen):
            seen[mask["id"]] = machine_views(self.run, self.eye, self.genome(mask["id"]), self.plan)
            tell("machines", k + 1, len(chosen))
        made = {"format": 1, "thumbs": thumbs, "fronts": fronts, "received": seen, "poster": self.poster}
        return made if self.facts.get("wall") is None else {**made, "wall": self._hung()}

    def _hung(self) -> str | None:
        """The wall as a page carries it."""
        try:
            return picture_uri(smaller(self.run.get(WALL), _WALL_PX), quality=80)
        except (ObjectMissing, OSError):
            return None

    def _front(self, mask: str, studio: Studio) -> palette.Image:
        try:
            return smaller(self.run.get(f"masks/{mask}/front.png"), _FRONT_PX)
        except (ObjectMissing, OSError):
            return _on_wall(self.lit(studio, mask), _FRONT_PX)


def told_as(tell: Progress, name: str) -> Progress:
    """Tells of one stage under a name of its own."""
    return lambda _, done, total: tell(name, done, total)


def hog_mark(picture: NDArray[np.uint8]) -> Mark:
    """dlib's HOG detector on one picture of the film itself: uint8 (S, S, 3)."""
    found = hog_boxes(picture)
    if not found:
        return Mark(None, "HOG: no face")
    score, (left, top, right, bottom) = found[0]
    side = picture.shape[0]
    return Mark((left / side, top / side, right / side, bottom / side), f"HOG {palette.signed(score)}")


def caption(
    mask: Mapping[str, Any],
    research_only: Sequence[str] = (),
    controls: Mapping[str, Counts] | None = None,
) -> Caption:
    """What stands beside a mask in the line-up: its margins, and what the audit said of it and of noise."""
    rows = [(label, palette.signed(v)) for label, v in mask["values"].items() if v is not None]
    fitness = "fitness" if mask.get("ranked", True) else "fitness on its own views"
    rows.insert(0, (fitness, "-" if mask["fitness"] is None else palette.signed(mask["fitness"])))
    if mask["flipped"] is not None:
        rows.append(("folded area", f"{mask['flipped']:.0%}"))
    audit = mask["audit"]
    if audit:
        critics = audit.get("critics") or {}
        rates = {"audit": audit["hog_rate"], **critics}
        seen = {name: (controls or {}).get(name, {}).get("noise") for name in rates}
        noise = {name: f", {hits[0] / hits[1]:.0%}" for name, hits in seen.items() if hits is not None}
        rows.append(("a face in", "views, of noise" if noise else "views"))
        faces = {
            name: f"{round(rate * audit['views'])} of {audit['views']}{noise.get(name, '')}"
            for name, rate in rates.items()
        }
        rows.append(("audit: HOG", faces["audit"]))
        if audit.get("distance_median") is not None:
            rows.append(("audit: distance", f"{audit['distance_median']:.2f}"))
        rows += [(name, faces[name]) for name in critics]
    rows += [("research only", name) for name in research_only]
    return Caption(mask["id"], tuple(rows))


def not_shown(archive: Mapping[str, Any]) -> str:
    """What of an archive its sheet leaves out, in words."""
    others = " and ".join(measure["name"] for measure in archive["measures"][2:])
    words = [f"Of cells that differ in {others} only, the best is shown."] if others else []
    shown, all_ = len(archive["masks"]), archive.get("filled_in_sight", 0)
    return " ".join([*words, f"Shown are the {shown} best of {all_}." if all_ > shown else ""]).strip()


def front_captions(front: Mapping[str, Any]) -> list[Caption]:
    """What each mask of a front has of each aim: a row an aim, or one row where many masks hang as a wall."""
    captions = []
    for mask in front["masks"]:
        rows = [
            (a["name"], f"{v:.2f} {a['unit']}".strip())
            for a, v in zip(front["aims"], mask["aims"], strict=True)
        ]
        if len(front["masks"]) > MOST_ROWS:
            rest = " · ".join([rows[0][1], *(f"{name} {value}" for name, value in rows[1:])])
            rows = [(rows[0][0], rest)]
        captions.append(Caption(mask["id"], tuple(rows)))
    return captions


def _on_wall(mask_lit: LitMask, size_px: int) -> palette.Image:
    wall = palette.backdrop(size_px, size_px)
    palette.mount(wall, mask_lit.shoot(POSE, size_px, shared_field_mm([mask_lit], [POSE])), (0, 0))
    return palette.pixels(wall)
