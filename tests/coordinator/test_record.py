"""HEAD stays small in a long run, and readers find every epoch all the same."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from coordinator.record import record as records
from coordinator.record.evaluations import encode_rows, rows_of
from coordinator.record.pull import plan_pull
from coordinator.record.record import Record, decode_head, evaluations_key
from coordinator.search.island import Generation
from services.errors import CorruptData
from services.recognition.fitness import Fitness, Objective
from services.storage.open import open_store
from services.wire.plan import FAILED, OK, Scores


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LEDGER", 3)
    made = Record(open_store(tmp_path / "run", write=True))
    made.write_spec({}, "")
    made.take_over()
    yield made
    made.close()


def test_head_lists_late_epochs_and_names_the_ledger_of_the_others(record):
    sizes = []
    for epoch in range(20):
        record.commit(epoch, {}, {evaluations_key(epoch): b"%d" % epoch})
        head = record.head()
        sizes.append(len(head.encoded()))
        found = Record(record.store).evaluations(head)
        assert list(found) == [evaluations_key(k) for k in range(epoch + 1)]
        assert all(record.part(key, sha256) == b"%d" % k for k, (key, sha256) in enumerate(found.items()))
        assert len(head.evaluations) < 6
    assert max(sizes[6:]) == max(sizes[9:12]) == max(sizes[15:])
    assert list(record.ledgers(head)) == [f"ledgers/e{k:05d}.json" for k in (14, 11, 8, 5, 2)]

    # A copy has the ledgers, and a resumed coordinator goes on with them.
    keys = {item.key for item in plan_pull(record.store).items}
    assert {*record.ledgers(head), *record.evaluations(head)} <= keys
    record.close()
    again = Record(record.store)
    again.take_over()
    again.commit(20, {}, {evaluations_key(20): b"20"})
    again.close()
    assert len(again.evaluations(again.head())) == 21

    record.store.put("ledgers/e00005.json", b"{}")
    with pytest.raises(CorruptData, match=r"ledgers/e00005\.json: its bytes do not match"):
        Record(record.store).evaluations(head)


def test_a_short_run_s_head_is_what_earlier_versions_wrote(record):
    record.commit(0, {}, {evaluations_key(0): b"0"})
    data = record.store.get("HEAD")
    assert set(json.loads(data)) == {"format", "owner", "epoch", "done", "parts", "evaluations"}
    assert decode_head(data, "HEAD").earlier == {}


def test_columns_say_of_each_mask_what_its_generation_does(tmp_path):
    objective = Objective("detect", "dlib-hog", 1.0, 0.0)
    rng = np.random.default_rng(1)

    def generation(island, number, count, views):
        status = np.full(count, OK, np.uint8)
        status[1] = FAILED
        raw = rng.normal(size=(1, count, views)).astype(np.float32)
        scores = Scores(raw, raw[0, :, 0], status, np.full(count, 0.25, np.float32), raw[0])
        values = raw.mean(axis=2).T
        result = Fitness(values[:, 0], values, raw)
        parents = tuple(("a", "b")[: k % 3] for k in range(count))
        genomes = rng.normal(size=(count, 5)).astype(np.float32)
        return Generation(island, number, genomes, parents, scores, result)

    made = [generation(1, 0, 3, 2), generation(0, 1, 1002, 4), generation(0, 0, 2, 2)]
    path = tmp_path / "table.parquet"
    path.write_bytes(encode_rows([rows_of(made, "head", (objective,))], (objective,)))
    table = pd.read_parquet(path)
    assert table["island"].tolist() == [0] * 1004 + [1] * 3
    keys = list(zip(table["island"], table["generation"], table["id"], strict=True))
    assert keys == sorted(keys)
    by_id = {row["id"]: row for row in table.to_dict("records")}
    for one in made:
        for k, name in enumerate(one.ids):
            row = by_id[name]
            assert row["parents"].tolist() == list(one.parents[k])
            assert np.array_equal(row["genome"], one.genomes[k])
            assert (row["fitness"], row["basis"]) == (one.result.fitness[k], "head")
            if k == 1:
                assert row["status"] == "failed"
                assert row["scores dlib-hog"] is None
                assert np.isnan(row["flipped"])
            else:
                assert np.array_equal(row["scores dlib-hog"], one.scores.raw[0, k])
                assert row["flipped"] == 0.25
