"""Write masks' files, and at a run's end all that people look at; answer once (queue REALIZE)."""

from __future__ import annotations

import traceback
from functools import lru_cache

from services.errors import DatamaskError
from services.exhibition.facts import with_audits
from services.faults import is_machines, said
from services.progress import Progress
from services.recognition.catalog import model_info
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.shape.installed import know
from services.storage.store import Store
from services.wire.jobs import Answer, Job, decode_job
from services.wire.objects import batch_key, left_to_do, record_failure, scores_key
from services.wire.pin import Refused
from services.wire.plan import check_id
from worker.evaluate import Summary
from worker.exhibition.masks import audit_masks, write_masks


def realize_job(run: Store, job: str, progress: Progress | None = None) -> Summary:
    """Do what ``batches/<job>`` asks for and answer in ``scores/<job>``.

    What can fail counts as in :meth:`worker.evaluate.Evaluator.evaluate`. A job may be done twice: it writes
    the same files.

    :raises Refused: if this machine has another basis or other models than the run.
    """
    data = left_to_do(run, job)
    if isinstance(data, str):
        return Summary(job, data)
    where = f"{run.url}/{batch_key(job)}"
    wanted = decode_job(data, where)
    check_id(job, data, where)
    _refuse_strangers(wanted)
    try:
        answer = _made(run, wanted, progress)
    except Exception as error:
        if is_machines(error) or isinstance(error, DatamaskError):
            raise
        record_failure(run, job, traceback.format_exc())
        return Summary(job, "failed")
    run.create(scores_key(job), answer.encoded())
    return Summary(job, "scored")


def _made(run: Store, job: Job, progress: Progress | None) -> Answer:
    if job.page is None:
        write_masks(run, _decoder(job.basis), job.labels, job.masks)
        return Answer()
    reports = tuple(audit_masks(run, job, progress))
    try:
        from worker.exhibition.exhibit import SHEETS_TOO, exhibit  # the film's encoder: not for meshes alone

        exhibit(run, with_audits(run, job.page), SHEETS_TOO, progress)
    except Exception as error:  # what a run cannot do without is there
        return Answer(reports, said(error))
    return Answer(reports)


def _refuse_strangers(job: Job) -> None:
    ours = {name: model_info(name, sha256).sha256 for name, sha256 in job.models.items()}
    lines = [
        f"model {name}: the run has sha256 {sha256}, this machine {ours[name]}"
        for name, sha256 in job.models.items()
        if ours[name] != sha256
    ]
    know(job.basis)
    found = load_basis(job.basis).sha256
    if job.basis_sha256 != found:
        lines.append(f"basis {job.basis}: the run has sha256 {job.basis_sha256}, this machine {found}")
    if lines:
        raise Refused(f"{'; '.join(lines)}; use the datamask version that the run was started with")


@lru_cache(maxsize=2)
def _decoder(basis: str) -> Decoder:
    return Decoder(load_basis(basis))
