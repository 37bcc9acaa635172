"""Cross-check a run's elites: the audit pipeline, the fitted models and the critics, on held-out views.

Rates are of rendered views. A render is not a presentation attack trial in the sense of ISO/IEC 30107-3: what
is counted here is a *simulated match rate*.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from services.errors import BadInput
from services.progress import Progress
from services.recognition.catalog import model_info
from services.recognition.statistics.calibration import Calibration, PairSet, calibration_of
from services.recognition.statistics.controls import against
from services.recognition.statistics.identification import spread_of
from services.recognition.statistics.plots import identification_plot, verification_plot
from services.rendering.views import ViewRanges, Views, frontal_view, sample_views
from services.shape.catalog import facts_of
from services.storage.store import Store
from worker.examination.blocks import same_probe
from worker.examination.controls import Subject, first_of, noise_of, zero_of
from worker.examination.identify import DETECTOR, STRANGERS, Gallery, identify, rendered_people, with_entries
from worker.examination.match_rates import (
    Cuts,
    alike_row,
    cuts_of,
    detected_row,
    gap,
    matched_row,
    person_pairs,
)
from worker.examination.panel import AUDIT, Answers, Float, Panel
from worker.examination.photographs import photo_entries, printed_rows

FORMAT = 1
RANDOM_SPREAD = 0.4  # of the random heads that stand beside the masks
RESNET = "dlib-resnet"
LEAST = 10  # people in a gallery
NOT_RUN = "not run"
NOTE = "rates are simulated match rates on renders, not presentation attack trials (ISO/IEC 30107-3)"


@dataclass(frozen=True)
class Claim:
    """What a run says of itself, as far as verification needs it.

    elites: (id, genome float32 (d,)), the best first. spread: of its noise. seed: of the held-out views.
    fitted: models that took part in the search; critics: models that did not. hashes: SHA-256 by model, as
    the run pinned them. targets: reference embeddings float32 (photos, d) by recognizer; empty: no identity.
    filters: what correlation filters were built for the search, float32 (1, S, S) by model. absent: critics
    that cannot be asked, because their weights are not here, and how to get those. first: the best mask of
    generation 0, where the run has one. noise: how many noise masks there are at least. limit: within which
    its genes are held.
    """

    basis: str
    elites: Sequence[tuple[str, Float]]
    ranges: ViewRanges
    spread: float
    seed: int
    fitted: tuple[str, ...]
    critics: tuple[str, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Float] = field(default_factory=dict)
    filters: Mapping[str, Float] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    first: tuple[str, Float] | None = None
    noise: int = 0
    limit: float = np.inf


def verify(
    run: Store,
    claim: Claim,
    views: int,
    gallery: int = 1000,
    photos: Mapping[str, Sequence[Path]] | None = None,
    gallery_photos: Sequence[Path] = (),
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Ask every machine about every elite and the controls; write ``verify/verify.json`` and plots.

    :param views: held-out views of each subject, an even number. gallery: rendered people to search masks
        among, and whose likeness to the claim's person tells what passes for it at which FAR; 0 for neither.
        photos: of the printed objects by mask id. gallery_photos: people to search among, too. progress:
        called with what, done, of.
    :returns: what was written, as JSON values.
    :raises BadInput: without elites, for a critic that took part in the search, or an odd number of views.
    """
    report = progress or _silent
    _check(claim, views, gallery)
    names = dict.fromkeys([*claim.fitted, *claim.critics, DETECTOR, *([RESNET] if gallery else [])])
    panel = Panel(claim.basis, list(names), claim.hashes, device, claim.filters)
    calibrations = {n: calibration_of(run, n) for n in [*panel.recognizers, RESNET]}
    near = spread_of(np.stack([genome for _, genome in claim.elites]))
    people = _gallery(claim, panel, gallery, report) if gallery else {}
    cuts = {
        n: cuts_of(model_info(n), c, bool(claim.targets), near, _person(claim, n, people.get(n)))
        for n, c in calibrations.items()
    }
    warnings = _stale(panel, calibrations, cuts)
    warnings += [
        f"{name}: not run, for its weights are not here: {get}" for name, get in claim.absent.items()
    ]
    drawn = _views(claim, views)
    subjects = subjects_of(claim, views)
    rows: list[dict[str, Any]] = []
    heard: dict[str, Answers] = {}
    for k, subject in enumerate(subjects):
        # More pictures than views go through the views again.
        answers = panel.ask(panel.look(subject.genomes, drawn.take(np.arange(len(subject.genomes)) % views)))
        heard[subject.name] = answers
        rows += _rows(claim, panel, subject, answers, cuts)
        report("subjects", k + 1, len(subjects))
    found: dict[str, Any] = {
        "format": FORMAT,
        "views": views,
        "view_seed": claim.seed,
        "question": "target" if claim.targets else "itself",
        "fitted": list(claim.fitted),
        "critics": list(claim.critics),
        "calibration": {name: asdict(cut) for name, cut in cuts.items() if name in panel.recognizers},
        "warnings": warnings,
        "gap": gap(rows),
        "rows": rows,
        "controls": against(rows),
        "identification": None,
        "photographs": None,
        "note": NOTE,
    }
    if panel.of_heads is not panel:
        found["impostors"] = f"random heads of {panel.of_heads.eye.basis.id}"
    if gallery:
        found["identification"] = _identified(
            claim, panel, heard, people[RESNET], gallery_photos, calibrations, report
        )
    if photos:
        target = claim.targets.get(RESNET)
        found["photographs"] = printed_rows(photos, panel, claim.critics, target, cuts[RESNET], report)
    return _write(run, found)


def _check(claim: Claim, views: int, gallery: int) -> None:
    if 0 < gallery < LEAST:
        raise BadInput(f"--gallery {gallery}: expected 0 (no search) or at least {LEAST} people")
    if not claim.elites:
        raise BadInput("there is no elite to verify")
    if views < 2 or views % 2:
        raise BadInput(f"--views {views}: expected an even number of 2 or more (views are paired)")
    for critic in claim.critics:
        info = model_info(critic, claim.hashes.get(critic))
        if critic in claim.fitted:
            raise BadInput(
                f"'{critic}' is an objective of this run; a critic must take no part in the search"
            )
        if "critic" not in info.roles or info.kind not in ("detect", "recognize", "correlate"):
            raise BadInput(f"model '{critic}' cannot be a critic; see datamask models for those that can")


def _views(claim: Claim, views: int) -> Views:
    """Held-out views in a random order: those of a pair have nothing to do with each other."""
    order = np.random.default_rng(claim.seed).permutation(views)
    return sample_views(claim.ranges, views, claim.seed).take(order)


def subjects_of(claim: Claim, views: int) -> list[Subject]:
    """The elites, and beside them their controls: zero, the first generation's best, random heads where the
    basis is a head, and noise, drawn from the claim's seed. Two pictures show one random mask.
    """
    genes, facts = len(claim.elites[0][1]), facts_of(claim.basis)
    rng = np.random.default_rng([claim.seed, 1])
    random = noise_of(rng, genes, views // 2, RANDOM_SPREAD, np.inf)
    noise = noise_of(rng, genes, max(views // 2, claim.noise), claim.spread, claim.limit)
    controls = [zero_of(facts, genes, views)]
    if claim.first is not None:
        controls.append(first_of(*claim.first, views))
    if facts.face:
        heads = np.repeat(random.genomes, 2, axis=0)
        controls.append(Subject(f"random heads, spread {RANDOM_SPREAD:g}", "random", heads))
    controls.append(Subject(noise.name, noise.kind, np.repeat(noise.genomes, 2, axis=0)))
    elites = [Subject(name, "elite", np.repeat(genome[None], views, axis=0)) for name, genome in claim.elites]
    return elites + controls


def _rows(
    claim: Claim,
    panel: Panel,
    subject: Subject,
    answers: Answers,
    cuts: Mapping[str, Cuts],
) -> list[dict[str, Any]]:
    rows = []
    sides = {**dict.fromkeys(claim.fitted, "fitted"), AUDIT: AUDIT, **dict.fromkeys(claim.critics, "critic")}
    for machine, side in sides.items():
        head = {"subject": subject.name, "kind": subject.kind, "machine": machine, "side": side}
        if machine in answers.detected:
            rows.append({**head, **detected_row(answers.detected[machine])})
        if machine in answers.alike:
            rows.append({**head, **alike_row(answers.alike[machine], answers.faces[machine])})
        if machine in answers.embeddings:
            model = RESNET if machine == AUDIT else machine
            target = claim.targets.get(model)
            if claim.targets and target is None:
                continue  # this critic has no reference of the person: give verify --target PHOTO
            embeddings, comparison = answers.embeddings[machine], model_info(model).comparison
            rows.append({**head, **matched_row(embeddings, target, comparison, cuts[model])})
    for machine in claim.absent:
        head = {"subject": subject.name, "kind": subject.kind, "machine": machine, "side": "critic"}
        rows.append({**head, "what": NOT_RUN})
    return rows


def _stale(
    panel: Panel, calibrations: Mapping[str, Calibration | None], cuts: Mapping[str, Cuts]
) -> list[str]:
    """A line for each calibration that was made with another alignment or other weights, or is wanted."""
    warnings = []
    heads = panel.of_heads
    neutral = np.zeros((1, len(heads.eye.basis.gene_names)), np.float32)
    for name, machine in panel.recognizers.items():
        calibration = calibrations.get(name)
        if calibration is None:
            if not cuts[name].pairs:
                warnings.append(
                    f"{name}: not calibrated; only its published threshold is shown (datamask calibrate)"
                )
            continue
        size = calibration.provenance.get("views", {}).get("size_px", 160)
        picture = heads.look(neutral, frontal_view(int(size)))
        probe = heads.embed(machine, picture, np.ones(1, np.bool_))[0]
        if not same_probe(calibration.probe, probe):
            warnings.append(
                f"{name}: its calibration was made with another alignment or version; make it anew with: "
                f"datamask calibrate {name}"
            )
    return warnings


def _gallery(claim: Claim, panel: Panel, count: int, report: Progress) -> dict[str, Gallery]:
    """Other people, as each recognizer sees them that knows the claim's person, and dlib's for the search."""
    report("gallery", 0, count)
    models = dict.fromkeys([RESNET, *(n for n in panel.recognizers if n in claim.targets)])
    return _people(claim, panel, list(models), count, 0, lambda have: report("gallery", have, count))


def _people(
    claim: Claim,
    panel: Panel,
    models: Sequence[str],
    count: int,
    first: int,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Gallery]:
    heads, ranges, seed = panel.of_heads, claim.ranges, claim.seed
    basis = heads.eye.basis.id
    return rendered_people(heads, models, basis, RANDOM_SPREAD, ranges, seed, count, first, progress)


def _person(claim: Claim, model: str, others: Gallery | None) -> PairSet | None:
    """Other people against the claim's person, where there is one that this recognizer knows."""
    references = claim.targets.get(model)
    if others is None or references is None:
        return None
    return person_pairs(
        model_info(model, claim.hashes.get(model)), others.embeddings, references, RANDOM_SPREAD
    )


def _identified(
    claim: Claim,
    panel: Panel,
    heard: Mapping[str, Answers],
    gallery: Gallery,
    photos: Sequence[Path],
    calibrations: Mapping[str, Calibration | None],
    report: Progress,
) -> dict[str, Any] | None:
    calibration = calibrations[RESNET]
    pairs = None if calibration is None else calibration.nearest("render-render", RANDOM_SPREAD)
    if pairs is None or not pairs.thresholds:
        return None
    report("search", 0, 3)
    strangers = _people(claim, panel, [RESNET], min(STRANGERS, len(gallery.entries)), 1_000_000)[RESNET]
    report("search", 1, 3)
    embeddings, entries, left_out = photo_entries(photos)
    gallery = with_entries(gallery, embeddings, entries)
    target = None
    if RESNET in claim.targets:
        target = len(gallery.entries)
        gallery = with_entries(gallery, [claim.targets[RESNET].mean(axis=0)], ["the target"])
    report("search", 2, 3)
    masks = {name: heard[name].embeddings[AUDIT] for name, _ in claim.elites}
    found = identify(gallery, strangers.embeddings, masks, target, pairs, "euclidean")
    report("search", 3, 3)
    return {**found, "recognizer": RESNET, "photos": len(entries), "left_out": left_out}


def _write(run: Store, found: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(found, indent=1, allow_nan=False)
    run.put("verify/verify.json", f"{text}\n".encode())
    run.put("verify/rates.png", verification_plot(found))
    if found["identification"] is not None:
        run.put("verify/identification.png", identification_plot(found["identification"]))
    return dict(json.loads(text))


def _silent(what: str, done: int, of: int) -> None:
    return
