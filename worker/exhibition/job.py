"""Realize masks or hang the exhibition that a run's record asks for; answer once (task ``masks.realize``)."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from functools import lru_cache

from services.errors import DatamaskError
from services.faults import is_machines
from services.recognition.catalog import model_info
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from services.storage.store import ObjectMissing, Store
from services.wire.exhibition_plan import ExhibitionPlan
from services.wire.jobs import AuditReport, Job, decode_any, encode_reports
from services.wire.objects import batch_key, read_target, record_failure, scores_key
from services.wire.pin import Refused
from services.wire.plan import check_id
from worker.evaluate import Summary
from worker.exhibition.masks import Progress, realize, write_meshes

PAGE_MODELS = ("dlib-hog", "dlib-landmarks-5", "dlib-mmod", "dlib-resnet")  # whose words a page shows


def realize_job(run: Store, job: str, progress: Progress | None = None) -> Summary:
    """Do what ``batches/<job>`` asks for and answer in ``scores/<job>``.

    What can fail counts as in :meth:`worker.evaluate.Evaluator.evaluate`. A job may be done twice: it writes
    the same files.

    :raises Refused: if this machine has another basis or other models than the run.
    """
    if run.exists(scores_key(job)):
        return Summary(job, "known")
    where = f"{run.url}/{batch_key(job)}"
    try:
        data = run.get(batch_key(job))
    except ObjectMissing:
        return Summary(job, "gone")
    wanted = decode_any(data, where)
    check_id(job, data, where)
    _refuse_strangers(wanted)
    try:
        reports = _made(run, wanted, progress)
    except Exception as error:
        if isinstance(error, DatamaskError) or is_machines(error):
            raise
        record_failure(run, job, traceback.format_exc())
        return Summary(job, "failed")
    run.create(scores_key(job), encode_reports(reports))
    return Summary(job, "scored")


def _made(run: Store, job: Job | ExhibitionPlan, progress: Progress | None) -> list[AuditReport]:
    if isinstance(job, ExhibitionPlan):
        from worker.exhibition.exhibit import (
            exhibit,  # the film's encoder: whoever only writes meshes needs none
        )

        exhibit(run, job, None, progress)
        return []
    show = job.exhibition
    if show is None:
        write_meshes(run, _decoder(job.basis), job.masks)
        return []
    return realize(
        run,
        job.basis,
        job.masks,
        show.story,
        show.ranges,
        show.audit_seed,
        show.audit_views,
        None if show.target is None else read_target(run, show.target),
        show.critics,
        progress,
        show.research_only,
        job.models,
    )


def _refuse_strangers(job: Job | ExhibitionPlan) -> None:
    basis, basis_sha256, models = _parts(job)
    ours = {name: model_info(name, sha256).sha256 for name, sha256 in models.items()}
    lines = [
        f"model {name}: the run has sha256 {sha256}, this machine {ours[name]}"
        for name, sha256 in models.items()
        if ours[name] != sha256
    ]
    found = load_basis(basis).sha256
    if basis_sha256 is not None and found != basis_sha256:
        lines.append(f"basis {basis}: the run has sha256 {basis_sha256}, this machine {found}")
    if lines:
        raise Refused(f"{'; '.join(lines)}; use the datamask version that the run was started with")


def _parts(job: Job | ExhibitionPlan) -> tuple[str, str | None, Mapping[str, str]]:
    """Basis, its hash, and hashes of models that a job is to be done with, as far as the run says."""
    if isinstance(job, Job):
        return job.basis, job.basis_sha256, job.models
    manifest = job.facts["manifest"]
    models = manifest.get("models", {})
    hashes = {name: models[name]["sha256"] for name in PAGE_MODELS if name in models}
    return job.facts["asked"]["basis"], manifest.get("basis", {}).get("sha256"), hashes


@lru_cache(maxsize=2)
def _decoder(basis: str) -> Decoder:
    return Decoder(load_basis(basis))
