"""The record of a run in its store: spec, manifest, checkpoints under ``HEAD``, evaluations, elites.

Readers use only what ``HEAD`` lists. ``HEAD`` moves by compare-and-swap and carries the number of its owner,
so that a coordinator that was given up for dead cannot commit after its successor.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote

import tomli_w

from services.errors import BadInput, CorruptData, DatamaskError, one_line
from services.storage.store import ObjectMissing, Store

FORMAT = 1
BEAT_EVERY_S = 2.0
BEAT_FRESH_S = 10.0
STORE_THREADS = 16
LEDGER = 128  # epochs; HEAD lists fewer than twice as many, and names the ledger of those before


class Fenced(DatamaskError):
    """Another coordinator has taken this run over; this one must stop."""


@dataclass(frozen=True)
class Head:
    """What is committed. parts: SHA-256 by key of the newest checkpoint; evaluations: by key, of late epochs.

    earlier: SHA-256 by key of the one object that lists the epochs before, see Record.evaluations.
    """

    owner: int = 0
    epoch: int = 0
    done: bool = False
    parts: Mapping[str, str] = field(default_factory=dict)
    evaluations: Mapping[str, str] = field(default_factory=dict)
    earlier: Mapping[str, str] = field(default_factory=dict)

    def generation(self, spec: Mapping[str, Any]) -> int:
        """How many generations of the run with this spec table are committed."""
        every, last = spec["migration"]["every"], spec["search"]["generations"]
        return min((self.epoch + 1) * int(every), int(last)) if self.parts else 0

    def encoded(self) -> bytes:
        """JSON bytes."""
        values = asdict(self)
        if not self.earlier:  # as versions wrote it that knew none
            del values["earlier"]
        return json.dumps({"format": FORMAT, **values}, indent=1, sort_keys=True).encode()


def decode_head(data: bytes, where: str) -> Head:
    """:raises CorruptData: if it is not a HEAD of this version."""
    try:
        values = json.loads(data)
        if values.pop("format") != FORMAT:
            raise ValueError("format")
        return Head(**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CorruptData(
            f"{where}: not a HEAD of this version; the run cannot be read, restore it from a copy"
        ) from None


def checkpoint_key(epoch: int, part: str) -> str:
    """Store key of one part (``i03`` or ``elites``) of checkpoint ``epoch``."""
    return f"checkpoints/e{epoch:05d}/{part}"


def evaluations_key(epoch: int) -> str:
    """Store key of the evaluations that checkpoint ``epoch`` adds."""
    return f"evaluations/e{epoch:05d}.parquet"


def ranking_key(epoch: int) -> str:
    """Store key of what an epoch's best masks got on the ranking views. No part of a checkpoint: nobody who
    goes on with a run asks for it, pages do.
    """
    return f"rankings/e{epoch:05d}.json"


def ledger_key(last: str) -> str:
    """Store key of the ledger whose last epoch has evaluations under the key ``last``."""
    return f"ledgers/{last.rpartition('/')[2].partition('.')[0]}.json"


class Record:
    """One run in a store. ``store`` is the run's own (keys begin below the run's name)."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._head = Head()
        self._tag: str | None = None
        self._beat: _Beat | None = None
        self._ledgers: dict[str, tuple[dict[str, str], dict[str, str]]] = {}  # that were read, by hash

    @property
    def url(self) -> str:
        """Where the run is."""
        return self.store.url

    @property
    def name(self) -> str:
        """The run's own name: the last part of where it is."""
        last = self.url.rstrip("/").rpartition("/")[2]
        return one_line(unquote(last)) if self.url.startswith("file:") else last

    # -- what a run is

    def exists(self) -> bool:
        """Whether a run has been started here."""
        return self.store.exists("run.toml")

    def write_spec(self, table: Mapping[str, Any], text: str) -> None:
        """Start a run: ``run.toml``, written once.

        :raises BadInput: if a run is there already.
        """
        if not self.store.create("run.toml", text.encode()):
            raise BadInput(
                f"{self.url}: a run of this name exists; add --resume to go on, or take another --run NAME"
            )

    def spec_table(self) -> dict[str, Any]:
        """The filled-in spec. :raises BadInput: if there is no run; :raises CorruptData: if it is damaged."""
        try:
            return tomllib.loads(self.store.get("run.toml").decode("utf-8"))
        except ObjectMissing:
            raise BadInput(
                f"{self.url}: no run here (run.toml is missing); give the path that evolve printed"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CorruptData(
                f"{self.url}/run.toml: damaged ({error}); restore it from a copy of the run"
            ) from None

    def present(self, exhibition: Mapping[str, Any] | None) -> None:
        """Say something else on the labels of a run that is there: all else of ``run.toml`` stays.

        :raises BadInput: if that changes them while a coordinator is at work on the run.
        """
        table = self.spec_table()
        if table.get("exhibition") != exhibition:
            self.refuse_living_owner()
            table.pop("exhibition", None)
            if exhibition is not None:
                table["exhibition"] = dict(exhibition)
            self.store.put("run.toml", tomli_w.dumps(table).encode())

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Models with hashes and licences, thresholds, fingerprint, consent."""
        self.store.put(
            "manifest.json", json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()
        )

    def manifest(self) -> dict[str, Any]:
        """The manifest. :raises CorruptData: if it is missing or damaged."""
        try:
            return dict(json.loads(self.store.get("manifest.json")))
        except (ObjectMissing, ValueError):
            raise CorruptData(
                f"{self.url}/manifest.json: missing or damaged; restore it from a copy of the run"
            ) from None

    # -- what is committed

    def head(self) -> Head:
        """The committed state as a reader sees it."""
        found = self.store.read_tagged("HEAD")
        return Head() if found is None else decode_head(found[0], f"{self.url}/HEAD")

    def take_over(self) -> Head:
        """Become the run's coordinator; returns what is committed.

        Another coordinator that is alive (its beat object changes, or its process lives on this host) keeps
        the run.

        :raises BadInput: if the run has a living coordinator.
        """
        self.refuse_living_owner()
        found = self.store.read_tagged("HEAD")
        self._head, self._tag = Head(), None
        if found is not None:
            self._head, self._tag = decode_head(found[0], f"{self.url}/HEAD"), found[1]
        # A HEAD that was restored from a copy may be older than the last owner's beat.
        owner = max(self._head.owner, _owner_of(self.store)) + 1
        self._swap(Head(**{**_shallow(self._head), "owner": owner}))
        self._beat = _Beat(self.store, self._head.owner)
        self._beat.start()
        return self._head

    def commit(
        self, epoch: int, parts: Mapping[str, bytes], evaluations: Mapping[str, bytes], done: bool = False
    ) -> None:
        """Write the parts, then move ``HEAD`` to them in one step.

        :param parts: checkpoint bytes by key. evaluations: parquet bytes by key, new ones only.
        :raises Fenced: if another coordinator has taken over.
        """
        with ThreadPoolExecutor(STORE_THREADS) as pool:  # each waits for a disk or a network
            objects = {**parts, **evaluations}
            list(pool.map(self.store.put, objects.keys(), objects.values()))
        listed, earlier = {**self._head.evaluations, **_hashes(evaluations)}, self._head.earlier
        if len(listed) >= 2 * LEDGER:
            listed, earlier = self._in_ledger(listed, earlier)
        head = Head(
            owner=self._head.owner,
            epoch=epoch,
            done=done,
            parts=_hashes(parts) if parts else self._head.parts,
            evaluations=listed,
            earlier=earlier,
        )
        self._swap(head)

    def _in_ledger(
        self, listed: Mapping[str, str], earlier: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Write the first LEDGER epochs into an object of their own: HEAD is written anew at each epoch."""
        keys = sorted(listed)
        old = {key: listed[key] for key in keys[:LEDGER]}
        ledger = {"format": FORMAT, "evaluations": old, "earlier": dict(earlier)}
        data = json.dumps(ledger, indent=1, sort_keys=True).encode()
        key = ledger_key(keys[LEDGER - 1])
        self.store.put(key, data)
        return {key: listed[key] for key in keys[LEDGER:]}, _hashes({key: data})

    def evaluations(self, head: Head) -> dict[str, str]:
        """SHA-256 by key of the evaluations of all epochs, in their order.

        :raises CorruptData: if a ledger is gone or was changed.
        """
        found = dict(head.evaluations)
        for key, sha256 in self.ledgers(head).items():
            found |= self._ledger(key, sha256)[0]
        return dict(sorted(found.items()))

    def ledgers(self, head: Head) -> dict[str, str]:
        """SHA-256 by key of the ledgers, from the newest to the first. Raises as :meth:`evaluations`."""
        found: dict[str, str] = {}
        earlier = dict(head.earlier)
        while earlier:
            found |= earlier
            ((key, sha256),) = earlier.items()
            earlier = self._ledger(key, sha256)[1]
        return found

    def _ledger(self, key: str, sha256: str) -> tuple[dict[str, str], dict[str, str]]:
        """What a ledger lists, and which one is before it."""
        if sha256 not in self._ledgers:
            try:
                values = json.loads(self.part(key, sha256))
                self._ledgers[sha256] = dict(values["evaluations"]), dict(values["earlier"])
            except (ValueError, KeyError, TypeError):
                raise CorruptData(f"{self.url}/{key}: not a ledger; restore it from a copy") from None
        return self._ledgers[sha256]

    def part(self, key: str, sha256: str) -> bytes:
        """A committed object, hash checked. :raises CorruptData: if it is gone or was changed."""
        where = f"{self.url}/{key}"
        try:
            data = self.store.get(key)
        except ObjectMissing:
            raise CorruptData(
                f"{where}: HEAD lists it but it is gone; restore it from a copy of the run"
            ) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptData(
                f"{where}: its bytes do not match the hash in HEAD; restore it from a copy of the run"
            )
        return data

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects that a commit has covered."""
        self.store.delete_many(keys)

    def check_owner(self) -> None:
        """:raises Fenced: if another coordinator has been seen at work; asks the store nothing."""
        if self._beat is not None and self._beat.overtaken:
            raise Fenced(f"{self.url}: another coordinator has taken this run over; this one stops")

    def close(self) -> None:
        """Stop beating; the run is free for others."""
        if self._beat is not None:
            self._beat.stop()
            self._beat = None

    def _swap(self, head: Head) -> None:
        data = head.encoded()
        if not self.store.replace("HEAD", data, self._tag):
            raise Fenced(f"{self.url}: another coordinator has taken this run over; this one stops")
        found = self.store.read_tagged("HEAD")
        if found is None or found[0] != data:
            raise Fenced(f"{self.url}: another coordinator has taken this run over; this one stops")
        self._head, self._tag = head, found[1]

    def refuse_living_owner(self) -> None:
        """:raises BadInput: while a coordinator is at work on the run."""
        first = self._read_beat()
        if first is None or first.get("ended"):
            return
        if first.get("host") == socket.gethostname():
            if not _process_lives(int(first.get("pid", 0)), str(first.get("started", ""))):
                return
            raise BadInput(_living(self.url, first))
        deadline = time.monotonic() + BEAT_FRESH_S  # by this host's own clock: theirs may be off
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if self._read_beat() != first:
                raise BadInput(_living(self.url, first))

    def _read_beat(self) -> dict[str, Any] | None:
        return _beat_of(self.store)


def _beat_of(store: Store) -> dict[str, Any] | None:
    try:
        return dict(json.loads(store.get("beat.json")))
    except (ObjectMissing, ValueError, TypeError):
        return None


def _owner_of(store: Store) -> int:
    owner = (_beat_of(store) or {}).get("owner")
    return owner if isinstance(owner, int) else 0


def _living(url: str, beat: Mapping[str, Any]) -> str:
    return (
        f"{url}: a coordinator is at work on this run (host {beat.get('host')}, process {beat.get('pid')}); "
        "stop it first, or start another run with --run NAME"
    )


def _shallow(head: Head) -> dict[str, Any]:
    return {name: getattr(head, name) for name in Head.__dataclass_fields__}


def _hashes(objects: Mapping[str, bytes]) -> dict[str, str]:
    return {key: hashlib.sha256(data).hexdigest() for key, data in objects.items()}


def _process_started(pid: int) -> str:
    """When a process of this host was started, in clock ticks since boot; empty if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _process_lives(pid: int, started: str) -> bool:
    # A process id may be given again; with its start time it names one process.
    return pid != os.getpid() and bool(started) and _process_started(pid) == started


class _Beat(threading.Thread):
    """Writes the owner's sign of life every few seconds, until it finds a successor's."""

    def __init__(self, store: Store, owner: int) -> None:
        super().__init__(name="datamask-beat", daemon=True)
        self._store, self._owner, self._count = store, owner, 0
        self.overtaken = False
        self._stopped = threading.Event()
        self._write(ended=False)

    def run(self) -> None:
        """Beat until stopped; a store that fails for a moment is tried again at the next beat."""
        while not self.overtaken and not self._stopped.wait(BEAT_EVERY_S):
            try:
                self._write(ended=False)
            except DatamaskError:
                continue

    def stop(self) -> None:
        """Say that the owner has gone in good order."""
        self._stopped.set()
        self.join()
        try:
            self._write(ended=True)
        except DatamaskError:  # the place has gone; the missing beats say the same
            return

    def _write(self, *, ended: bool) -> None:
        # A host that slept may have been given up: its beats must not drown its successor's.
        self.overtaken = self.overtaken or _owner_of(self._store) > self._owner
        if self.overtaken:
            return
        self._count += 1
        beat = {
            "owner": self._owner,
            "count": self._count,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _process_started(os.getpid()),
            "ended": ended,
        }
        self._store.put("beat.json", json.dumps(beat).encode())
