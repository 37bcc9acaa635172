"""Where a run goes and who scores it, found out before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.queue.executor import Executor, LocalExecutor
from coordinator.record.record import Record
from coordinator.run import free_name
from coordinator.spec.machines import at_hand, elsewhere
from coordinator.spec.spec import Spec
from services.errors import BadInput
from services.names import check_run_name
from services.storage.keys import is_key
from services.storage.open import open_store
from services.storage.store import Store
from services.wire.bells import find_broker
from services.words import shown

if TYPE_CHECKING:
    from coordinator.shard_processes import ShardProcesses

EXECUTORS = ("local", "celery")


def make_ready(
    store: str, run: str | None, spec: Spec, resume: bool, executor: str, broker: str | None
) -> tuple[Store, str]:
    """The store and the name of the run in it, once both, the broker and the models are known to be of use.

    Nothing is written before: who corrects the command and gives it again finds no half-made run.

    :raises BadInput, Unavailable: for a name, URL or place that no run can have, a broker out of reach, or
        weights that are not here.
    """
    if executor not in EXECUTORS:
        raise BadInput(f"executor {shown(executor)}: expected one of {', '.join(EXECUTORS)}")
    place = open_store(store)
    name = run or free_name(place, spec.name, resume)
    older = resume and is_key(name) and Record(place.sub(name)).exists()
    if executor == "celery" or not older:  # an older run goes on here under the name that it has
        check_run_name(name)
    record = Record(place.sub(name))
    if executor == "celery" and not record.head().done:
        elsewhere(spec)
        from coordinator.queue.celery_executor import PATIENCE_S
        from coordinator.queue.doorbell import reach

        reach(find_broker(broker), PATIENCE_S)
    if executor == "local":
        at_hand(spec)
    return open_store(store, write=True), name


def check_coordinators(coordinators: int, executor: str, spec: Spec) -> None:
    """:raises BadInput: where a run has no use for so many coordinator processes."""
    if coordinators < 1:
        raise BadInput(f"--coordinators {coordinators}: expected 1 or more")
    if coordinators > 1 and executor != "celery":
        raise BadInput(
            f"--coordinators {coordinators}: without workers one process feeds all cores of this machine; "
            "expected 1, or --executor celery"
        )
    if coordinators > spec.search.islands:
        raise BadInput(
            f"--coordinators {coordinators}: each process drives islands of its own, and the spec has "
            f"{spec.search.islands}; expected 1 to {spec.search.islands}"
        )


def make_shards(
    coordinators: int, executor: Executor, record: Record, store_url: str, name: str, broker: str | None
) -> ShardProcesses | None:
    """So many processes that drive the run's islands; None for one, which is this one."""
    if coordinators == 1:
        return None
    from coordinator.queue.celery_executor import CeleryExecutor
    from coordinator.shard_processes import ShardProcesses

    if not isinstance(executor, CeleryExecutor):
        raise TypeError("executor: expected one that sends to workers")
    place = open_store(store_url).url
    return ShardProcesses(coordinators, executor, record.url, place, name, find_broker(broker))


def make_executor(kind: str, record: Record, store_url: str, name: str, broker: str | None) -> Executor:
    """Who scores the run ``name`` in the store at ``store_url``: this process, or workers."""
    if kind == "local":
        from worker.evaluate import shared_evaluator

        return LocalExecutor(record.store, shared_evaluator())
    from coordinator.queue.celery_executor import CeleryExecutor

    return CeleryExecutor(record.store, store_url, name, find_broker(broker), check_owner=record.check_owner)
