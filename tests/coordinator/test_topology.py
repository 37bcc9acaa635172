from __future__ import annotations

import numpy as np
import pytest

from coordinator.search.topology import TOPOLOGIES, migrant_rows, receivers, sources
from services.errors import BadInput


def test_a_ring_passes_through_every_island_once():
    for count in (2, 3, 7):
        seen, island = [], 0
        for _ in range(count):
            seen.append(island)
            (island,) = sources("ring", island, count)
        assert island == 0
        assert sorted(seen) == list(range(count))


def test_full_takes_from_all_others_and_none_from_nobody():
    assert sources("full", 1, 4) == (0, 2, 3)
    assert sources("fully-connected", 1, 4) == (0, 2, 3)
    assert sources("none", 1, 4) == ()


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_receivers_are_those_of_whom_one_is_a_source(topology, count):
    for island in range(count):
        expected = tuple(k for k in range(count) if island in sources(topology, k, count))
        assert receivers(topology, island, count) == expected


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_lone_island_takes_from_nobody(topology):
    assert sources(topology, 0, 1) == ()


def test_what_is_not_known_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(BadInput, match=r"'star'.*ring, full, none"):
        sources("star", 0, 3)
    with pytest.raises(ValueError, match="island: expected 0 to 2, got 3"):
        sources("ring", 3, 3)
    with pytest.raises(BadInput, match=r"'worst'.*best, random"):
        migrant_rows(np.zeros((2, 2)), np.zeros(2), 1, "worst", rng)
    with pytest.raises(ValueError, match="fitness"):
        migrant_rows(np.zeros((2, 2)), np.zeros(3), 1, "best", rng)
    with pytest.raises(ValueError, match="count"):
        migrant_rows(np.zeros((2, 2)), np.zeros(2), -1, "best", rng)


GENOMES = np.array([[0, 0], [1, 1], [2, 2], [1, 1], [4, 4], [5, 5]], np.float32)
FITNESS = np.array([0.1, 0.7, np.nan, 0.9, -np.inf, 0.7])


def test_the_best_travel_once_each_and_only_if_scored():
    rng = np.random.default_rng(0)
    assert migrant_rows(GENOMES, FITNESS, 2, "best", rng).tolist() == [3, 5]
    assert migrant_rows(GENOMES, FITNESS, 9, "best", rng).tolist() == [3, 5, 0]
    assert migrant_rows(GENOMES, FITNESS, 0, "best", rng).tolist() == []


def test_none_scored_none_travels():
    picked = migrant_rows(GENOMES, np.full(6, np.nan), 2, "best", np.random.default_rng(0))
    assert picked.tolist() == []


def test_random_migrants_follow_the_generator_and_are_fair():
    first = migrant_rows(GENOMES, FITNESS, 2, "random", np.random.default_rng(3))
    assert migrant_rows(GENOMES, FITNESS, 2, "random", np.random.default_rng(3)).tolist() == first.tolist()
    rng = np.random.default_rng(4)
    drawn = np.concatenate([migrant_rows(GENOMES, FITNESS, 1, "random", rng) for _ in range(600)])
    rows, counts = np.unique(drawn, return_counts=True)
    assert rows.tolist() == [0, 3, 5]
    # 200 each are expected; 5 standard deviations are 58.
    assert np.all(abs(counts - 200) < 58)
