"""How much of an archive a run filled, of what can be reached at all.

Most cells of a grid are no mask's: none is near the neutral head and far from its mirror image. Which cells
can be reached is not known; what is counted here is those that were reached, by any of

- noise of every strength, from none to twice the spec's spread, within its limits;
- the same with one group of genes at another strength: the expressive ones, or those of one side of the face;
- map-elites that asks no machine and is after filled cells alone, from the spec's own start.

So the figure is a lower bound of the cells and an upper bound of the share. Where a run itself found further
cells, they count as reachable too.

    python -m bench.archive runs/series-001
    python -m bench.archive examples/series.toml --genomes 400000
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.record.record import Record
from coordinator.search.archive import grid_of, read_archive
from coordinator.search.grid import Grid
from coordinator.search.niches import Niches
from coordinator.search.optimizers import make_optimizer
from coordinator.spec.spec import Spec, parse_spec
from coordinator.spec.spec_file import load_spec
from services.errors import BadInput
from services.shape.catalog import basis_info
from services.shape.character import is_expressive
from services.storage.open import open_store

_BATCH = 1000


def sampled(grid: Grid, spec: Spec, count: int) -> set[int]:
    """Cells that noise of every strength falls into."""
    names = basis_info(grid.basis).gene_names
    groups = [
        np.array([is_expressive(name) for name in names]),
        np.array([name.startswith(("l-", "asym-")) for name in names]),
    ]
    rng, found = np.random.default_rng(0), set[int]()
    for _ in range(-(-count // _BATCH)):
        strength = rng.uniform(0, 2 * spec.mask.spread, (_BATCH, 1)) * np.ones(len(names))
        for group in groups:
            changed = rng.random((_BATCH, 1)) < 0.4
            other = rng.uniform(0, 2 * spec.mask.spread, (_BATCH, 1))
            strength = np.where(group & changed, other, strength)
        found |= _cells(grid, spec, strength * rng.standard_normal(strength.shape))
    return found


def searched(grid: Grid, spec: Spec, count: int) -> set[int]:
    """Cells that map-elites falls into where every mask is as good as any other."""
    dimension, found = len(basis_info(grid.basis).gene_names), set[int]()
    optimizer = make_optimizer(
        *("map-elites", dimension, spec.mask.start, _BATCH, np.random.SeedSequence(0)),
        spread=spec.mask.spread,
        sigma=spec.search.sigma,
        limit=spec.mask.limit,
        grid=grid,
    )
    for _ in range(-(-count // _BATCH)):
        genomes = optimizer.ask()
        found |= _cells(grid, spec, genomes)
        optimizer.tell(genomes, np.zeros(len(genomes)))
    return found


def _cells(grid: Grid, spec: Spec, genomes: NDArray[np.floating]) -> set[int]:
    clipped = np.clip(genomes, -spec.mask.limit, spec.mask.limit)
    return set(grid.index(grid.measure(clipped)).tolist())


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", help="a run (path or URL), or a spec")
    parser.add_argument("--genomes", type=int, default=200_000, help="to try, in each of two ways")
    options = parser.parse_args()
    kept = None
    if options.what.endswith(".toml"):
        spec = load_spec(Path(options.what))
        grid = grid_of(spec.table())
    else:
        record = Record(open_store(options.what))
        table = record.spec_table()
        table.pop("versions", None)
        spec, grid = parse_spec(table, options.what), grid_of(table)
        kept = None if grid is None else read_archive(record, record.head(), grid)
    if isinstance(grid, Niches):
        raise BadInput(f"{options.what}: its cells are machines; see python -m bench.quality_diversity")
    if grid is None:
        raise BadInput(f"{options.what}: keeps no archive; add [archive] on = true to its spec")
    noise = sampled(grid, spec, options.genomes)
    search = searched(grid, spec, options.genomes)
    reached = noise | search | {mask.cell for mask in kept or ()}
    figures = {
        "cells": grid.count,
        "reachable": len(reached),
        "by_noise": len(noise),
        "by_search": len(search),
        "genomes_each": options.genomes,
    }
    if kept is not None:
        accepted = sum(mask.accepted for mask in kept)
        figures |= {
            "filled": len(kept),
            "accepted": accepted,
            "accepted_share_of_reachable": round(accepted / len(reached), 4),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
