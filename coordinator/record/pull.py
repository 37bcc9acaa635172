"""Copy a run, or parts of it, from its store into a folder, as one consistent state.

``HEAD`` is read first and written last; of checkpoints and evaluations only what it lists is copied. A copy
that was cut short goes on where it stood: what is there and proven right is not fetched again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from coordinator.record.record import Head, Record, decode_head
from coordinator.spec.tables import searched
from services.errors import BadInput, CorruptData
from services.storage.codec import decode
from services.storage.etag import agrees
from services.storage.local import LocalStore
from services.storage.store import ObjectMissing, Store
from services.words import nearest

THREADS = 8
STALE_S = 60.0  # half-written files older than this belong to nobody
SPEC = "run.toml"
# What the tree of a run may hold, whether it does yet or not.
PARTS = (
    *("HEAD", "manifest.json", SPEC),
    *("batches", "checkpoints", "evaluations", "failures", "ledgers", "masks", "rankings"),
    *("scores", "targets"),
)
# Comes and goes while a run is at work.
IN_FLIGHT = ("batches", "beat.json", "scores")
COMMITTED = ("checkpoints", "evaluations", "ledgers")
READ = (*COMMITTED, "manifest.json", "rankings")  # what showing a run reads
_TARGET = re.compile(r"targets/([0-9a-f]{64})\.npz")


class _Moved(Exception):
    """A committed object is gone: a newer commit has replaced it."""


@dataclass(frozen=True)
class Item:
    """One object to copy. sha256: what its bytes must have, where the record says it; size in bytes."""

    key: str
    size: int
    sha256: str | None = None
    etag: str | None = None


@dataclass(frozen=True)
class Selection:
    """What is to be copied. head: the bytes of ``HEAD`` to write last; None where it is not asked for."""

    items: tuple[Item, ...]
    head: bytes | None

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(item.size for item in self.items)


@dataclass
class Pulled:
    """What became of the objects: fetched, there already, or gone before they could be read."""

    fetched: int = 0
    held: int = 0
    gone: int = 0
    fetched_bytes: int = 0


def plan_pull(run: Store, only: Sequence[str] = ()) -> Selection:
    """Read ``HEAD`` and list the run.

    :param only: top-level names of the run's tree; none: everything but what is in flight. With ``HEAD`` or
        a part that it lists comes whatever a run needs to be read.
    :raises BadInput: if there is no run or an unknown name; :raises CorruptData: if its ``HEAD`` is damaged.
    """
    record = Record(run)
    record.spec_table()
    found = run.read_tagged("HEAD")
    head = Head() if found is None else decode_head(found[0], f"{run.url}/HEAD")
    entries = run.entries()
    known = {*PARTS, *(entry.key.partition("/")[0] for entry in entries)}
    for name in only:
        if name not in known:
            raise BadInput(f"--only {name}: {run.url} has no such part{nearest(name, sorted(known))}")
    whole = not only or any(name in only for name in ("HEAD", *COMMITTED))
    chosen = (*only, *READ) if only and whole else only
    committed = {**head.parts, **record.evaluations(head), **record.ledgers(head)}
    items = []
    for key, size, etag in entries:
        part = key.partition("/")[0]
        if part == "HEAD" or (part in COMMITTED and key not in committed):
            continue
        wanted = part in chosen if only else head.done or part not in IN_FLIGHT
        if wanted or key == SPEC:
            items.append(Item(key, size, committed.get(key) or _named_hash(key), etag))
    # What HEAD lists and the listing lacks is gone since: the copy tells whether the run has moved on.
    there = {item.key for item in items}
    missing = [key for key in committed if key not in there]
    items += [Item(key, 0, committed[key]) for key in missing if whole]
    # The spec goes first: it tells whose copy a folder is.
    items.sort(key=lambda item: (item.key != SPEC, item.key))
    return Selection(tuple(items), found[0] if found is not None and whole else None)


def pull(
    run: Store,
    target: LocalStore,
    only: Sequence[str] = (),
    on_plan: Callable[[Selection], None] = lambda plan: None,
    on_bytes: Callable[[int], None] = lambda count: None,
    threads: int = THREADS,
) -> Pulled:
    """Copy into `target`; files that are there and right stay, others are replaced, none is removed.

    :param on_plan: called with what is to be copied, again if the run moved on meanwhile.
    :param on_bytes: called with the size of each object that is dealt with, from the calling thread.
    :raises BadInput: no run there, an unknown part, or a folder that holds something else;
    :raises CorruptData: an object does not match its hash; :raises Unavailable: the store or disk fails.
    """
    check_target(run, target)
    target.sweep(STALE_S)
    for _ in range(5):
        plan = plan_pull(run, only)
        if plan.head is not None:
            _refuse_further(run, target, plan.head)
        on_plan(plan)
        try:
            pulled = _copy(run, target, plan, on_bytes, threads)
        except _Moved:
            continue
        if plan.head is not None:
            target.put("HEAD", plan.head)
        return pulled
    raise CorruptData(f"{run.url}: HEAD lists objects that are gone; restore them from a copy of the run")


def check_target(run: Store, target: LocalStore) -> None:
    """:raises BadInput: if the folder is the run or in it, holds another run, or what is no run."""
    if isinstance(run, LocalStore) and target.root.resolve().is_relative_to(run.root.resolve()):
        raise BadInput(
            f"{target.root}: this is the run itself, or lies in it; give another folder to copy it to"
        )
    if not target.exists(SPEC):
        if target.root.is_dir() and any(not path.name.startswith(".") for path in target.root.iterdir()):
            raise BadInput(f"{target.root}: not empty and no copy of a run; give a new or empty folder")
        return
    theirs = Record(run).spec_table()
    manifests = _content(target, "manifest.json"), _content(run, "manifest.json")
    try:
        alike = searched(Record(target).spec_table()) == searched(theirs)
    except CorruptData:
        alike = False
    if not alike or (None not in manifests and manifests[0] != manifests[1]):
        raise BadInput(f"{target.root}: holds another run than {run.url}; give a new or empty folder")


def _refuse_further(run: Store, target: LocalStore, data: bytes) -> None:
    """:raises BadInput: where the copy has gone on by itself: what it found would be lost."""
    Record(target).refuse_living_owner()
    found = _content(target, "HEAD")
    if found is None:
        return
    there, here = decode_head(data, f"{run.url}/HEAD"), decode_head(found, f"{target.url}/HEAD")
    apart = there.epoch == here.epoch and there.parts != here.parts and bool(there.parts and here.parts)
    if (here.epoch, here.done) > (there.epoch, there.done) or apart:
        raise BadInput(
            f"{target.root}: this copy has gone on by itself (epoch {here.epoch + 1}, {run.url} is at "
            f"{there.epoch + 1}); give another folder, or --only what you want"
        )


def _copy(
    run: Store, target: LocalStore, plan: Selection, on_bytes: Callable[[int], None], threads: int
) -> Pulled:
    pulled = Pulled()
    if plan.items:  # alone, and before the rest
        _note(pulled, plan.items[0], _copy_one(run, target, plan.items[0]), on_bytes)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="datamask-pull")
    try:
        jobs = {pool.submit(_copy_one, run, target, item): item for item in plan.items[1:]}
        for job in as_completed(jobs):
            _note(pulled, jobs[job], job.result(), on_bytes)
    finally:
        # After an error or Ctrl-C: end what is being written, begin nothing new.
        pool.shutdown(wait=True, cancel_futures=True)
    return pulled


def _note(pulled: Pulled, item: Item, fetched: int | None, on_bytes: Callable[[int], None]) -> None:
    if fetched is None:
        pulled.gone += 1
    elif fetched < 0:
        pulled.held += 1
    else:
        pulled.fetched += 1
        pulled.fetched_bytes += fetched
    on_bytes(item.size)


def _copy_one(run: Store, target: LocalStore, item: Item) -> int | None:
    """Bytes fetched, -1 where the file is there and right, None where the object is gone."""
    own = _content(target, item.key) if _size(target, item.key) == item.size else None
    if own is not None and _is_right(own, item):
        return -1
    data = _fetch(run, item)
    if data is None:
        return None
    if data == own:
        return -1
    target.put(item.key, data)
    return len(data)


def _fetch(run: Store, item: Item) -> bytes | None:
    """The object's bytes, checked. :raises CorruptData, _Moved."""
    where = f"{run.url}/{item.key}"
    try:
        data = run.get(item.key)
        if item.sha256 is not None:
            if hashlib.sha256(data).hexdigest() != item.sha256:
                raise CorruptData(
                    f"{where}: its bytes do not match the recorded hash; restore it from a copy of the run"
                )
        elif item.key.startswith(("batches/", "scores/")):
            decode(data, where)
        elif item.etag is not None and not _is_right(data, item):
            # Rewritten since it was listed, or its ETag is no MD5: then two readings must agree.
            for _ in range(5):
                first, data = data, run.get(item.key)
                if first == data:
                    break
            else:
                raise CorruptData(f"{where}: reads differently each time; check the network and the store")
    except ObjectMissing:
        if item.sha256 is not None and item.key.startswith(COMMITTED):
            raise _Moved from None
        return None
    return data


def _is_right(data: bytes, item: Item) -> bool:
    """Whether a hash shows that these are the object's bytes."""
    if item.sha256 is not None:
        return hashlib.sha256(data).hexdigest() == item.sha256
    return agrees(data, item.etag)


def _named_hash(key: str) -> str | None:
    found = _TARGET.fullmatch(key)
    return found[1] if found else None


def _content(store: Store, key: str) -> bytes | None:
    found = store.read_tagged(key)
    return None if found is None else found[0]


def _size(target: LocalStore, key: str) -> int | None:
    path = target.root / key
    return path.stat().st_size if path.is_file() else None
