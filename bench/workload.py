"""What every contestant of the throughput benchmark gets: the same masks under the same views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coordinator.run import objectives_of, plan_of
from coordinator.search.seeds import view_seed
from coordinator.spec.spec_file import load_spec
from services.rendering.views import Views, sample_views
from services.shape.catalog import basis_info
from services.wire.plan import Batch, Plan

SPEC = Path(__file__).parents[1] / "examples" / "archetype.toml"

# Standard deviations of the genes, in turn: noise as a run starts with, half-way, and the neutral face. A
# search sees all of them, and the usual loop does its whole work only where it finds a face.
SPREADS = (1.2, 0.4, 0.0)


@dataclass(frozen=True)
class Workload:
    """Masks and views, cut into batches as a run cuts them."""

    plan: Plan
    batches: tuple[Batch, ...]
    views: Views

    @property
    def image_count(self) -> int:
        """Images of one pass."""
        return sum(len(batch.genomes) for batch in self.batches) * len(self.views)


def make_workload(
    mask_count: int, seed: int = 0, spec_path: Path = SPEC, batch: int = 0, half: bool = False
) -> Workload:
    """``mask_count`` masks under the spec's views, so many a batch (0: as many as in the spec)."""
    spec = load_spec(spec_path)
    plan = plan_of(spec, objectives_of(spec, [None] * len(spec.objective)))
    plan, size = replace(plan, half=half), batch or spec.search.batch_size
    genes = len(basis_info(plan.basis).gene_names)
    rng = np.random.default_rng(seed)
    spread = np.resize(SPREADS, mask_count)[:, None]
    genomes = (rng.normal(size=(mask_count, genes)) * spread).astype(np.float32)
    number = view_seed(seed, 0)
    batches = tuple(
        Batch(plan, genomes[start : start + size], number, spec.views.count)
        for start in range(0, mask_count, size)
    )
    return Workload(plan, batches, sample_views(plan.ranges, spec.views.count, number))
