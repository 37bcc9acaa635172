"""Start a run or go on with it, evolve it to its end, have its elites realized: what ``evolve`` does."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import importlib.util
import math
import platform
import re
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from coordinator.mask_files import MaskFiles, exhibit_elites, forget_failures
from coordinator.queue.executor import Executor
from coordinator.record.evaluations import no_elite
from coordinator.record.record import Record, checkpoint_key
from coordinator.search.archive import PART
from coordinator.search.breeding import KEY, Breeding, read_breeding
from coordinator.search.evolution import Evolution, Shards, Watcher
from coordinator.search.island import Float
from coordinator.search.optimizers import GROUP as OPTIMIZERS_GROUP
from coordinator.search.optimizers import OPTIMIZERS, Need
from coordinator.spec.machines import machines
from coordinator.spec.objectives import ObjectiveSpec
from coordinator.spec.spec import Spec, plain
from coordinator.spec.spec_file import differences
from coordinator.spec.tables import completed, searched
from services import plugins
from services.errors import BadInput, DatamaskError
from services.recognition import own
from services.recognition.catalog import model_info
from services.recognition.fitness import Objective
from services.recognition.model import ModelInfo
from services.recognition.photos import photo_bytes
from services.shape.catalog import basis_info
from services.shape.installed import GROUP as BASES_GROUP
from services.storage.store import Store
from services.versions import commit, installed_versions
from services.wire.jobs import AuditReport
from services.wire.mask import Mask
from services.wire.objects import failures, write_target
from services.wire.pin import ANY, pin
from services.wire.plan import Plan, Quantity, make_plan

PACKAGES = ("datamask", "torch", "numpy", "ribs", "dlib-bin", "opencv-python-headless")


def objectives_of(spec: Spec, targets: Sequence[str | None]) -> tuple[Objective, ...]:
    """The spec's objectives with thresholds and scales filled in. ``targets``: a key or None for each.

    :raises BadInput, Unavailable: as :func:`coordinator.spec.machines.machines`.
    """
    infos = machines(spec)
    made: list[Objective] = []
    for o, target in zip(spec.objective, targets, strict=True):
        info = infos[o.model]
        objective = Objective(
            kind=o.kind,
            model=o.model,
            weight=o.weight,
            threshold=info.threshold if o.threshold is None else o.threshold,
            target=target,
            measure=info.measure,
            scale=info.scale if o.scale is None else o.scale,
            aggregate=o.aggregate,
            k=o.k,
            q=o.q,
            gate=o.gate,
            saturate=o.saturate,
        )
        alike = sum(m.kind == o.kind and m.model == o.model for m in made)
        made.append(replace(objective, number=alike + 1))
    return tuple(made)


def plan_of(spec: Spec, objectives: Sequence[Objective]) -> Plan:
    """What workers must know of this run."""
    sites = bool(basis_info(spec.mask.basis).landmark_names)
    quantities = tuple(
        Quantity(o.kind, o.model, o.target, said.combine, *_reading(o, sites))
        for o, said in zip(objectives, spec.objective, strict=True)
    )
    plan = make_plan(spec.mask.basis, quantities, spec.views.ranges())
    # A run that promises no bits takes every version.
    return replace(
        plan,
        runtimes=plan.runtimes if spec.run.exact else {},
        residuals=any(Need.REFERENCE in OPTIMIZERS[name].needs for name in spec.search.optimizers),
        half=spec.run.precision == "half",
    )


def _reading(objective: Objective, sites: bool) -> tuple[float, ...]:
    """Threshold, scale and slope as far as workers must know them: of detectors that agree on a place, and of
    machines that compare faces on masks without ``sites``, whose views may show none.
    """
    if objective.known.together:
        return objective.threshold, objective.reading[1], objective.slope
    return () if sites or objective.known.machine == "detect" else (objective.threshold, objective.reading[1])


def recorded_table(spec: Spec) -> dict[str, Any]:
    """The filled-in spec as a run records it: photos by file name only, whoever's computer they lie on."""
    table = spec.table()
    for objective in table["objective"]:
        objective["images"] = [Path(image).name for image in objective["images"]]
        if "calibration" in objective:
            objective["calibration"] = Path(objective["calibration"]).name
    return table


def free_name(store: Store, name: str, resume: bool, file: str = "run.toml") -> str:
    """``name-001`` with the first free number; with ``resume`` the newest one that exists.

    file: what lies in each that exists.
    """
    pattern = re.compile(rf"{re.escape(name)}-(\d{{3,}})/{re.escape(file)}")
    taken = sorted(int(m.group(1)) for key in store.list(f"{name}-") if (m := pattern.fullmatch(key)))
    if resume and taken:
        return f"{name}-{taken[-1]:03d}"
    return f"{name}-{(taken[-1] if taken else 0) + 1:03d}"


@dataclass(frozen=True)
class Heritage:
    """What a bred run has from the run that its masks come from.

    targets: what each objective's references are, as numbers, or None: photos never leave their machine,
    their embeddings stay with the run. photos_sha256: of those photos. lineage: for the manifest.
    """

    breeding: Breeding
    targets: tuple[Float | None, ...]
    photos_sha256: tuple[str, ...]
    lineage: dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """A run that is ready to be driven."""

    spec: Spec
    record: Record
    objectives: tuple[Objective, ...]
    plan: Plan
    breeding: Breeding | None = None


def open_run(spec: Spec, record: Record, *, resume: bool, heritage: Heritage | None = None) -> Opened:
    """Start the run in the record, or check that this spec is the one it was started with.

    :raises BadInput: if the name is taken, the spec differs (saying where), or a photo cannot be used.
    """
    table = recorded_table(spec)
    if spec.breed is not None and heritage is None:
        raise BadInput(
            "[breed] is not for a spec by hand; start such a run with: datamask breed RUN ID ID..."
        )
    if record.exists():
        if not resume:
            raise BadInput(
                f"{record.url}: a run of this name exists; add --resume to go on, or take another --run NAME"
            )
        _same_spec(record, table, spec, photos=heritage is None)
        record.present(table.get("exhibition"))
        if record.store.exists("manifest.json"):
            _same_models(record, spec)
            targets = [entry["target"] for entry in record.manifest()["objectives"]]
            objectives = objectives_of(spec, targets)
            bred = None if spec.breed is None else read_breeding(record.store, spec.breed.genomes)
            return Opened(spec, record, objectives, plan_of(spec, objectives), bred)
    machines(spec)  # whatever is missing shows before anything is written
    targets, photos = [], []
    if heritage is not None:
        targets, photos = list(heritage.targets), list(heritage.photos_sha256)
    for objective in spec.objective if heritage is None else ():
        paths = [photo_path(image) for image in objective.images]
        photos += [hashlib.sha256(photo_bytes(path)).hexdigest() for path in paths]
        targets.append(_references(spec, objective, paths, record.url))
    if not record.exists():
        versions = {"python": platform.python_version(), **installed_versions(PACKAGES)}
        if (known := commit()) is not None:
            versions["commit"] = known
        record.write_spec(table, tomli_w.dumps({**table, "versions": versions}))
    keys = [None if target is None else write_target(record.store, target) for target in targets]
    objectives = objectives_of(spec, keys)
    manifest = _manifest(spec, objectives, photos)
    if heritage is not None:
        record.store.put(KEY, heritage.breeding.encoded())
        manifest["bred_from"] = heritage.lineage
    record.write_manifest(manifest)
    bred = None if heritage is None else heritage.breeding
    return Opened(spec, record, objectives, plan_of(spec, objectives), bred)


def _references(spec: Spec, objective: ObjectiveSpec, paths: Sequence[Path], url: str) -> Float | None:
    """What an objective's target is, as numbers; None where it has none."""
    if not objective.known.reference:
        return None
    try:
        if objective.model == "dlib-resnet":  # dlib measures photos itself, with no torch
            from services.recognition.dlib.audit import embed_photos as by_dlib

            return by_dlib(paths)
        from worker.examination.targets import build_filter, embed_photos
    except ImportError as error:
        raise BadInput(
            f"{url}: {objective.model} measures what a run is to resemble where the run begins, for photos "
            f"never leave their machine, and this one cannot ({error}). Start the run on a machine with all "
            "of datamask (interrupt it there if you like) and go on here with --resume"
        ) from None
    if objective.known.machine == "correlate":
        return build_filter(paths, objective.model, spec.mask.basis)
    return embed_photos(paths, objective.model)


def _same_models(record: Record, spec: Spec) -> None:
    """:raises BadInput: if a model's file is not the one that the run was started with."""
    pinned = record.manifest()["models"]
    for name, info in machines(spec).items():
        if name in pinned and pinned[name]["sha256"] != info.sha256:
            raise BadInput(
                f"{record.url}: model {name} has sha256 {info.sha256}, the run has {pinned[name]['sha256']}; "
                "bring the file that it was started with"
            )


def photo_path(image: str) -> Path:
    """Where a reference photo lies; ``skimage:NAME`` is one that scikit-image ships."""
    if image.startswith("skimage:"):
        found = importlib.util.find_spec("skimage")
        if found is None or found.origin is None:
            raise BadInput(f"{image}: scikit-image is not installed; pip install scikit-image")
        path = Path(found.origin).parent / "data" / f"{image.removeprefix('skimage:')}.png"
        if not path.is_file():
            raise BadInput(f"{image}: scikit-image ships no such picture; skimage:astronaut is one")
        return path
    return Path(image)


def _same_spec(record: Record, table: dict[str, Any], spec: Spec, *, photos: bool) -> None:
    old = record.spec_table()
    old.pop("versions", None)
    lines = differences(searched(plain(completed(old, Spec))), searched(table))
    if photos and not lines and record.store.exists("manifest.json"):
        here = [photo_path(i) for o in spec.objective for i in o.images]
        if all(path.is_file() for path in here):
            now = [hashlib.sha256(photo_bytes(path)).hexdigest() for path in here]
            if now != record.manifest()["photos_sha256"]:
                lines = ["objective.images: the photos are not the ones the run was started with"]
    if lines:
        shown = "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")
        raise BadInput(
            f"{record.url}: cannot resume with another spec: {shown}; take another --run NAME for it"
        )


def _manifest(spec: Spec, objectives: Sequence[Objective], photos: Sequence[str]) -> dict[str, Any]:
    names = [o.model for o in objectives] + [
        "dlib-hog",
        "dlib-landmarks-5",
        "dlib-resnet",
        *spec.verify.critics,
    ]
    basis = basis_info(spec.mask.basis)
    infos = machines(spec)
    models = {}
    for name in dict.fromkeys(names):
        info = infos[name] if name in infos else model_info(name)
        roles = [
            role
            for role, there in (
                ("objective", any(o.model == name for o in objectives)),
                ("critic", name in spec.verify.critics),
                ("audit", "audit" in info.roles),
            )
            if there
        ]
        models[name] = {
            "roles": roles,
            "sha256": info.sha256,
            "licence": info.licence,
            "research_only": info.research_only,
            "source": info.source,
            "training_data": info.training_data,
            "measure": info.measure,
            "threshold": None if math.isnan(info.threshold) else info.threshold,
            "threshold_source": info.threshold_source,
            **(_callable(info) if own.is_own(info.name) else {}),
        }
    brought = {
        "bases": plugins.origin(BASES_GROUP, spec.mask.basis.partition("+")[0]),
        **{f"optimizers.{name}": plugins.origin(OPTIMIZERS_GROUP, name) for name in spec.search.optimizers},
    }
    return {
        "format": 1,
        **({"installed": told} if (told := {k: v for k, v in brought.items() if v is not None}) else {}),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "basis": {"id": basis.id, "sha256": basis.sha256, "licence": basis.licence, "source": basis.source},
        "models": models,
        "objectives": [
            {"label": o.label, "weight": o.weight, "threshold": o.threshold, "target": o.target}
            for o in objectives
        ],
        "photos_sha256": list(photos),
        "licences_acknowledged": spec.licence.acknowledge,
        "consent": spec.consent.model_dump(mode="json") if spec.consent else None,
    }


def _callable(info: ModelInfo) -> dict[str, Any]:
    """What a manifest says besides of a callable of the user's; ``sha256`` is that of its source file."""
    return {"exact": info.exact, "source_file": info.file and Path(info.file).name}


def evolve_steps(
    opened: Opened,
    executor: Executor,
    watchers: Sequence[Watcher] = (),
    on_start: Callable[[Evolution], None] = lambda evolution: None,
    shards: Shards | None = None,
) -> Generator[Evolution, None, None]:
    """Take the run over and drive it to its last checkpoint, pausing before the first batch and after each.

    It may be left at any pause; what was committed stays.

    :param shards: who drives the islands, see :class:`Evolution`.
    :raises BadInput: if another coordinator is at work on it, this machine would score otherwise, or no mask
        became an elite.
    """
    record, spec = opened.record, opened.spec
    record.take_over()
    if not spec.run.exact:
        pin(record.store, ANY)
    executor.join()
    dimension = len(basis_info(spec.mask.basis).gene_names)
    files = MaskFiles(spec, record, opened.objectives, executor)
    evolution = Evolution(
        *(spec, record, opened.plan, opened.objectives, dimension, executor, [files, *watchers]),
        opened.breeding,
        shards,
    )
    evolution.restore()
    files.begin(evolution.elites())
    on_start(evolution)
    yield evolution
    with closing(evolution.steps()) as steps:
        for _ in steps:
            yield evolution
    files.finish()
    sweep(record)
    if not evolution.elites():
        raise BadInput(no_elite(record))


def evolve_run(
    opened: Opened,
    executor: Executor,
    watchers: Sequence[Watcher],
    on_start: Callable[[Evolution], None],
    shards: Shards | None = None,
) -> Evolution:
    """Drive a run to its last checkpoint: every step of :func:`evolve_steps`, which says what it raises."""
    (evolution,) = deque(evolve_steps(opened, executor, watchers, on_start, shards), maxlen=1)
    return evolution


def finish_run(
    opened: Opened,
    elites: Sequence[Mask],
    executor: Executor,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[AuditReport, ...]:
    """Files and audits of the elites, the run's pictures, film and page; then the run is done."""
    record = opened.record
    head = record.head()
    archive = checkpoint_key(head.epoch, PART)
    if archive in head.parts:  # a copy that is easy to find, for whoever takes the run along
        record.store.put(PART, record.part(archive, head.parts[archive]))
    reports = exhibit_elites(opened.spec, record, opened.objectives, executor, elites, progress)
    forget_failures(record)
    record.commit(head.epoch, {}, {}, done=True)
    sweep(record)
    return reports


def sweep(record: Record) -> None:
    """Remove what killed coordinators and workers had no time to remove; batches that were set aside stay.

    What of that cannot be removed is left: nobody needs it, and nobody should miss a run for it.
    """
    store, head = record.store, record.head()
    failed = failures(store)
    left = [*store.list("batches/"), *store.list("scores/")]
    gone = [key for key in left if key.split("/")[1] not in failed]
    older = re.compile(r"checkpoints/e(\d+)/")
    gone += [k for k in store.list("checkpoints/e") if (m := older.match(k)) and int(m[1]) < head.epoch - 1]
    record.remove(gone)
    with suppress(DatamaskError):
        store.sweep()
