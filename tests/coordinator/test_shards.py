"""Islands in several shards decide as they do in one, whatever comes first. All in one process here."""

from __future__ import annotations

import pickle
import random
import re
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from bench.here import Here
from bench.made_up import scores_of
from coordinator.queue.executor import Finished, LocalExecutor
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.evolution import Evolution
from coordinator.search.shard import Shard
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, DatamaskError
from services.shape.catalog import basis_info
from services.storage.local import LocalStore
from services.storage.open import open_store
from services.wire.objects import left_to_do, scores_key
from services.wire.plan import INVISIBLE, decode_batch
from worker.evaluate import Summary

SPEC = {
    "name": "shards",
    "seed": 2,
    "search": {
        "islands": 5,
        "population": 6,
        "generations": 5,
        "batch": 4,
        "optimizers": ["sep-cma", "genetic"],
    },
    "migration": {"every": 2, "count": 1},
    "views": {"count": 2},
    "elites": {"count": 3, "candidates": 2, "ranking_views": 2},
    "archive": {},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}
VARIANTS = {
    "ring": {},
    "full": {
        "migration": {"every": 2, "count": 2, "topology": "full"},
        "record": {"evaluations": "accepted"},
    },
    "none": {"migration": {"every": 3, "count": 1, "topology": "none"}, "record": {"evaluations": "1 in 4"}},
}


class Choosy(Here):
    """Gives up the batches whose labels match, and takes those that wait in an order of its own."""

    def __init__(self, gives_up="never", seed=0, score=scores_of):
        super().__init__(score)
        self._gives_up, self._random, self._labels = gives_up, random.Random(seed), {}

    def submit(self, batch, origin, work=None):
        self._labels[batch] = origin.words
        super().submit(batch, origin, work)

    def wait(self):
        self._random.shuffle(self._waiting)
        if re.match(self._gives_up, self._labels[self._waiting[0][0]]):
            return Finished(self._waiting.popleft()[0], failed=True)
        return super().wait()


class Apart:
    """Shards that see nothing of each other: what they say is pickled, and waits until it is read."""

    def __init__(self, record, count, executor, seed):
        self.count, self._record, self._executor = count, record, executor
        self._random, self._head, self._said = random.Random(seed), None, []

    def restore(self, head):
        self._head = head

    def begin(self, terms, hear):
        self._hear = hear
        self._shards = [
            Shard(terms, self._record, self._executor(), self._teller(k), k, self.count)
            for k in range(self.count)
        ]
        for shard in self._shards:
            if self._head is not None:
                shard.restore(self._head)
            shard.begin()

    def _teller(self, number):
        return lambda message: self._said.append((number, pickle.dumps(message)))

    @property
    def over(self):
        return all(shard.done for shard in self._shards) and not self._said

    def wait(self, saving):
        busy = [shard for shard in self._shards if shard.busy]
        if busy and self._random.random() < 0.8:
            shard = self._random.choice(busy)
            shard.arrived(shard._executor.wait())
        said, self._said = self._said, []
        for number, message in said:
            self._hear(number, pickle.loads(message))
        for shard in self._shards:
            shard.settle()

    def tell(self, news, to):
        for number in to:
            self._shards[number].hear(pickle.loads(pickle.dumps(news)))

    def close(self):
        for shard in self._shards:
            shard.close()


def evolved(folder, name, count, changes=None, seed=0, scorers=None, **options):
    """The committed record, by key, of one run in so many shards, and its Evolution. 0: as ever.

    scorers: of a run's store gives the executor of an undivided run; None: a Choosy one.
    """
    store = open_store(folder, write=True).sub(name)
    opened = open_run(parse_spec({**SPEC, **(changes or {})}, "test"), Record(store), resume=True)
    executor = Choosy(seed=seed, **options) if scorers is None else scorers(store)
    with closing(opened.record) as record, closing(executor):
        record.take_over()
        dimension = len(basis_info(opened.spec.mask.basis).gene_names)
        evolution = Evolution(
            *(opened.spec, record, opened.plan, opened.objectives, dimension, executor),
            shards=Apart(record, count, lambda: Choosy(seed=seed, **options), seed) if count else None,
        )
        evolution.restore()
        evolution.run()
    kept = ("checkpoints/", "evaluations/", "rankings/", "batches/", "scores/")
    return {key: store.get(key) for key in store.list() if key.startswith(kept)}, evolution


@pytest.mark.parametrize("variant", VARIANTS)
def test_shards_write_the_bytes_of_one_process(tmp_path, variant):
    expected, one = evolved(tmp_path, "one", 0, VARIANTS[variant])
    assert len(expected) >= 2 * 7 + 2 * 2
    for count, seed in ((1, 1), (2, 2), (3, 3), (5, 4)):
        found, several = evolved(tmp_path, f"{count}-shards", count, VARIANTS[variant], seed)
        assert found == expected
        assert several.scored_views == one.scored_views
        assert [mask.id for mask in several.elites()] == [mask.id for mask in one.elites()]


def test_a_run_goes_on_in_another_number_of_shards(tmp_path):
    expected, _ = evolved(tmp_path, "whole", 0)

    class Stopped(Exception):
        pass

    def stopping(batch):
        stopping.left -= 1
        if stopping.left < 0:
            raise Stopped
        return scores_of(batch)

    for number, count in enumerate((3, 2, 0)):
        stopping.left = 30
        with pytest.raises(Stopped):
            evolved(tmp_path, "part", count, seed=number, score=stopping)
    found, _ = evolved(tmp_path, "part", 4, seed=9)
    assert found == expected


def test_an_island_of_which_every_batch_fails_goes_on_with_those_of_other_shards(tmp_path):
    options = {"gives_up": "island 1, generation [02]|island [03], ranking after epoch 1"}
    expected, one = evolved(tmp_path, "one", 0, **options)
    assert len(one.set_aside) == 2 * 2 + 2
    for count in (2, 3, 5):
        found, several = evolved(tmp_path, f"{count}-shards", count, seed=count, **options)
        assert found == expected
        assert sorted(several.set_aside) == sorted(one.set_aside)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_run_stops_where_every_batch_of_every_shard_fails(tmp_path, count):
    with pytest.raises(DatamaskError, match="every batch of generation 3 failed; ") as caught:
        evolved(tmp_path, "run", count, gives_up="island ., generation 3")
    assert not isinstance(caught.value, BadInput)


@pytest.mark.parametrize("count", [0, 2])
def test_a_run_in_which_nothing_can_be_scored_stops_and_counts_all_islands(tmp_path, count):
    def unseen(batch):
        scores = scores_of(batch)
        scores.status[:] = INVISIBLE
        return replace(scores)

    with pytest.raises(BadInput, match=r"no mask of epoch 1 could be scored: 60 are out of the picture"):
        evolved(tmp_path, "run", count, score=unseen)


class Written:
    """An evaluator that makes scores up and writes them, as a real one does, each batch by itself.

    What it has had before is removed meanwhile: before it looks, or between its answer and who reads it.
    """

    room = 0

    def __init__(self, when):
        self.names, self._when = [], when
        self._again, self._removed = threading.Event(), threading.Event()

    def join(self, run):
        pass

    def evaluate(self, run, name):
        time.sleep(0.05)  # slower than a commit
        again = name in self.names
        self.names.append(name)
        if again and self._when == "before":
            self._let_remove()
        data = left_to_do(run, name)
        if again and self._when == "after":
            self._let_remove()
        if isinstance(data, str):
            return Summary(name, data)
        run.create(scores_key(name), scores_of(decode_batch(data, name)).encoded({}))
        return Summary(name, "scored", 1)

    def _let_remove(self):
        self._removed.clear()
        self._again.set()
        self._removed.wait(0.5)
        self._again.clear()

    def removing(self, remove):
        """Remove as soon as something is asked for again; nobody may wait longer than a moment."""

        def late(store, keys):
            self._again.wait(0.3)
            remove(store, keys)
            self._removed.set()

        return late


@pytest.mark.timeout(60)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_asked_for_again_is_scored_again_though_it_is_being_removed(tmp_path, monkeypatch, when):
    """A mask that goes from island to island, and is the best of each, is ranked under the same views."""
    evaluator = Written(when)
    optimizers = ["map-elites", "map-elites", "sep-cma", "genetic"]
    changes = {
        "seed": 3,
        "search": {"islands": 4, "population": 4, "generations": 4, "optimizers": optimizers},
        "migration": {"every": 1, "count": 1},
        "elites": {"count": 1, "candidates": 1, "ranking_views": 2},
    }
    monkeypatch.setattr(LocalStore, "delete_many", evaluator.removing(LocalStore.delete_many))
    expected, _ = evolved(tmp_path, "one", 0, changes)
    found, _ = evolved(tmp_path, "two", 0, changes, scorers=lambda run: LocalExecutor(run, evaluator))
    assert len(set(evaluator.names)) < len(evaluator.names)
    assert found == expected
