"""Have masks realized: their own files while the run goes on, pictures, audits and exhibition at its end.

Nothing here touches what a checkpoint holds, and the search never waits for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from coordinator.queue.executor import Executor, Finished, Progress
from coordinator.record.chronicle import Chronicle
from coordinator.record.evaluations import no_elite, read_genomes, read_rows
from coordinator.record.record import Record
from coordinator.search.elites import Ranked
from coordinator.search.island import Generation
from coordinator.search.seeds import audit_seed
from coordinator.spec.machines import machines
from coordinator.spec.spec import Spec
from services.errors import BadInput, CorruptData, DatamaskError
from services.recognition.catalog import model_info
from services.recognition.fitness import Objective
from services.recognition.kinds import IDENTITY
from services.shape.catalog import basis_info
from services.storage.store import ObjectMissing
from services.wire.exhibition_plan import ExhibitionPlan
from services.wire.jobs import AuditReport, EliteMask, Exhibition, Job, StoryFrame, decode_reports
from services.wire.objects import batch_key, failure_prefix, scores_key
from services.wire.plan import OK, batch_id

log = logging.getLogger(__name__)

FRAMES = 12  # of the film strip
MASKS_A_JOB = 128  # so that one job takes a worker a second or two
JOBS_OUT = 4  # more wait: scoring comes first


class Gallery:
    """Follows a run (a Watcher) and has its masks' own files written as they appear."""

    def __init__(
        self, spec: Spec, record: Record, objectives: Sequence[Objective], executor: Executor
    ) -> None:
        self._spec, self._record, self._executor = spec, record, executor
        self._labels = [o.label for o in objectives]
        self._known: set[str] = set()  # elites that have their files, or were asked for
        self._fresh: dict[str, EliteMask] = {}  # of epochs that are not committed, for "all"
        self._wanted: list[EliteMask] = []
        self._out: list[str] = []

    def begin(self, elites: Sequence[Ranked]) -> None:
        """Where a resumed run stands: an interrupted one may not have got to its elites."""
        self._want(elites)

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """Nothing to see yet."""

    def generation_done(self, generation: Generation) -> None:
        """Remember its masks where all are kept."""
        if self._spec.store.masks != "all":
            return
        result, scores = generation.result, generation.scores
        for k, name in enumerate(generation.ids):
            if scores.status[k] == OK and np.isfinite(result.fitness[k]):
                values = dict(zip(self._labels, map(float, result.values[k]), strict=True))
                self._fresh[name] = EliteMask(
                    name,
                    generation.island,
                    generation.number,
                    generation.genomes[k],
                    float(result.fitness[k]),
                    values,
                    float(scores.flipped[k]),
                )

    def epoch_done(self, epoch: int, elites: Sequence[Ranked]) -> None:
        """Ask for what is new, unless much is under way: then it waits for the next epoch."""
        self._want(elites)
        last = (epoch + 1) * self._spec.migration.every
        for name in [n for n, m in self._fresh.items() if m.generation < last]:
            self._wanted.append(self._fresh.pop(name))
        self._collect()
        self._ask(f"masks of epoch {epoch}")

    def finish(self) -> None:
        """Have everything that is still wanted written, and wait for it."""
        if self._spec.store.masks == "all":
            self._want_missing()
        while self._wanted or self._out:
            self._ask("last masks")
            self._collect(wait=True)

    def _ask(self, label: str) -> None:
        while self._wanted and len(self._out) < JOBS_OUT:
            some, self._wanted = self._wanted[:MASKS_A_JOB], self._wanted[MASKS_A_JOB:]
            job = put_job(self._record, Job(*_basis(self._spec), tuple(some), {}))
            self._out.append(job)
            self._executor.realize(job, label)

    def _want(self, elites: Sequence[Ranked]) -> None:
        for mask in elites:
            if mask.id not in self._known:
                self._known.add(mask.id)
                self._fresh.pop(mask.id, None)
                self._wanted.append(as_mask(mask, self._labels))

    def _want_missing(self) -> None:
        """Masks that a coordinator which was killed did not get to."""
        there = {key.split("/")[1] for key in self._record.store.list("masks/") if key.endswith("/mask.glb")}
        there |= {mask.id for mask in self._wanted}
        columns = ["id", "island", "generation", "fitness", "flipped", *(f"value {x}" for x in self._labels)]
        table = read_rows(self._record, columns)
        rows = [] if table is None else table.to_pylist()
        rows = [r for r in rows if r["id"] not in there and math.isfinite(r["fitness"])]
        genomes = read_genomes(self._record, [r["id"] for r in rows]) if rows else {}
        for r in rows:
            values = {label: r[f"value {label}"] for label in self._labels}
            self._wanted.append(
                EliteMask(
                    *(r["id"], r["island"], r["generation"], genomes[r["id"]]),
                    *(r["fitness"], values, r["flipped"]),
                )
            )

    def _collect(self, *, wait: bool = False) -> None:
        left = []
        for job in self._out:
            done = self._executor.realized(job, wait=wait)
            if done is None:
                left.append(job)
            elif done.failed:
                log.warning(
                    "masks could not be written (job %s); the search goes on, see datamask show %s",
                    *(job, self._record.url),
                    extra={"batch": job},
                )
            else:
                self._record.remove([scores_key(job), batch_key(job)])
        self._out = left


def exhibit_elites(
    spec: Spec,
    record: Record,
    objectives: Sequence[Objective],
    executor: Executor,
    elites: Sequence[Ranked],
    progress: Progress | None = None,
) -> list[AuditReport]:
    """Have the elites' files, the run's pictures and the audits made, and wait for them.

    :raises BadInput: where there is none. :raises DatamaskError: if every attempt failed; what went wrong is
        under ``failures/``.
    """
    if not elites:
        raise BadInput(no_elite(record))
    labels = [o.label for o in objectives]
    masks = tuple(as_mask(mask, labels) for mask in elites)
    infos = machines(spec)
    # Recognizers and filters are asked by datamask verify; the audit at a run's end asks detectors.
    critics = [name for name in spec.verify.critics if infos[name].kind == "detect"]
    show = Exhibition(
        story=story_of(record, elites),
        ranges=spec.views.ranges(),
        audit_seed=audit_seed(spec.seed),
        audit_views=spec.verify.views,
        target=next((o.target for o in objectives if o.known is IDENTITY and o.model == "dlib-resnet"), None),
        critics=tuple(critics),
        research_only=tuple(name for name in spec.model_names if infos[name].research_only),
    )
    names = ["dlib-hog", "dlib-landmarks-5", "dlib-resnet", *critics]
    models = {name: (infos[name] if name in infos else model_info(name)).sha256 for name in names}
    job = Job(*_basis(spec), masks, models, show)
    name, done = _had_done(record, executor, job, "pictures and audits", progress)
    if done is None or done.failed:
        raise DatamaskError(
            f"{record.url}: the pictures of the elites could not be made; see datamask show {record.url}, "
            "mend it and go on with --resume"
        )
    try:
        answer = record.store.get(scores_key(name)) if done.data is None else done.data
    except ObjectMissing:
        raise CorruptData(
            f"{record.url}/{scores_key(name)}: removed meanwhile; go on with --resume"
        ) from None
    return decode_reports(answer, f"{record.url}/{scores_key(name)}")


def hang(record: Record, executor: Executor, progress: Progress | None = None) -> bool:
    """Have film and report page made of the run as it is committed, and wait for them.

    The run is done without them: what goes wrong is one line in the log, and False.
    """
    try:
        plan = Chronicle(record).plan()
        job, done = _had_done(record, executor, plan, "film and page", progress)
        if done is not None and not done.failed:
            record.remove([scores_key(job), batch_key(job)])
            return True
        reason = f"its traceback is under {failure_prefix(job)} in the run"
    except (DatamaskError, OSError, MemoryError) as error:
        reason = " ".join(f"{error}".split()) or type(error).__name__
    log.warning(
        "the run is done, but film and page were not made (%s); make them with: datamask exhibit %s",
        *(reason, record.url),
    )
    return False


def _had_done(
    record: Record, executor: Executor, job: Job | ExhibitionPlan, label: str, progress: Progress | None
) -> tuple[str, Finished | None]:
    """Put a job out and wait for it. Returns its id and what became of it."""
    name = put_job(record, job)
    # Attempts of an earlier start do not count: --resume is to try again.
    record.remove(record.store.list(failure_prefix(name)))
    executor.realize(name, label, progress)
    return name, executor.realized(name, wait=True)


def put_job(record: Record, job: Job | ExhibitionPlan) -> str:
    """Write the job into the run's store; returns its id."""
    data = job.encoded()
    name = batch_id(data)
    record.store.create(batch_key(name), data)
    return name


def as_mask(ranked: Ranked, labels: Sequence[str]) -> EliteMask:
    """A mask of the search as a worker takes it."""
    return EliteMask(
        ranked.id,
        ranked.island,
        ranked.generation,
        ranked.genome,
        ranked.fitness,
        dict(zip(labels, map(float, ranked.values), strict=True)),
        ranked.flipped,
    )


def _basis(spec: Spec) -> tuple[str, str]:
    return spec.mask.basis, basis_info(spec.mask.basis).sha256


def story_of(record: Record, elites: Sequence[Ranked]) -> tuple[StoryFrame, ...]:
    """The best masks on the best elite's island, from noise to the end.

    Genomes of a long run fill gigabytes as Python numbers, so that only those which are shown are read.
    """
    table = read_rows(record, ["id", "island", "generation", "fitness"])
    if table is None or not elites:
        return ()
    own = table.filter(pc.equal(table["island"], elites[0].island))
    best: dict[int, tuple[float, str]] = {}
    for row in own.to_pylist():
        held = best.get(row["generation"])
        if math.isfinite(row["fitness"]) and (held is None or row["fitness"] > held[0]):
            best[row["generation"]] = (row["fitness"], row["id"])
    generations = sorted(best)
    picked = sorted({generations[round(k)] for k in np.linspace(0, len(generations) - 1, FRAMES)})
    genomes = read_genomes(record, [best[g][1] for g in picked])
    return tuple(StoryFrame(genomes[best[g][1]], g, float(best[g][0])) for g in picked)
