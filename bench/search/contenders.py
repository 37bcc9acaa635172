"""Who takes part: a name, its settings in words, what it needs, and how it is run."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from bench.search import library
from bench.search.datamask import islands
from bench.search.problem import Problem

GET = "make contenders"
ONE_ISLAND = ("search", "islands", 1)


@dataclass(frozen=True)
class Contender:
    """run: spends the problem's budget and ends with BudgetSpent. package: what it imports, if anything."""

    name: str
    settings: str
    run: Callable[[Problem], None]
    package: str | None = None

    @property
    def missing(self) -> str | None:
        """How to get it, in one line; None where it is here."""
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"{self.name}: the package '{self.package}' is not installed; get it with: {GET}"


CONTENDERS: dict[str, Contender] = {
    c.name: c
    for c in (
        Contender("random", "fresh noise, 16 a batch: what the budget alone finds", library.random_search),
        Contender(
            "deap-ga",
            "DEAP eaSimple as in its manual: tournament 3, cxBlend 0.5 at 0.5, mutGaussian sigma 1 (from "
            "the neutral head the spec's sigma) at 0.2 a genome and 0.05 a gene, population 48",
            library.deap_ga,
            "deap",
        ),
        Contender(
            "pycma",
            "pycma 4 defaults: population 4 + 3 ln d = 18, sigma0 a quarter of the domain as its manual says "
            "(1.5; from the neutral head the spec's sigma), bounds [-limit, limit]; its best estimate, "
            "`xfavorite`, is ranked too",
            library.pycma_recommended,
            "cma",
        ),
        Contender(
            "pycma-small",
            "pycma 4 defaults but sigma0 = the spec's sigma, as datamask has it; `xfavorite` is ranked too",
            library.pycma_small,
            "cma",
        ),
        Contender(
            "cmaes-sep",
            "cmaes SepCMA defaults: population 18, sigma = the spec's sigma, bounds by resampling; its mean "
            "is ranked too",
            library.cmaes_sep,
        ),
        Contender(
            "pymoo-ga",
            "pymoo GA defaults but population 48 for 100: tournament, SBX and polynomial mutation, survival "
            "of the fittest",
            library.pymoo_ga,
            "pymoo",
        ),
        Contender(
            "pymoo-de",
            "pymoo DE as in its manual but population 48 for 100: DE/rand/1/bin, CR 0.3, dither vector",
            library.pymoo_de,
            "pymoo",
        ),
        Contender(
            "evotorch-snes",
            "EvoTorch SNES defaults: population 4 + 3 ln d, stdev_init = the spec's sigma; its center is "
            "ranked too",
            library.evotorch_snes,
            "evotorch",
        ),
        Contender(
            "evotorch-xnes",
            "EvoTorch XNES defaults: population 4 + 3 ln d, stdev_init = the spec's sigma; its center is "
            "ranked too",
            library.evotorch_xnes,
            "evotorch",
        ),
        Contender(
            "pygmo-archipelago",
            "pygmo archipelago: 4 islands on a ring, pso_gen defaults (the one of its algorithms that hands "
            "a whole generation to a batch evaluator), population 16 each, migration after every 5 "
            "generations, islands in turn so that the outcome does not depend on timing",
            library.pygmo_archipelago,
            "pygmo",
        ),
        Contender(
            "ribs-cma-me",
            "ribs CMA-ME as in its tutorial: 5 EvolutionStrategyEmitters (improvement ranking, batch 18 for "
            "36), GridArchive 20 x 20 over the mean of the genes and of their squares, sigma0 = "
            "the spec's sigma, no bounds (it would draw again, forever, until all genes are within); genes "
            "beyond the limit count as at the limit",
            library.ribs_cma_me,
            "ribs",
        ),
        Contender(
            "datamask",
            "the spec in examples/ as it is: islands, optimizers, migration, ranking; as many generations as "
            "the budget allows",
            islands(),
        ),
        Contender(
            "datamask-1",
            "the same spec with one island: one mask is asked for, not four that differ",
            islands([ONE_ISLAND]),
        ),
    )
}


def contender(name: str) -> Contender:
    """A contender by name. ``datamask-1+search.sigma=0.8+views.count=1`` is datamask with values changed.

    :raises SystemExit: for an unknown name, or a change that is not TABLE.KEY=VALUE.
    """
    base, *changes = name.split("+")
    if base not in CONTENDERS or (changes and not base.startswith("datamask")):
        raise SystemExit(f"{name}: expected one of {', '.join(CONTENDERS)}, or datamask-1+TABLE.KEY=VALUE")
    if not changes:
        return CONTENDERS[base]
    found = [_change(name, change) for change in changes]
    if base == "datamask-1":
        found.insert(0, ONE_ISLAND)
    return Contender(name, f"{base} with {', '.join(changes)}", islands(found))


def _change(name: str, text: str) -> tuple[str, str, object]:
    place, _, value = text.partition("=")
    table, _, key = place.partition(".")
    try:
        return table, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        raise SystemExit(f"{name}: expected TABLE.KEY=VALUE with a TOML value, got '{text}'") from None
