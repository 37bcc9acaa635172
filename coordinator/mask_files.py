"""Have masks realized: their own files while the run goes on, pictures, audits and exhibition at its end.

Nothing here touches what a checkpoint holds, and the search never waits for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from coordinator.queue.executor import Executor, Finished
from coordinator.record.chronicle import Chronicle
from coordinator.record.evaluations import read_genomes, read_rows
from coordinator.record.record import Record
from coordinator.search.island import Generation
from coordinator.spec.machines import machines
from coordinator.spec.spec import Spec
from services.errors import CorruptData, DatamaskError
from services.progress import Progress
from services.recognition.catalog import model_info
from services.recognition.fitness import Objective
from services.shape.catalog import basis_info
from services.storage.store import ObjectMissing
from services.wire.jobs import PAGE_MODELS, AuditReport, Job, decode_answer, decode_job
from services.wire.mask import Mask
from services.wire.messages import Origin
from services.wire.objects import batch_key, failure_prefix, failures, last_words, scores_key
from services.wire.plan import batch_id

log = logging.getLogger(__name__)

MASKS_A_JOB = 128  # so that one job takes a worker a second or two
JOBS_OUT = 4  # more wait: scoring comes first


class MaskFiles:
    """Follows a run (a Watcher) and has its masks' own files written as they appear."""

    def __init__(
        self, spec: Spec, record: Record, objectives: Sequence[Objective], executor: Executor
    ) -> None:
        self._spec, self._record, self._executor = spec, record, executor
        self._labels = tuple(o.label for o in objectives)
        self._known: set[str] = set()  # elites that have their files, or were asked for
        self._fresh: dict[str, Mask] = {}  # of epochs that are not committed, for "all"
        self._wanted: list[Mask] = []
        self._out: list[str] = []

    def begin(self, elites: Sequence[Mask]) -> None:
        """Where a resumed run stands: an interrupted one may not have got to its elites."""
        self._want(elites)

    def batch_done(self, finished: Finished, genomes: int) -> None:
        """Nothing to see yet."""

    def generation_done(self, generation: Generation) -> None:
        """Remember its masks where all are kept."""
        if self._spec.store.masks != "all":
            return
        self._fresh |= {mask.id: mask for mask in generation.scored_masks}
        if self._wanted:
            self._go_on()

    def epoch_done(self, epoch: int, elites: Sequence[Mask]) -> None:
        """Ask for what is new, unless much is under way: then it waits for a generation."""
        self._want(elites)
        last = (epoch + 1) * self._spec.migration.every
        for name in [n for n, m in self._fresh.items() if m.generation < last]:
            self._wanted.append(self._fresh.pop(name))
        self._go_on()

    def finish(self) -> None:
        """Have everything that is still wanted written, and wait for it."""
        if self._spec.store.masks == "all":
            self._want_missing()
        while self._wanted or self._out:
            self._ask()
            self._collect(wait=True)

    def _go_on(self) -> None:
        """Have written what may be asked for now: here all of it, on a cluster what may be under way."""
        waiting = math.inf
        while len(self._wanted) < waiting:
            waiting = len(self._wanted)
            self._collect()
            self._ask()

    def _ask(self) -> None:
        while self._wanted and len(self._out) < JOBS_OUT:
            some, self._wanted = self._wanted[:MASKS_A_JOB], self._wanted[MASKS_A_JOB:]
            job = put_job(self._record, Job(*_basis(self._spec), self._labels, tuple(some), {}))
            self._out.append(job)
            first, last = (f(mask.generation for mask in some) for f in (min, max))
            self._executor.realize(job, Origin(f"masks of generations {first} to {last}"))

    def _want(self, elites: Sequence[Mask]) -> None:
        for mask in elites:
            if mask.id not in self._known:
                self._known.add(mask.id)
                self._fresh.pop(mask.id, None)
                self._wanted.append(mask)

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
            values = np.array([r[f"value {label}"] for label in self._labels], np.float32)
            self._wanted.append(
                Mask(
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
    elites: Sequence[Mask],
    progress: Progress | None = None,
) -> tuple[AuditReport, ...]:
    """Have the elites' files and audits made, the run's pictures, film and page, and wait for them.

    A run is done without pictures, film and page: what keeps them is one line in the log.

    :raises DatamaskError: if every attempt failed; what went wrong is under ``failures/``.
    """
    page = Chronicle(record).plan(done=True)
    infos = machines(spec)
    names = dict.fromkeys([*PAGE_MODELS, *page.work["judges"], *page.work["critics"]])
    models = {name: (infos[name] if name in infos else model_info(name)).sha256 for name in names}
    job = Job(*_basis(spec), tuple(o.label for o in objectives), tuple(elites), models, page)
    name = put_job(record, job)
    # Attempts of an earlier start do not count: --resume is to try again.
    record.remove(record.store.list(failure_prefix(name)))
    executor.realize(name, Origin("pictures and audits"), progress)
    done = executor.realized(name, wait=True)
    if done is None or done.failed:
        raise DatamaskError(
            f"{record.url}: the pictures of the elites could not be made ({last_words(record.store, name)}); "
            f"see datamask show {record.url}, mend it and go on with --resume"
        )
    try:
        data = record.store.get(scores_key(name)) if done.data is None else done.data
    except ObjectMissing:
        raise CorruptData(
            f"{record.url}/{scores_key(name)}: removed meanwhile; go on with --resume"
        ) from None
    answer = decode_answer(data, f"{record.url}/{scores_key(name)}")
    if answer.left_out:
        log.warning(
            "the run is done, but not all of its pictures and its page were made (%s); make them with: "
            "datamask exhibit %s",
            *(answer.left_out, record.url),
        )
    return answer.reports


def forget_failures(record: Record) -> None:
    """Remove what earlier starts failed at where a run's pictures were to be made: they are there now."""
    store = record.store
    for name, keys in failures(store).items():
        with suppress(DatamaskError):  # a batch is no job
            if decode_job(store.get(batch_key(name)), name).page is not None:
                record.remove([*keys, scores_key(name), batch_key(name)])


def put_job(record: Record, job: Job) -> str:
    """Write the job into the run's store; returns its id."""
    data = job.encoded()
    name = batch_id(data)
    record.store.create(batch_key(name), data)
    return name


def _basis(spec: Spec) -> tuple[str, str]:
    return spec.mask.basis, basis_info(spec.mask.basis).sha256
