"""What every optimizer shows to its island, and the bookkeeping that all of them share."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coordinator.search.grid import Grid
from coordinator.search.niches import Niches
from coordinator.search.optimizers.mirror import FADING, Mirror
from coordinator.search.optimizers.random_state import generator, pack, unpack
from services.recognition.fitness import Residuals
from services.shape.symmetry import Symmetry

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
State = dict[str, NDArray[Any]]
_Array = TypeVar("_Array", bound=NDArray[Any])


class Need(Enum):
    """What the spec of a run must have for an optimizer."""

    ARCHIVE = "archive"
    AIMS = "aims"
    REFERENCE = "reference"


class Optimizer(Protocol):
    """Asks for fitness and is told it; maximizes. One `ask` and one `tell` make a generation."""

    @property
    def population_size(self) -> int:
        """Genomes of a generation: n below."""

    @property
    def generation(self) -> int:
        """How many generations have been told."""

    @property
    def migrant_capacity(self) -> int:
        """How many migrants one generation can take in."""

    @property
    def samples_distribution(self) -> bool:
        """Whether a genome without parents comes from a distribution that the last generation shaped."""

    @property
    def moves_all_genes(self) -> bool:
        """Whether it looks for many kinds of masks: symmetry and one best mask are nothing to it."""

    @property
    def mean(self) -> Doubles | None:
        """The mean of the distribution that moved genes are drawn from, or None where there is none.

        Then it is the first genome of every generation itself, and only `gauss-newton` learns from it. What
        the best draws have in common is mostly a better mask than the luckiest of them; pycma, too, calls its
        mean (`xfavorite`) the best estimate.
        """

    @property
    def last_parents(self) -> Ints:
        """(n, 2): for each genome last asked, the rows of its parents in the generation before.

        -1 where there is none: noise, a migrant, a draw from CMA's distribution, and for a single parent.
        """

    @property
    def last_ancestors(self) -> Ints | None:
        """(n, 2, 2): generation and row of each genome's parents, -1 where there is none.

        Only where parents may be of any generation; else None, and `last_parents` tells.
        """

    @property
    def last_migrants(self) -> Ints:
        """(n,): for each genome last asked, the place among the injected migrants of the one it is, or -1."""

    def ask(self) -> Floats:
        """The genomes (n, d) float32 of this generation, read-only.

        :raises ValueError: they have been asked for already and not been told.
        """

    def tell(
        self,
        genomes: Floats,
        fitness: ArrayLike,
        aims: ArrayLike | None = None,
        residuals: Residuals | None = None,
        fits: ArrayLike | None = None,
    ) -> None:
        """End the generation.

        :param genomes: (n, d) what `ask` gave, rows in the same order.
        :param fitness: (n,) larger is better. One that is not finite means "cannot be scored": it ranks last.
        :param aims: (n, setup.aims) larger is better, for optimizers that weigh several against each other;
            the others look at fitness alone. One that is not finite means the same.
        :param residuals: which way genomes miss their targets, for `gauss-newton`; the others look at fitness
            alone.
        :param fits: (n, cells) how well genomes fit each cell of an archive of machines, for `map-elites`;
            the others look at fitness alone.
        :raises ValueError: nothing was asked, or an argument does not fit what was.
        """

    def inject(self, genomes: Floats) -> None:
        """Take in migrants (k, d) at the next `ask`; those of several calls come in the order of the calls.

        :raises ValueError: a generation is open, or the migrants are too many, not finite or of another
            shape.
        """

    def state(self) -> State:
        """Everything that the future depends on but the setup, as arrays; only between `tell` and `ask`."""

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on, bit for bit, from what `state` gave in an optimizer of the same kind and setup."""


@dataclass(frozen=True)
class Setup:
    """Where and how wide a search starts.

    dimension: genes of a genome, d.
    population_size: genomes of a generation, n.
    center: (d,) float64, around which genomes start, or None for noise: each gene N(0, spread).
    spread: (d,) standard deviation of each gene in noise.
    sigma: standard deviation of a gene around `center`, and around CMA's mean.
    low, high: (d,) float32 bounds; infinite where there are none.
    parents: (k, d) masks to start from, of which `center` is the mean; (0, d) where a search has none.
    first: (m, d) masks that are in the first generation as they are, whatever the algorithm.
    grid: the cells of an archive, of measures or of machines, for optimizers that keep one.
    aims: how many aims are told beside fitness, for optimizers that weigh several.
    mirror: where left and right change alike; then everything above is of free genes, see :meth:`mirrored`.
    """

    dimension: int
    population_size: int
    center: Doubles | None
    spread: Doubles
    sigma: float
    low: Floats
    high: Floats
    parents: Floats
    first: Floats
    grid: Grid | Niches | None = None
    aims: int = 0
    mirror: Mirror | None = None

    @classmethod
    def checked(
        cls,
        dimension: int,
        population_size: int,
        *,
        start: Literal["noise", "neutral"] | ArrayLike = "noise",
        spread: float = 1.2,
        sigma: float = 0.5,
        limit: float | ArrayLike | None = 3.0,
        keep: ArrayLike | None = None,
        grid: Grid | Niches | None = None,
        aims: int = 0,
    ) -> Setup:
        """Arguments as in :func:`coordinator.search.optimizers.make_optimizer`. Raises ValueError."""
        if dimension < 2:
            raise ValueError(f"dimension: expected at least 2, got {dimension}")
        if population_size < 4:
            raise ValueError(f"population: expected at least 4, got {population_size}")
        for name, value in (("spread", spread), ("sigma", sigma)):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, got {value}")
        low, high = _bounds(limit, dimension)
        parents = np.zeros((0, dimension), np.float32)
        if not isinstance(start, str) and np.ndim(start) == 2:
            parents = _masks("start", start, dimension, low, high)
            start = parents.astype(np.float64).mean(axis=0)
        kept = _masks("keep", np.zeros((0, dimension)) if keep is None else keep, dimension, low, high)
        first = np.concatenate([parents, kept])
        if len(first) > population_size // 2:
            raise ValueError(
                f"start: {len(first)} masks to begin with, but a population of {population_size} takes "
                f"{population_size // 2}"
            )
        return cls(
            dimension,
            population_size,
            _center(start, dimension, low, high),
            np.full(dimension, float(spread)),
            float(sigma),
            low,
            high,
            parents,
            first,
            grid,
            aims,
        )

    @property
    def deviations(self) -> Doubles:
        """(d,) the standard deviation of each gene around `center`: `sigma`, or as far as parents lie apart.

        Where parents agree in a gene it still moves, by half of `sigma`.
        """
        if len(self.parents) < 2:
            return np.full(self.dimension, self.sigma)
        apart = self.parents.astype(np.float64).std(axis=0)
        return np.asarray(np.maximum(apart, self.sigma / 2), np.float64)

    def mirrored(self, symmetry: Symmetry, seed: np.random.SeedSequence) -> Setup:
        """The setup of a search that moves the free genes alone.

        The asymmetry of its noise comes from a child of the seed.
        """
        own, other = symmetry.free, symmetry.twin[symmetry.free]
        start = self.noise(generator(seed, 1), 1)[0] if self.center is None else self.center
        fading = FADING if self.center is None else 1.0
        asymmetry = start - symmetry.unfolded(symmetry.folded(start))
        mirror = Mirror(symmetry, self.low, self.high, self.first, asymmetry, fading)
        return replace(
            self,
            dimension=len(own),
            center=None if self.center is None else symmetry.folded(self.center),
            # What two independent genes have in common varies less than either of them.
            spread=np.where(own == other, 1.0, np.sqrt(0.5)) * self.spread[own],
            low=np.maximum(self.low[own], self.low[other]),
            high=np.minimum(self.high[own], self.high[other]),
            parents=mirror.fold(self.parents),
            first=mirror.fold(self.first),
            mirror=mirror,
        )

    def clipped(self, genomes: NDArray[np.floating[Any]]) -> Floats:
        """Genomes (..., d) as float32 within the bounds."""
        return np.clip(genomes.astype(np.float32), self.low, self.high)

    def noise(self, rng: np.random.Generator, count: int) -> Doubles:
        """`count` noise genomes, (count, d); not clipped."""
        return self.spread * rng.standard_normal((count, self.dimension))


class AskTell(abc.ABC):
    """The order of ask and tell, the migrants in waiting, the random state. Algorithms fill in the rest."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()
    moves_all_genes: ClassVar[bool] = False  # looks for many kinds of masks: symmetry is nothing to it
    samples_distribution: ClassVar[bool] = False
    learns_from_mean: ClassVar[bool] = False  # whether `_learn` is given the mean's row too
    varying: ClassVar[tuple[str, ...]] = ()  # arrays of `_own_state` whose shapes change with time

    def __init__(self, setup: Setup, seed: np.random.SeedSequence) -> None:
        self._setup, self._mirror = setup, setup.mirror
        self._rng = generator(seed)
        self._generation = 0
        self._asked: tuple[Floats, Floats] | None = None  # the genomes, and the genes of them that it moves
        self._aims: Doubles = np.zeros((setup.population_size, setup.aims))  # of the generation last told
        self._residuals = Residuals(np.zeros((setup.population_size, 0)), np.zeros(setup.population_size))
        self._fits: Doubles | None = None
        self._waiting: Floats = np.empty((0, setup.dimension), np.float32)
        self._last_parents = frozen(np.full((setup.population_size, 2), -1, np.int64))
        self._last_migrants = frozen(np.full(setup.population_size, -1, np.int64))

    @property
    def population_size(self) -> int:
        return self._setup.population_size

    @property
    def dimension(self) -> int:
        """Genes that the search moves."""
        return self._setup.dimension

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def mean(self) -> Doubles | None:
        return None

    @property
    def lead(self) -> int:
        """How many rows the mean takes at the start of a generation: 1, or 0 where there is none."""
        return 0 if self.mean is None else 1

    @property
    def first_rows(self) -> slice:
        """Where the masks to start from are in the first generation: behind the mean."""
        return slice(self.lead, self.lead + len(self._setup.first))

    @property
    def migrant_capacity(self) -> int:
        # More would leave the island too little of its own to learn from.
        return self._setup.population_size // 2

    @property
    def last_parents(self) -> Ints:
        return self._last_parents

    @property
    def last_ancestors(self) -> Ints | None:
        return None

    @property
    def last_migrants(self) -> Ints:
        return self._last_migrants

    def ask(self) -> Floats:
        if self._asked is not None:
            raise ValueError(
                f"ask: generation {self._generation} has been asked for; tell its fitness before asking again"
            )
        n, k = self.population_size, len(self._waiting)
        genomes, parents = self._propose(self._waiting)
        migrants = np.full(n, -1, np.int64)
        migrants[n - k :] = np.arange(k)
        parents[n - k :] = -1
        mean = self.mean
        if mean is not None:
            genomes[0] = mean
        if self._generation == 0:
            genomes[self.first_rows] = self._setup.first
        self._last_parents, self._last_migrants = frozen(parents), frozen(migrants)
        moved = frozen(self._setup.clipped(genomes))
        whole = moved
        if self._mirror is not None:
            whole = self._mirror.unfold(moved, self._generation)
            if self._generation == 0:
                whole[self.first_rows] = self._mirror.first
        self._asked = frozen(whole), moved
        return whole

    def tell(
        self,
        genomes: Floats,
        fitness: ArrayLike,
        aims: ArrayLike | None = None,
        residuals: Residuals | None = None,
        fits: ArrayLike | None = None,
    ) -> None:
        if self._asked is None:
            raise ValueError(f"tell: generation {self._generation} has not been asked for; call ask first")
        asked, moved = self._asked
        _check_told(asked, genomes)
        values = np.array(fitness, dtype=np.float64)
        if values.shape != (self.population_size,):
            raise ValueError(f"fitness: expected shape ({self.population_size},), got {values.shape}")
        values[~np.isfinite(values)] = -np.inf
        told = np.zeros((len(values), 0)) if aims is None else np.array(aims, dtype=np.float64)
        if self._setup.aims and told.shape != (len(values), self._setup.aims):
            raise ValueError(f"aims: expected shape {(len(values), self._setup.aims)}, got {told.shape}")
        told[~(np.isfinite(told).all(axis=1) & np.isfinite(values))] = -np.inf
        missed = Residuals(np.zeros((len(values), 0)), values) if residuals is None else residuals
        if len(missed.vectors) != len(values) or missed.rest.shape != values.shape:
            raise ValueError(
                f"residuals: expected vectors ({len(values)}, q) and rest {values.shape}, got "
                f"{missed.vectors.shape} and {missed.rest.shape}"
            )
        self._aims, self._residuals = told, missed
        self._fits = None if fits is None else np.array(fits, dtype=np.float64)
        skipped = 0 if self.learns_from_mean else self.lead
        self._learn(moved[skipped:], values[skipped:])
        self._generation += 1
        self._asked = None
        self._waiting = self._waiting[:0]

    def inject(self, genomes: Floats) -> None:
        self._must_be_closed("inject")
        dimension = self.dimension if self._mirror is None else len(self._mirror.asymmetry)
        given = np.asarray(genomes, dtype=np.float32)
        if given.ndim != 2 or given.shape[1] != dimension:
            raise ValueError(f"genomes: expected shape (k, {dimension}), got {given.shape}")
        if not np.all(np.isfinite(given)):
            raise ValueError("genomes: a migrant holds a number that is not finite; send only scored genomes")
        count = len(self._waiting) + len(given)
        if count > self.migrant_capacity:
            raise ValueError(
                f"genomes: {count} migrants for one generation, but a population of {self.population_size} "
                f"takes {self.migrant_capacity}; lower migration.count or raise search.population"
            )
        moved = given if self._mirror is None else self._mirror.fold(given)
        self._waiting = np.concatenate([self._waiting, self._setup.clipped(moved)])

    def state(self) -> State:
        self._must_be_closed("state")
        return {
            "kind": np.array(self.name),
            "shape": np.array([self.population_size, self.dimension], np.int64),
            "generation": np.array(self._generation, np.int64),
            "rng": pack(self._rng),
            "waiting": self._waiting.copy(),
            **({} if self._mirror is None else {"asymmetry": self._mirror.asymmetry.copy()}),
            **self._own_state(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._must_be_closed("restore")
        mine = self.state()
        if "kind" in state and str(state["kind"]) != self.name:
            raise ValueError(f"state: is of a {str(state['kind'])!r} optimizer, this is {self.name!r}")
        if set(state) != set(mine):
            raise ValueError(f"state: expected the arrays {sorted(mine)}, got {sorted(state)}")
        if not np.array_equal(state["shape"], mine["shape"]):
            raise ValueError(
                f"state: is of a population and dimension {state['shape'].tolist()}, "
                f"this optimizer has {mine['shape'].tolist()}"
            )
        for name, array in mine.items():
            # Migrants in waiting differ in number; a name's length is part of its dtype.
            fits = state[name].shape == array.shape
            if name == "waiting":
                fits = state[name].shape[1:] == array.shape[1:]
            elif name in self.varying:
                fits = state[name].ndim == array.ndim
            if not fits or state[name].dtype.kind != array.dtype.kind:
                raise ValueError(
                    f"state: {name} has shape {state[name].shape} and dtype {state[name].dtype}, "
                    f"expected {array.shape} and {array.dtype}"
                )
        self._generation = int(state["generation"])
        self._rng = unpack(state["rng"])
        self._waiting = np.array(state["waiting"], np.float32)
        if self._mirror is not None:
            self._mirror = replace(self._mirror, asymmetry=np.array(state["asymmetry"], np.float64))
        self._own_restore(state)

    def _must_be_closed(self, call: str) -> None:
        if self._asked is not None:
            raise ValueError(f"{call}: generation {self._generation} is open; tell its fitness first")

    @abc.abstractmethod
    def _propose(self, migrants: Floats) -> tuple[NDArray[np.floating[Any]], Ints]:
        """Genomes (n, d) whose last k rows stem from the `migrants` (k, d), and parents (n, 2).

        The number of random draws must not depend on k.
        """

    @abc.abstractmethod
    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        """Take in fitness (n,), -inf where a genome could not be scored; without the mean, where it leads,
        but for those that :attr:`learns_from_mean`."""

    @abc.abstractmethod
    def _own_state(self) -> State:
        """The algorithm's arrays, copied, always of the same names and, but for `varying`, shapes."""

    @abc.abstractmethod
    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over copies of what `_own_state` gave."""


def ranking(fitness: Doubles) -> Ints:
    """Rows from the fittest to the least fit, (n,); among equals the earlier row comes first."""
    return np.argsort(-fitness, kind="stable")


def _check_told(asked: Floats, genomes: Floats) -> None:
    """Raise ValueError, naming the row, where `genomes` are not those that were asked."""
    given = np.asarray(genomes)
    if given.shape != asked.shape:
        raise ValueError(f"genomes: expected shape {asked.shape}, got {given.shape}")
    different = np.flatnonzero(np.any(given != asked, axis=1))
    if len(different):
        raise ValueError(
            f"genomes: row {different[0]} is not what ask gave; tell the rows as they are, in order"
        )


def frozen(array: _Array) -> _Array:
    """The array itself, read-only from now on."""
    array.flags.writeable = False
    return array


def _bounds(limit: float | ArrayLike | None, dimension: int) -> tuple[Floats, Floats]:
    if limit is None:
        pairs = np.array([[-np.inf, np.inf]])
    else:
        pairs = np.asarray(limit, dtype=np.float64)
        if pairs.ndim == 0:
            pairs = np.array([[-pairs, pairs]])
        elif pairs.shape != (dimension, 2):
            raise ValueError(f"limit: expected one number or shape ({dimension}, 2), got {pairs.shape}")
        if not np.all(pairs[:, 0] < pairs[:, 1]):
            raise ValueError("limit: expected low < high for every gene")
    low, high = np.broadcast_to(pairs.astype(np.float32), (dimension, 2)).T.copy()
    return low, high


def _masks(name: str, given: Any, dimension: int, low: Floats, high: Floats) -> Floats:
    masks = np.asarray(given, np.float32)
    if masks.ndim != 2 or masks.shape[1] != dimension or not np.isfinite(masks).all():
        raise ValueError(f"{name}: expected finite masks (k, {dimension}), got shape {masks.shape}")
    return np.clip(masks, low, high)


def _center(start: Any, dimension: int, low: Floats, high: Floats) -> Doubles | None:
    if isinstance(start, str):
        if start == "noise":
            return None
        if start != "neutral":
            raise ValueError(f"start: expected 'noise', 'neutral' or a genome, got {start!r}")
        start = np.zeros(dimension)
    center = np.array(start, dtype=np.float64)
    if center.shape != (dimension,) or not np.all(np.isfinite(center)):
        raise ValueError(f"start: expected {dimension} finite numbers, got shape {center.shape}")
    return np.clip(center, low, high)
