"""The stages of the proof, in their order. An elite is fixed before any critic is asked: its cell is written.

Cells are named after a search (``noise-101``: the proof's own, ``random-101``, ``permuted-101``,
``oval-free-101`` ...) or after what has no seed (``plain``, ``pigment``, ``zero``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells import Cell, Stage, needed
from bench.noise_proof import permuted
from bench.noise_proof.conditions import (
    FIRST_LOOK,
    LIT_FROM_BELOW,
    NOISE,
    PATTERN,
    SECOND_LOOK,
    STANDARD,
    UPSIDE_DOWN,
    USUAL,
    WIDE,
    YAW,
    Condition,
)
from bench.noise_proof.looks import ask, by_dlib, glance, look
from bench.noise_proof.searches import RANDOM, Elite, noise, search, twins
from bench.noise_proof.settings import FITTED, MACHINES, WITNESS, Settings
from coordinator.spec.spec import Spec, parse_spec
from services.shape.catalog import basis_info, with_color

Float = NDArray[np.float32]
Figures = Mapping[str, Any]

ALL = (*FITTED, *MACHINES)
SIDES = ("symmetric", "free")
_AT_ONCE = 480  # pictures of much noise: so many in memory
_DIGITS = 5  # of scores that are kept

# The numbers of random streams, with a seed: noise and signs are nobody else's.
_TWINS, _PLAIN, _PIGMENT, _BEST, _STANDARD = range(5)


def _rng(stream: int, seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(20_261_130, spawn_key=(stream, seed)))


def _parts(name: str) -> tuple[str, int]:
    """The kind and the seed of a search's name."""
    kind, _, seed = name.rpartition("-")
    return kind, int(seed)


# -- searches


def _ablation_kinds(settings: Settings) -> list[str]:
    """Other blanks and symmetries; the proof's own is there already."""
    kinds = [f"{shape}-{side}" for shape in settings.shapes for side in SIDES]
    return [kind for kind in kinds if kind != own_kind(settings)]


def own_kind(settings: Settings) -> str | None:
    """What the ablation calls the proof's own searches, such as ``oval-free``; None where islands differ."""
    spec = settings.usual
    shape = spec.mask.basis.split("+")[0].removeprefix("blank-").rpartition("-")[0]
    sides = {spec.search.symmetric_on(island) for island in range(spec.search.islands)}
    return f"{shape}-{SIDES[not sides.pop()]}" if len(sides) == 1 else None


def spec_of(settings: Settings, name: str) -> Spec:
    """The spec of a search, by its name; of permuted machines without their thresholds."""
    kind, seed = _parts(name)
    if kind in ("noise", "permuted"):
        return settings.spec(seed)
    if kind == "random":
        return settings.spec(seed, RANDOM)
    shape, _, side = kind.rpartition("-")
    symmetric = "true" if side == "symmetric" else "false"
    return settings.spec(seed, [f"mask.basis=blank-{shape}-1", f"search.symmetric={symmetric}"])


def _searches(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    kinds = [("noise", settings.seeds), ("random", settings.random_seeds), ("permuted", settings.seeds)]
    return _named("search", kinds, seeds, settings.scored_views)


def _ablations(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    kinds = [(kind, settings.ablation_seeds) for kind in _ablation_kinds(settings)]
    return _named("ablation", kinds, seeds, settings.scored_views + settings.ablation_views)


def _named(
    stage: str, kinds: Sequence[tuple[str, Sequence[int]]], seeds: Sequence[int], pictures: int
) -> list[Cell]:
    """A cell of each kind and seed; every kind's first seed before any second, to see early."""
    found = [
        (place, kind, seed) for kind, own in kinds for place, seed in enumerate(s for s in own if s in seeds)
    ]
    return [Cell(stage, f"{kind}-{seed}", pictures) for _, kind, seed in sorted(found, key=lambda f: f[0])]


def _search(settings: Settings, folder: Path, name: str) -> Figures:
    kind, seed = _parts(name)
    spec, runs = spec_of(settings, name), folder / "runs"
    if kind != "permuted":
        return search(spec, runs, name).as_json()
    machines = permuted.machines(seed)
    standards = _standards(settings, spec, seed, machines)
    spec = parse_spec(permuted.standardized(spec.table(), standards), name)
    elite = search(spec, runs, name, permuted.in_place(machines))
    return {**elite.as_json(), "standards": {model: vars(s) for model, s in standards.items()}}


def _standards(
    settings: Settings, spec: Spec, seed: int, machines: Mapping[str, Any]
) -> dict[str, permuted.Standard]:
    genomes = noise(spec, _rng(_STANDARD, seed), settings.standard_masks)
    pictures = glance(spec, genomes, STANDARD, seed)
    true, changed = ask(pictures, FITTED), ask(pictures, FITTED, machines)
    return {model: permuted.Standard.of(model, true[model], changed[model]) for model in FITTED}


def elite_of(settings: Settings, folder: Path, name: str) -> Elite:
    """The elite of a search that is done."""
    stage = "ablation" if _parts(name)[0] in _ablation_kinds(settings) else "search"
    return Elite.read(needed(settings, folder, stage, name))


# -- what is asked about masks


def _answers(
    spec: Spec, genomes: Float, condition: Condition, views: int, *key: int, names: Sequence[str] = ALL
) -> dict[str, Any]:
    """Scores of masks as JSON values: by machine, a row a mask."""
    seen = look(spec, genomes, condition, views, *key)
    scores = ask(seen.pictures, names)
    rows = {
        name: values.astype(np.float64).round(_DIGITS).reshape(len(genomes), -1).tolist()
        for name, values in scores.items()
    }
    return {"renderers": list(seen.renderers), "scores": rows}


def _verifications(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    kinds = [("noise", settings.seeds), ("random", settings.random_seeds)]
    return _named("verify", kinds, seeds, 2 * settings.held_out_views)


def _verify(settings: Settings, folder: Path, name: str) -> Figures:
    elite, seed = elite_of(settings, folder, name), _parts(name)[1]
    found = {}
    for condition in (USUAL, WIDE):
        seen = look(spec_of(settings, name), elite.genome[None], condition, settings.held_out_views, seed)
        said = {machine: values.astype(int).tolist() for machine, values in by_dlib(seen.pictures).items()}
        found[condition.name] = {"renderers": list(seen.renderers), "seen": said}
    return found


def _critics(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    kinds = [("noise", settings.seeds), ("random", settings.random_seeds), ("permuted", settings.seeds)]
    masks = settings.noise_masks * settings.noise_views
    without = [("plain", masks), ("pigment", masks), ("zero", settings.held_out_views)]
    return [
        *(Cell("critics", name, pictures) for name, pictures in without),
        *_named("critics", kinds, seeds, 2 * settings.held_out_views),
    ]


def _criticized(settings: Settings, folder: Path, name: str) -> Figures:
    if name == "zero":
        spec = settings.usual
        zero = np.zeros((1, len(basis_info(spec.mask.basis).gene_names)), np.float32)
        return {USUAL.name: _answers(spec, zero, USUAL, settings.held_out_views)}
    if name in ("plain", "pigment"):
        spec = settings.usual
        if name == "pigment":
            spec = settings.spec(0, [f"mask.basis={with_color(spec.mask.basis.split('+')[0])}"])
        stream = _PLAIN if name == "plain" else _PIGMENT
        genomes = noise(spec, _rng(stream), settings.noise_masks)
        return {NOISE.name: _answers(spec, genomes, NOISE, settings.noise_views, stream)}
    elite, seed, spec = elite_of(settings, folder, name), _parts(name)[1], spec_of(settings, name)
    return {
        condition.name: _answers(spec, elite.genome[None], condition, settings.held_out_views, seed)
        for condition in (USUAL, WIDE)
    }


def _controls(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    pictures = settings.twins * settings.twin_views + 2 * settings.turned_views
    return _named("controls", [("noise", settings.seeds)], seeds, pictures)


def _control(settings: Settings, folder: Path, name: str) -> Figures:
    elite, seed, spec = elite_of(settings, folder, name), _parts(name)[1], spec_of(settings, name)
    genomes = twins(elite.genome, _rng(_TWINS, seed), settings.twins)
    # A stream of views of their own: row 0 of the elite's key is the elite.
    said = {"twins": _answers(spec, genomes, USUAL, settings.twin_views, seed, 1)}
    for condition in (UPSIDE_DOWN, LIT_FROM_BELOW):
        said[condition.name] = _answers(spec, elite.genome[None], condition, settings.turned_views, seed)
    return said


def _bests(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    pictures = _masks(settings) + settings.best_kept * settings.best_again + settings.held_out_views
    return _named("best", [("noise", settings.seeds)], seeds, pictures)


def _masks(settings: Settings) -> int:
    """How many masks a search of the proof looks at."""
    search = settings.usual.search
    return search.islands * search.population * search.generations


def _best(settings: Settings, folder: Path, name: str) -> Figures:
    """The noise mask that each critic likes best among as many as a search has, on held-out views.

    One view of each, more of the best of them, and that critic's answers to the best of those.
    """
    spec, seed = spec_of(settings, name), _parts(name)[1]
    genomes = noise(spec, _rng(_BEST, seed), _masks(settings))
    first: dict[str, list[Float]] = {machine: [] for machine in MACHINES}
    for number, start in enumerate(range(0, len(genomes), _AT_ONCE)):
        pictures = glance(spec, genomes[start : start + _AT_ONCE], FIRST_LOOK, seed, number)
        for machine, values in ask(pictures, MACHINES).items():
            first[machine].append(values)
    said = {}
    for machine, scores in first.items():
        kept = np.argsort(-np.concatenate(scores), kind="stable")[: settings.best_kept]
        seen = look(spec, genomes[kept], SECOND_LOOK, settings.best_again, seed)
        again = ask(seen.pictures, [machine])[machine].reshape(len(kept), -1)
        row = int(kept[int(np.argmax(again.mean(axis=1, dtype=np.float64)))])
        answers = _answers(spec, genomes[row][None], USUAL, settings.held_out_views, seed, 2, names=[machine])
        said[machine] = {"row": row, **answers}
    return {"masks": len(genomes), "critics": said}


def _patterns(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    pictures = len(PATTERN + YAW) * settings.pattern_views
    return _named("pattern", [("noise", settings.seeds)], seeds, pictures)


def _pattern(settings: Settings, folder: Path, name: str) -> Figures:
    elite, seed, spec = elite_of(settings, folder, name), _parts(name)[1], spec_of(settings, name)
    return {
        condition.name: _answers(spec, elite.genome[None], condition, settings.pattern_views, seed)
        for condition in (*PATTERN, *YAW)
    }


def _ablated(settings: Settings, folder: Path, name: str) -> Figures:
    spec, seed = spec_of(settings, name), _parts(name)[1]
    elite = search(spec, folder / "runs", name)
    answers = _answers(spec, elite.genome[None], USUAL, settings.ablation_views, seed)
    return {**elite.as_json(), USUAL.name: answers}


def _testimonies(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    plain = Cell("witness", "plain", settings.noise_masks * settings.noise_views)
    elites = _named("witness", [("noise", settings.seeds)], seeds, settings.held_out_views)
    return [
        plain,
        *(replace(c, pictures=c.pictures + settings.twins * settings.twin_views) for c in elites),
        *_named("witness", [("permuted", settings.seeds)], seeds, settings.held_out_views),
    ]


def _testimony(settings: Settings, folder: Path, name: str) -> Figures:
    """What the witness says of the very pictures that the critics were shown."""
    ask_it = partial(_answers, names=[WITNESS.machine])
    if name == "plain":
        spec = settings.usual
        genomes = noise(spec, _rng(_PLAIN), settings.noise_masks)
        return {NOISE.name: ask_it(spec, genomes, NOISE, settings.noise_views, _PLAIN)}
    elite, (kind, seed), spec = elite_of(settings, folder, name), _parts(name), spec_of(settings, name)
    said = {USUAL.name: ask_it(spec, elite.genome[None], USUAL, settings.held_out_views, seed)}
    if kind == "noise":
        genomes = twins(elite.genome, _rng(_TWINS, seed), settings.twins)
        said["twins"] = ask_it(spec, genomes, USUAL, settings.twin_views, seed, 1)
    return said


STAGES = {
    stage.name: stage
    for stage in (
        Stage("search", "runs, random search, machines with permuted weights", 0.015, _searches, _search),
        Stage("verify", "dlib's own HOG and MMOD on each elite", 0.3, _verifications, _verify),
        Stage("critics", "critics on elites, noise and the zero", 0.14, _critics, _criticized),
        Stage("controls", "random signs, upside down, lit from below", 0.12, _controls, _control),
        Stage("best", "the best of as many noise masks by each critic", 0.083, _bests, _best),
        Stage("pattern", "blur, size, JPEG, colors, light, yaw", 0.11, _patterns, _pattern),
        Stage("ablation", "other blanks, symmetric and free", 0.015, _ablations, _ablated),
        Stage("witness", "a machine that no choice had looked at", 0.02, _testimonies, _testimony),
    )
}
