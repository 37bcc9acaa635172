"""What killed coordinators and workers leave behind goes, and nothing else does."""

from __future__ import annotations

import os
import time

import pytest

from coordinator.record.record import Record, checkpoint_key, evaluations_key
from coordinator.run import sweep
from services.errors import Unavailable
from services.storage.local import LocalStore
from services.storage.open import open_store
from services.wire.objects import record_failure


@pytest.fixture
def record(tmp_path):
    made = Record(open_store(tmp_path / "run", write=True))
    made.write_spec({}, "")
    made.take_over()
    for epoch in range(4):
        made.commit(epoch, {checkpoint_key(epoch, "i00"): b"state"}, {evaluations_key(epoch): b"table"})
    yield made
    made.close()


def test_leftovers_go_and_the_record_stays(record):
    store = record.store
    for key in ("batches/a", "scores/a", "scores/b", "batches/bad", "checkpoints/notes.txt"):
        store.put(key, b"")
    record_failure(store, "bad", "Traceback")
    kept = {key for key in store.list() if not key.startswith(("checkpoints/e00000", "checkpoints/e00001"))}
    half_written = record.store._root / "masks" / ".tmp-1-dead"
    half_written.parent.mkdir()
    half_written.write_bytes(b"half")
    yesterday = time.time() - 90_000
    os.utime(half_written, (yesterday, yesterday))
    sweep(record)
    assert set(store.list()) == kept - {"batches/a", "scores/a", "scores/b"}
    assert not half_written.exists()
    assert store.list("checkpoints/e") == [checkpoint_key(k, "i00") for k in (2, 3)]
    sweep(record)  # of nothing


def test_a_store_that_cannot_be_tidied_ends_no_run(record, monkeypatch):
    def denied(store, older_than_s=0.0):
        raise Unavailable("it may not be listed")

    monkeypatch.setattr(LocalStore, "sweep", denied)
    sweep(record)
