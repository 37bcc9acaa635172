"""Calibrate a recognizer: draw people, compare them, say what its thresholds mean. Body of a task."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.progress import Progress
from services.recognition.catalog import model_info
from services.recognition.model import ModelInfo
from services.recognition.photos import Photo
from services.recognition.statistics.calibration import (
    FARS,
    MIXED,
    PHOTOS,
    RENDERS,
    Calibration,
    PairSet,
    detected_share,
    file_name,
    set_of,
)
from services.recognition.statistics.rates import genuine_pairs, impostor_pairs, needed_pairs
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info, check_face
from services.storage.store import Store
from services.versions import installed_versions
from worker.examination.blocks import open_population, read_block, write_block
from worker.examination.distances import (
    GENUINE,
    PAIRS,
    Block,
    Population,
    Sampler,
    compared,
    concatenated,
)
from worker.examination.targets import embed_photos
from worker.eye import ALIGNED_BY

PACKAGES = ("datamask", "torch", "numpy", "scipy", "dlib-bin")

Float = NDArray[np.float32]


def calibrate(
    model: str,
    basis: str,
    spreads: Sequence[float],
    pairs: int,
    seed: int,
    ranges: ViewRanges,
    place: Store,
    photos: Sequence[Photo] = (),
    progress: Progress | None = None,
    device: str = "cpu",
) -> tuple[Calibration, list[str]]:
    """Measure a recognizer's thresholds on rendered heads, and on photographs if there are any.

    :param spreads: of the random heads' genes, one set of pairs for each. pairs: independent impostor pairs
        of each, at least; whole blocks are drawn. place: where blocks are kept; those that are there are
        taken, so that an interrupted calibration goes on. progress: called with what, done, of.
    :returns: the calibration, and a line for each photo that was left out (no face, several, unreadable).
    :raises BadInput: for a model that is no recognizer, too few pairs, or photos of which none can be used.
    :raises Unavailable: where its weights are missing.
    """
    info = model_info(model)
    if info.kind != "recognize":
        raise BadInput(f"model {model!r} is a {info.kind} model; calibrate takes a recognizer: dlib-resnet")
    check_face(basis, "calibrate")
    _check(spreads, pairs)
    report = progress or _silent
    left_out: list[str] = []
    embedded, people = _embed(model, photos, left_out, report)
    sets: list[PairSet] = []
    probe: tuple[float, ...] = ()
    for spread in spreads:
        population = Population(model, basis, float(spread), ranges, seed)
        sampler = Sampler(population, device)
        found = sampler.probe()
        probe = tuple(round(float(x), 6) for x in found)
        home = place.sub(f"{file_name(model)}/spread-{spread:g}")
        block = _blocks(home, sampler, found, -(-pairs // PAIRS), report)
        sets.append(_rendered(block, spread, info))
        if people:
            sets.append(_mixed(sampler, spread, embedded, people, info))
    if people:
        sets += _photographed(embedded, people, seed, info)
    provenance = {
        "command": _command(model, spreads, pairs, seed, bool(photos)),
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "basis": basis,
        "basis_sha256": basis_info(basis).sha256,
        "seed": seed,
        "pairs_a_block": PAIRS,
        "views": ranges.table(),
        "photos": len(people),
        "people": len(set(people)),
        "versions": installed_versions(PACKAGES),
    }
    return Calibration(
        model, info.sha256, info.measure == "similarity", ALIGNED_BY, probe, tuple(sets), provenance
    ), left_out


def _check(spreads: Sequence[float], pairs: int) -> None:
    if not spreads or len(set(spreads)) != len(spreads):
        raise BadInput(f"--spread {list(spreads)}: expected different numbers, such as 0.4 and 0.8")
    for spread in spreads:
        if not 0.01 <= spread <= 5:
            raise BadInput(f"--spread {spread:g}: expected a number from 0.01 to 5")
    least = needed_pairs(max(FARS))
    if pairs < least:
        raise BadInput(
            f"--pairs {pairs}: too few to state any FAR; {max(FARS):g} needs {least} independent pairs, "
            f"{min(FARS):g} needs {needed_pairs(min(FARS))}"
        )


def _blocks(place: Store, sampler: Sampler, probe: Float, count: int, report: Progress) -> Block:
    """The first ``count`` blocks, drawing those that are not there yet."""
    meta = sampler.population.meta()
    there = open_population(place, meta, probe)
    what = f"{sampler.population.model}, spread {sampler.population.spread:g}"
    blocks = []
    for number in range(count):
        if number in there:
            arrays = read_block(place, number)
            block = Block(arrays["impostor"], arrays["genuine"], arrays["detected"])
        else:
            block = sampler.block(number)
            write_block(place, number, vars(block))
        blocks.append(block)
        report(what, (number + 1) * PAIRS, count * PAIRS)
    return concatenated(blocks)


def _rendered(block: Block, spread: float, info: ModelInfo) -> PairSet:
    looked = block.detected.reshape(-1, 2, PAIRS)
    both, again = looked.all(axis=1).ravel(), looked[:, 0, :GENUINE].ravel()
    found = None
    if both.any():
        found = set_of(info, RENDERS, spread, block.impostor[both], block.genuine[again])
    whole = set_of(info, RENDERS, spread, block.impostor, block.genuine)
    return replace(whole, detected=detected_share(block.detected), found=found)


def _mixed(
    sampler: Sampler, spread: float, embedded: Float, people: Sequence[str], info: ModelInfo
) -> PairSet:
    """Each photographed person against a rendered one of its own."""
    chosen = [people.index(person) for person in dict.fromkeys(people)]
    heads = sampler.people(len(chosen))
    scores = compared(info.comparison, heads, embedded[chosen])
    return set_of(info, MIXED, spread, scores)


def _photographed(embedded: Float, people: Sequence[str], seed: int, info: ModelInfo) -> list[PairSet]:
    impostor, genuine = impostor_pairs(people, seed), genuine_pairs(people, seed)
    if not len(impostor):
        return []
    scores = [
        compared(info.comparison, embedded[pairs[:, 0]], embedded[pairs[:, 1]])
        for pairs in (impostor, genuine)
    ]
    return [set_of(info, PHOTOS, None, scores[0], scores[1])]


def _embed(
    model: str, photos: Sequence[Photo], left_out: list[str], report: Progress
) -> tuple[Float, list[str]]:
    embedded, people = [], []
    for k, photo in enumerate(photos):
        try:
            embedded.append(embed_photos([photo.path], model)[0])
            people.append(photo.person)
        except BadInput as error:
            left_out.append(str(error))
        report("photos", k + 1, len(photos))
    if not photos:
        return np.zeros((0, 0), np.float32), []
    if not embedded:
        raise BadInput(f"none of {len(photos)} photos can be used; the first: {left_out[0]}")
    return np.stack(embedded), people


def _command(model: str, spreads: Sequence[float], pairs: int, seed: int, photos: bool) -> str:
    words = ["datamask", "calibrate", model, *(w for s in spreads for w in ("--spread", f"{s:g}"))]
    words += ["--pairs", str(pairs), "--seed", str(seed)]
    return " ".join(words + (["--photos", "DIR"] if photos else []))


def _silent(what: str, done: int, of: int) -> None:
    return
