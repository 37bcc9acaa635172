"""Turn MakeHuman's target names into signed genes. Used only at build time.

MakeHuman ships most targets as opposed pairs, e.g. ``nose-hump-decr`` and ``nose-hump-incr``. A pair becomes
one gene with MakeHuman's own modifier name ``nose-hump-decr|incr``: negative weights apply the side left of
the bar, positive ones the right. A target without a partner (``head-oval``) keeps its name; its negative
side is the mirrored displacement, -1 times the target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# (negative, positive) endings; the asymmetry targets oppose a lean to the figure's left and one to its right.
OPPOSED: tuple[tuple[str, str], ...] = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
    ("l", "r"),
)


@dataclass(frozen=True)
class Gene:
    """One signed gene: its name and the targets of its two sides (``negative`` None: the mirror)."""

    name: str
    positive: str
    negative: str | None


def signed_genes(targets: Iterable[str]) -> tuple[Gene, ...]:
    """Pair opposed targets, in the order in which a pair's first member appears."""
    names = list(targets)
    present = set(names)
    genes: list[Gene] = []
    for name in names:
        stem, _, ending = name.rpartition("-")
        for low, high in OPPOSED:
            if ending == high and f"{stem}-{low}" in present:
                break  # its partner makes the gene
            if ending == low and f"{stem}-{high}" in present:
                genes.append(Gene(f"{stem}-{low}|{high}", f"{stem}-{high}", name))
                break
        else:
            genes.append(Gene(name, name, None))
    return tuple(genes)
