"""What holds for every optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.search.grid import Grid
from coordinator.search.optimizers import OPTIMIZERS, make_optimizer
from services.errors import BadInput
from services.storage.codec import decode, encode

ALL = sorted(OPTIMIZERS)
# They draw around one mean, so that noise is where that mean is.
AROUND_A_MEAN = ("sep-cma", "cma", "snes", "gauss-newton")
# An archive keeps the poor as well as the good, each in its cell: it does not converge.
LEARNING = sorted(set(ALL) - {"random", "map-elites"})
D, N = 12, 16


class Halves(Grid):
    """Measures that need no face: the means of a genome's two halves."""

    def measure(self, genomes):
        half = genomes.shape[1] // 2
        halves = (genomes[:, :half], genomes[:, half:])
        return np.stack([part.mean(axis=1, dtype=np.float64) for part in halves], axis=1)


CELLS = Halves("none", ("abstraction", "asymmetry"), (5, 4), ((-2.0, 2.0), (-2.0, 2.0)))


def make(name, *, start="noise", seed=1, dimension=D, population=N, **options):
    root = np.random.SeedSequence(seed)
    return make_optimizer(name, dimension, start, population, root, **{"grid": CELLS, **options})


def sphere(genomes):
    return -((genomes.astype(np.float64) - 0.7) ** 2).sum(axis=1)


def reached(name, values):
    """How good a search's masks are. gauss-newton draws as widely as ever: its mean is what it has found."""
    return values[0] if name == "gauss-newton" else values.mean()


def live(optimizer, generations, rng, migrate_every=3):
    """Generations with noise in the fitness, failures among it, and migrants; returns all genomes."""
    seen = []
    for _ in range(generations):
        if optimizer.generation % migrate_every == migrate_every - 1:
            optimizer.inject(rng.normal(0, 2, (2, optimizer.dimension)).astype(np.float32))
        genomes = optimizer.ask()
        fitness = sphere(genomes) + rng.normal(0, 0.5, len(genomes))
        fitness[rng.random(len(fitness)) < 0.1] = np.nan
        optimizer.tell(genomes, fitness)
        seen += [genomes, optimizer.last_parents, optimizer.last_migrants]
    return b"".join(array.tobytes() for array in seen)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("start", ["noise", "neutral", [0.5] * D])
def test_genomes_are_float32_within_the_limits(name, start):
    pairs = np.tile([-0.25, 0.75], (D, 1))
    pairs[3] = [-5, -4]
    for limit, low, high in ((1.0, -1.0, 1.0), (pairs, pairs[:, 0], pairs[:, 1]), (None, -np.inf, np.inf)):
        optimizer = make(name, start=start, limit=limit)
        for _ in range(8):
            genomes = optimizer.ask()
            assert genomes.dtype == np.float32
            assert genomes.shape == (N, D)
            assert np.all((genomes >= low) & (genomes <= high))
            optimizer.tell(genomes, genomes.sum(axis=1))


@pytest.mark.parametrize("name", ALL)
def test_one_seed_one_search(name):
    seed = np.random.SeedSequence(5, spawn_key=(2,))
    first, second = (make_optimizer(name, D, "noise", N, seed, grid=CELLS) for _ in range(2))
    assert seed.n_children_spawned == 0
    assert live(first, 7, np.random.default_rng(0)) == live(second, 7, np.random.default_rng(0))
    other = make_optimizer(name, D, "noise", N, np.random.SeedSequence(5, spawn_key=(3,)), grid=CELLS)
    assert not np.array_equal(other.ask(), make_optimizer(name, D, "noise", N, seed, grid=CELLS).ask())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("stop", [0, 1, 2, 7, 8])
def test_resumed_equals_uninterrupted(name, stop):
    whole, rng = make(name), np.random.default_rng(3)
    live(whole, stop, rng)
    # Migrants wait: a checkpoint is taken just after a migration.
    whole.inject(rng.normal(0, 2, (3, D)).astype(np.float32))
    stored = encode(whole.state(), {})
    resumed = make(name, seed=999)
    live(resumed, 2, np.random.default_rng(8))
    resumed.restore(decode(stored).arrays)
    assert resumed.generation == stop
    assert encode(resumed.state(), {}) == stored
    assert live(resumed, 40, np.random.default_rng(4)) == live(whole, 40, np.random.default_rng(4))
    assert encode(resumed.state(), {}) == encode(whole.state(), {})


@pytest.mark.parametrize("name", ALL)
def test_a_state_is_a_copy(name):
    optimizer = make(name)
    live(optimizer, 3, np.random.default_rng(0))
    state = optimizer.state()
    before = encode(state, {})
    live(optimizer, 3, np.random.default_rng(0))
    assert encode(state, {}) == before
    twin = make(name)
    twin.restore(state)
    live(twin, 3, np.random.default_rng(1))
    assert encode(state, {}) == before


@pytest.mark.parametrize("name", ALL)
def test_misuse_names_the_argument_or_the_call(name):
    optimizer = make(name)
    with pytest.raises(ValueError, match="tell: generation 0 has not been asked for"):
        optimizer.tell(np.zeros((N, D), np.float32), np.zeros(N))
    genomes = optimizer.ask()
    for call in (optimizer.ask, optimizer.state, lambda: optimizer.inject(genomes[:1])):
        with pytest.raises(ValueError, match="generation 0"):
            call()
    with pytest.raises(ValueError, match=r"genomes: expected shape \(16, 12\), got \(15, 12\)"):
        optimizer.tell(genomes[1:], np.zeros(N - 1))
    with pytest.raises(ValueError, match="genomes: row 0 is not what ask gave"):
        optimizer.tell(genomes[::-1], np.zeros(N))
    with pytest.raises(ValueError, match=r"fitness: expected shape \(16,\), got \(16, 1\)"):
        optimizer.tell(genomes, np.zeros((N, 1)))
    with pytest.raises(ValueError, match="read-only"):
        genomes[0, 0] = 1
    # None of this has done any harm.
    optimizer.tell(genomes, np.zeros(N))
    assert optimizer.generation == 1
    with pytest.raises(ValueError, match=r"genomes: expected shape \(k, 12\)"):
        optimizer.inject(np.zeros((1, D + 1), np.float32))
    with pytest.raises(ValueError, match="genomes: a migrant holds"):
        optimizer.inject(np.full((1, D), np.nan, np.float32))
    optimizer.inject(np.zeros((5, D), np.float32))
    with pytest.raises(ValueError, match=r"genomes: 9 migrants.*takes 8; lower migration\.count"):
        optimizer.inject(np.zeros((4, D), np.float32))


@pytest.mark.parametrize("name", ALL)
def test_a_state_that_does_not_fit_is_refused(name):
    optimizer = make(name)
    state = optimizer.state()
    other = next(kind for kind in ALL if kind != name)
    with pytest.raises(ValueError, match=f"state: is of a '{name}' optimizer"):
        make(other).restore(state)
    with pytest.raises(ValueError, match="state: is of a population"):
        make(name, population=N + 2).restore(state)
    with pytest.raises(ValueError, match="state: expected the arrays"):
        optimizer.restore({key: value for key, value in state.items() if key != "rng"})
    with pytest.raises(ValueError, match="state: rng has shape"):
        optimizer.restore(state | {"rng": state["rng"][:3]})


def test_a_bad_setup_names_the_argument():
    for options, message in (
        ({"dimension": 1}, "dimension"),
        ({"population": 3}, "population"),
        ({"start": "face"}, "start"),
        ({"start": [0.0] * (D - 1)}, "start"),
        ({"start": [np.nan] * D}, "start"),
        ({"spread": 0}, "spread"),
        ({"sigma": float("inf")}, "sigma"),
        ({"limit": 0}, "limit"),
        ({"limit": [[1, -1]] * D}, "limit"),
        ({"limit": [1, 2, 3]}, "limit"),
    ):
        with pytest.raises(ValueError, match=f"^{message}: expected"):
            make("sep-cma", **options)
    with pytest.raises(BadInput, match=r"'sepcma'.*did you mean 'sep-cma'"):
        make("sepcma")


@pytest.mark.parametrize("name", ALL)
def test_noise_has_its_spread_and_neutral_its_middle(name):
    starts = np.stack([make(name, seed=s, limit=None, sigma=0.3).ask() for s in range(60)])
    # Over seeds every gene is N(0, 1.2); the draws of searches around a mean add to it.
    width = 0.2 if name == "gauss-newton" else 0.3
    expected = np.hypot(1.2, width) if name in AROUND_A_MEAN else 1.2
    assert abs(starts[:, 0].std() / expected - 1) < 0.1
    assert abs(starts[:, 0].mean()) < 0.15
    neutral = np.stack([make(name, start="neutral", seed=s, limit=None, sigma=0.3).ask() for s in range(20)])
    assert abs(neutral[:, 1:].std() / (1.2 if name == "random" else width) - 1) < 0.05
    assert abs(neutral.mean()) < 5 * neutral.std() / np.sqrt(neutral.size)


@pytest.mark.parametrize("name", ALL)
def test_migrants_are_marked_and_close_ones_come_unchanged(name):
    optimizer = make(name)
    live(optimizer, 5, np.random.default_rng(0))
    near = np.clip(optimizer.mean if name in AROUND_A_MEAN else np.zeros(D), -3, 3)
    migrants = (near + np.linspace(-1e-3, 1e-3, 3)[:, None]).astype(np.float32)
    optimizer.inject(migrants[:1])
    optimizer.inject(migrants[1:])
    genomes = optimizer.ask()
    assert genomes[-3:].tobytes() == migrants.tobytes()
    assert optimizer.last_migrants.tolist() == [-1] * (N - 3) + [0, 1, 2]
    assert np.all(optimizer.last_parents[-3:] == -1)
    optimizer.tell(genomes, sphere(genomes))
    optimizer.ask()
    assert np.all(optimizer.last_migrants == -1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("fitness", [-np.inf, np.nan, np.inf, 0.0])
def test_a_plateau_or_total_failure_leaves_a_sound_search(name, fitness):
    optimizer = make(name)
    for _ in range(300):
        genomes = optimizer.ask()
        assert np.all(np.isfinite(genomes))
        optimizer.tell(genomes, np.full(N, fitness))
    for _ in range(150):
        genomes = optimizer.ask()
        optimizer.tell(genomes, sphere(genomes))
    if name in LEARNING:
        # Noise scores about -23 here: it has found its way again.
        assert reached(name, sphere(genomes)) > -2


@pytest.mark.parametrize("name", LEARNING)
def test_what_cannot_be_scored_is_avoided(name):
    optimizer = make(name, seed=4)

    def only_positive(genomes):
        # The peak lies outside of what can be scored; inf and nan must not count as good.
        return np.where(genomes[:, 0] > 0, -((genomes + 1.0) ** 2).sum(axis=1), [np.nan, np.inf] * (N // 2))

    # gauss-newton, with its long memory, creeps along the edge: measured -0.60 after 60 generations.
    for _ in range(150 if name == "gauss-newton" else 60):
        genomes = optimizer.ask()
        optimizer.tell(genomes, only_positive(genomes))
    scored = genomes[:, 0] > 0
    assert scored.mean() > 0.4
    assert abs(reached(name, genomes[scored][:, 1:].mean(axis=1)) + 1) < 0.25


TARGET = np.random.default_rng(5).uniform(-1.5, 1.5, 40)
PROBLEMS = {
    # (true value, noise in what the optimizer is told)
    "sphere": (lambda x: -((x - TARGET) ** 2).sum(axis=1), 2.0),
    "rosenbrock": (
        lambda x: -(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1),
        50.0,
    ),
    "steps": (lambda x: -np.floor(2 * np.linalg.norm(x - TARGET, axis=1)) / 2, 0.2),
}


def best_of(name, problem, seed):
    true, noise = PROBLEMS[problem]
    rng = np.random.default_rng(seed + 100)
    optimizer = make(name, seed=seed, dimension=40, population=24)
    best = -np.inf
    for _ in range(60):
        genomes = optimizer.ask()
        values = true(genomes.astype(np.float64))
        best = max(best, values.max())
        optimizer.tell(genomes, values + rng.normal(0, noise, len(values)))
    return best, reached(name, values)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_learning_beats_chance_at_equal_cost(name, problem):
    # Measured: the mean of a learner's last generation is 1.5 to 50 times better than the best of chance.
    chance = max(best_of("random", problem, seed)[0] for seed in range(4))
    # NSGA-II keeps half of its genomes and is no specialist for one aim: measured 1.1 on steps. And a step
    # that follows a linear model is short in Rosenbrock's valley: measured 1.25.
    times = 1.0 if name in ("nsga2", "gauss-newton") else 1.3
    for seed in range(4):
        assert best_of(name, problem, seed)[1] > chance / times


@pytest.mark.parametrize("name", LEARNING)
def test_migrants_help(name):
    def value(genomes):
        return -((genomes - TARGET[:D]) ** 2).sum(axis=1)

    def life(seed, helped):
        optimizer = make(name, seed=seed)
        for _ in range(10):
            if helped:
                optimizer.inject(np.float32(TARGET[None, :D]))
            genomes = optimizer.ask()
            optimizer.tell(genomes, value(genomes))
        return reached(name, value(optimizer.ask()))

    # CMA and SNES at their own slow rates: measured 1.96 and 1.57.
    times = 1.4 if name in ("cma", "snes") else 2
    assert np.mean([life(s, True) for s in range(6)]) > np.mean([life(s, False) for s in range(6)]) / times
