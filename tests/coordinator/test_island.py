"""One island by itself: its mean is ranked; it starts anew where nothing gets better, or a face is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from coordinator.run import objectives_of
from coordinator.search import away
from coordinator.search.away import SHARE, noise_apart_mm
from coordinator.search.dial import FULL
from coordinator.search.island import AtCheckpoint, Emigrants, Island, NeedMigrants, NeedScores
from coordinator.spec.spec import parse_spec
from services.shape.catalog import DEFAULT_BASIS, facts_of
from services.shape.character import apart_mm
from services.storage.codec import decode
from services.wire.plan import OK, Scores

GENES = 138


def spec(views=None, **search):
    return parse_spec(
        {
            "search": {"islands": 1, "population": 8, "generations": 12, "optimizers": ["sep-cma"], **search},
            "migration": {"every": 2, "count": 1},
            "views": views or {"count": 1},
            "objective": [{"kind": "detect", "model": "dlib-hog"}],
            "archive": {"on": True},  # map-elites needs one
        },
        "test",
    )


def island(of):
    return Island(0, of, objectives_of(of, [None]), GENES)


def scored(genomes, views, value):
    given = np.asarray(value(genomes))
    each = given if given.ndim == 2 else np.repeat(given[:, None], views, axis=1)
    raw = each[None].astype(np.float32)
    count = len(genomes)
    return Scores(
        raw,
        np.full(count, np.nan, np.float32),
        np.full(count, OK, np.uint8),
        np.zeros(count, np.float32),
        np.ones((count, views), np.float32),
    )


def lived(one, value, migrant=None, until=None, counts=None):
    """Let it live; the genomes that it asked for by generation, and its state after each epoch.

    counts: a list, takes the number of views of each generation.
    """
    life, answer, asked, states = one.life(), None, [], []
    counts = [] if counts is None else counts
    while True:
        try:
            request = life.send(answer)
        except StopIteration:
            return asked, states
        answer = None
        if isinstance(request, NeedScores):
            if request.moment.epoch is None:
                asked.append(request.genomes)
                counts.append(request.view_count)
            answer = scored(request.genomes, request.view_count, value)
        elif isinstance(request, NeedMigrants):
            answer = Emigrants.none(GENES)
            if migrant is not None:
                answer = Emigrants(("i09-g0000-000",), migrant[None], np.ones(1, np.float32))
        elif isinstance(request, AtCheckpoint):
            states.append(request.state)
            if until == request.epoch:
                return asked, states


def flat(genomes):
    return np.zeros(len(genomes))


def uphill(genomes):
    return -np.abs(genomes).mean(axis=1)


def test_the_newest_mean_is_ranked_though_its_views_were_hard():
    one = island(spec())

    def against_the_mean(genomes):
        value = uphill(genomes)
        if len(genomes) == 8:
            value[0] -= 5
        return value

    lived(one, against_the_mean, until=0)
    assert "i00-g0001-000" in [mask.id for mask in one.ranked[0]]
    assert "i00-g0001-000" in one.emigrants[0].ids


def test_without_patience_it_never_starts_anew():
    one = island(spec())
    lived(one, flat)
    assert one.restarts == 0


def test_it_starts_anew_where_nothing_gets_better():
    one = island(spec(patience=2))
    asked, _ = lived(one, flat)
    # The first epoch sets the mark; two more without a better mask make a restart: at 6, and at 12 (the end).
    assert one.restarts == 2
    assert len(asked) == 12
    apart = [float(np.linalg.norm(b[0] - a[0])) for a, b in itertools.pairwise(asked)]
    assert int(np.argmax(apart)) == 5
    new = next(g for g in one.history if g.number == 6)
    assert all(parents == () for parents in new.parents)
    assert next(g for g in one.history if g.number == 7).parents[1] == ("i00-g0006",)


@pytest.mark.parametrize("name", ["map-elites", "random"])
def test_one_that_looks_for_many_kinds_goes_on(name):
    """Neither rest nor a find ends it, nor does it let go of a symmetry that it never had."""
    more = {"optimizers": [name], "patience": 1, "found": 0.9, "release": 4, "symmetric": True}
    one = island(spec(**more))
    lived(one, accepted_in(1.0))
    assert one.restarts == 0
    assert one.generation == one.optimizer.generation == 12


def test_it_goes_on_while_masks_get_better():
    one, calls = island(spec(patience=1, generations=8)), itertools.count()
    lived(one, lambda genomes: np.full(len(genomes), next(calls)))
    assert one.restarts == 0


def test_a_new_start_takes_no_migrants_for_a_while():
    one = island(spec(patience=2))
    migrant = np.full(GENES, 0.25, np.float32)
    lived(one, flat, migrant)
    first = [g.number for g in one.history if ("i09-g0000-000",) in g.parents]
    # It starts anew at 6 and is alone in the epochs that begin at 8 and 10.
    assert first == [2, 4]


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_it_resumes_to_the_same_masks(epoch):
    whole, states = lived(island(spec(patience=1)), flat)
    one = island(spec(patience=1))
    one.restore(states[epoch], "test")
    rest, _ = lived(one, flat)
    assert [g.tobytes() for g in rest] == [g.tobytes() for g in whole[2 * (epoch + 1) :]]


def accepted_in(share):
    """Every mask is accepted in so many of the ten ranking views, and in no other view."""

    def value(genomes):
        if len(genomes) == 8:  # a generation, not a ranking
            return flat(genomes) - 1
        return np.tile(np.where(np.arange(10) < round(10 * share), 1.0, -1.0), (len(genomes), 1))

    return value


@pytest.mark.parametrize(("share", "then"), [(0.0, 2), (0.3, 3), (0.5, 4), (1.0, 6)])
def test_views_grow_as_masks_are_accepted(share, then):
    counts = []
    lived(island(spec({"first": 2, "count": 6})), accepted_in(share), counts=counts)
    assert counts == [2, 2, *[then] * 10]


def test_without_a_first_number_views_stay_the_same():
    counts = []
    lived(island(spec({"count": 6})), accepted_in(0.5), counts=counts)
    assert counts == [6] * 12


def test_a_new_start_begins_with_few_views_again():
    counts = []
    lived(island(spec({"first": 2, "count": 6}, patience=2)), accepted_in(1.0), counts=counts)
    assert counts == [2, 2, 6, 6, 6, 6, 2, 2, 6, 6, 6, 6]


def test_it_resumes_with_as_many_views():
    views, value = {"first": 2, "count": 6}, accepted_in(0.5)
    _, states = lived(island(spec(views)), value, until=1)
    one, counts = island(spec(views)), []
    one.restore(states[1], "test")
    lived(one, value, counts=counts)
    assert counts == [4] * 8


def near(one, other):
    return float(apart_mm(DEFAULT_BASIS, one[None], other[None])[0, 0])


def test_a_found_face_ends_a_search_and_the_next_keeps_away_from_it():
    one = island(spec(found=0.9))
    asked, states = lived(one, accepted_in(1.0))
    assert one.restarts == len(states) == 6
    kept = decode(states[2], "test")[0]["found"]
    assert len(kept) == 3
    half = SHARE * noise_apart_mm(DEFAULT_BASIS, 1.2, 3.0, True)
    best = one.ranked[3][0]
    assert best.start == 6
    # The same face once more would lose all that a dial takes, one as far as noise nothing.
    lost = away.loss(kept, DEFAULT_BASIS, 1.2, 3.0, True, np.stack([kept[0], asked[0][3]]))
    assert lost[0] == FULL
    assert lost[1] == pytest.approx(FULL * max(0.0, 1 - min(near(k, asked[0][3]) for k in kept) / half))
    assert island(spec()).spec.search.found is None


def test_a_face_that_is_not_sure_enough_is_no_end():
    one = island(spec(found=0.9))
    lived(one, accepted_in(0.8))
    assert one.restarts == 0


@pytest.mark.parametrize("epoch", [1, 4])
def test_it_resumes_away_from_the_same_faces(epoch):
    whole, states = lived(island(spec(found=0.9)), accepted_in(1.0))
    one = island(spec(found=0.9))
    one.restore(states[epoch], "test")
    rest, again = lived(one, accepted_in(1.0))
    assert [g.tobytes() for g in rest] == [g.tobytes() for g in whole[2 * (epoch + 1) :]]
    assert again == states[epoch + 1 :]


def test_islands_take_turns_at_being_symmetric():
    turns = spec(symmetric=[True, False], islands=3)
    sides = facts_of(DEFAULT_BASIS).symmetry
    for index, symmetric in enumerate([True, False, True]):
        one = Island(index, turns, objectives_of(turns, [None]), GENES)
        last = lived(one, flat)[0][-1]
        apart = sides.mirrored(last) - last
        # What is left of its start's asymmetry is alike in all masks, but for genes at their limits.
        assert (np.median(np.abs(apart - apart[0]).max(axis=0)) < 1e-6) == symmetric


def uneven(genomes):
    """The better the more it differs from its mirror image."""
    sides = facts_of(DEFAULT_BASIS).symmetry
    return np.abs(sides.mirrored(genomes) - genomes).mean(axis=1)


def test_a_released_search_lets_go_of_its_symmetry_where_it_stands():
    one = island(spec(release=6, generations=24))
    asked, _ = lived(one, uneven)
    assert len(asked) == 24
    apart = [float(uneven(genomes)[1:].max()) for genomes in asked]
    assert max(apart[1:6]) <= apart[0]  # until then, what the start had of it fades
    assert min(apart[12:]) > max(apart[4:6])
    masks = [mask for mask in one.ranked[2] if mask.generation < 6]
    best = max(masks, key=lambda mask: mask.fitness)
    np.testing.assert_allclose(asked[6][0], best.genome, atol=1e-6)  # the first is the mean
    assert next(g for g in one.history if g.number == 6).parents[1] == ("i00-g0005",)


@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_it_resumes_before_and_after_its_release(epoch):
    whole, states = lived(island(spec(release=6)), uneven)
    one = island(spec(release=6))
    one.restore(states[epoch], "test")
    rest, again = lived(one, uneven)
    assert [g.tobytes() for g in rest] == [g.tobytes() for g in whole[2 * (epoch + 1) :]]
    assert again == states[epoch + 1 :]


def test_a_new_start_is_symmetric_again_until_its_own_release():
    one = island(spec(release=4, found=0.9, generations=8, symmetric=True))
    lived(one, accepted_in(1.0))
    assert one.restarts == 4  # found after each epoch of two generations: none lived to be released
