"""Every random number of a run comes from its one seed, by what it is for, never by who computes it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class _Use(IntEnum):
    ISLAND = 1
    VIEWS = 2
    RANKING = 3
    AUDIT = 4
    MIGRATION = 5
    VERIFY = 6
    RESTART = 7
    RELEASE = 8


def _sequence(run_seed: int, use: _Use, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(run_seed, spawn_key=(int(use), *key))


def _integer(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def island_seed(run_seed: int, island: int) -> np.random.SeedSequence:
    """Root of one island's optimizer."""
    return _sequence(run_seed, _Use.ISLAND, island)


def restart_seed(run_seed: int, island: int, restart: int) -> np.random.SeedSequence:
    """Root of an island's optimizer after its restart of that number, from 1 on."""
    return _sequence(run_seed, _Use.RESTART, island, restart)


def release_seed(run_seed: int, island: int, restart: int) -> np.random.SeedSequence:
    """Root of an island's optimizer after its search of that number let go of its symmetry."""
    return _sequence(run_seed, _Use.RELEASE, island, restart)


def view_seed(run_seed: int, generation: int) -> int:
    """Views of one generation: the same on all islands, so that their masks meet the same test."""
    return _integer(_sequence(run_seed, _Use.VIEWS, generation))


def ranking_seed(run_seed: int) -> int:
    """The one view set on which elites and migrants are ranked."""
    return _integer(_sequence(run_seed, _Use.RANKING))


def audit_seed(run_seed: int) -> int:
    """Held-out views: no mask of the run was scored under them."""
    return _integer(_sequence(run_seed, _Use.AUDIT))


def verify_seed(run_seed: int) -> int:
    """Views of a cross-check: held out from the search and from the audit that ends it."""
    return _integer(_sequence(run_seed, _Use.VERIFY))


def migration_rng(run_seed: int, island: int, epoch: int) -> np.random.Generator:
    """Random choices of who leaves an island."""
    return np.random.default_rng(_sequence(run_seed, _Use.MIGRATION, island, epoch))
