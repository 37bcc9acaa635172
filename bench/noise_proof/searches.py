"""Runs by the product's own search, in this process, and the elite of each.

The search is the coordinator's: spec, record, islands, checkpoints. Only who scores is said here, so that a
control may bring other machines; with none it scores with the bits of ``datamask evolve``. A run that was
interrupted goes on at its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.evidence import best_elite, evolved, scored_views
from bench.here import Here
from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.evolution import Evolution
from coordinator.spec.spec import Spec
from services.rendering.normals import vertex_normals
from services.shape.basis import load_basis
from services.shape.catalog import basis_info, facts_of
from services.shape.decode import Decoder
from services.shape.measure import flipped_share
from services.storage import open_store
from worker.machines import Loaded
from worker.scorer import Scorer

Float = NDArray[np.float32]

RANDOM = ("search.optimizers=['random']", "migration.topology=none", "mask.start=noise")


@dataclass(frozen=True)
class Elite:
    """A run's best mask by fitness on its ranking views. genome: float32 (d,). views: that the run was
    charged for. relief_mm: from the 5th to the 95th percentile of its vertices' heights over the blank.
    folds: share of its area that is turned over.
    """

    mask: str
    genome: Float
    fitness: float
    views: int
    relief_mm: float
    folds: float

    def as_json(self) -> dict[str, Any]:
        """Plain values; see :meth:`read`."""
        return {**vars(self), "genome": self.genome.astype(np.float64).round(7).tolist()}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Elite:
        """From :meth:`as_json`'s values."""
        given = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**{**given, "genome": np.array(values["genome"], np.float32)})


def search(spec: Spec, store: Path, name: str, machines: Mapping[Loaded, Any] | None = None) -> Elite:
    """Evolve a run to its end under a name in a folder, or go on with it; its elite, which is fixed now.

    :param machines: in place of those that the spec names.
    """
    if not evolved(store, name):
        opened = open_run(spec, Record(open_store(store).sub(name)), resume=True)
        with closing(opened.record) as record:  # else its beat goes on
            record.take_over()
            here = Here(Scorer(opened.plan, {}, loaded=machines).score)
            dimension = len(basis_info(spec.mask.basis).gene_names)
            evolution = Evolution(spec, record, opened.plan, opened.objectives, dimension, here)
            evolution.restore()
            evolution.run()
    mask, genome, fitness = best_elite(store, name)
    relief_mm, folds = _form(spec.mask.basis, genome)
    return Elite(mask, genome, fitness, scored_views(store, name), relief_mm, folds)


def noise(spec: Spec, rng: np.random.Generator, count: int) -> Float:
    """Noise genomes (count, d): each of equal sides where the spec's islands, in turn, keep them so."""
    facts, mask = facts_of(spec.mask.basis), spec.mask
    drawn: NDArray[np.float64] = rng.normal(0, mask.spread, (count, len(facts.symmetry.twin)))
    even = np.array([spec.search.symmetric_on(row) for row in range(count)], np.bool_)
    drawn[even] = facts.symmetry.unfolded(drawn[even][:, facts.symmetry.free])
    return drawn.clip(-mask.limit, mask.limit).astype(np.float32)


def twins(genome: Float, rng: np.random.Generator, count: int) -> Float:
    """The genome (d,) with random signs, (count, d): the same spectrum and the same relief."""
    found: Float = (genome * rng.choice([-1.0, 1.0], (count, len(genome)))).astype(np.float32)
    return found


def _form(basis_id: str, genome: Float) -> tuple[float, float]:
    """Relief in mm and the share of a mask that is turned over."""
    decoder = Decoder(load_basis(basis_id))
    vertices = decoder.decode(torch.from_numpy(np.array(genome[None])))
    x, y, z = decoder.neutral.T[:, :, None].contiguous()
    outward = torch.cat(vertex_normals((x, y, z), decoder.triangles, decoder.vertex_faces), dim=1)
    heights = ((vertices[0] - decoder.neutral) * outward).sum(dim=1).numpy()
    low, high = np.quantile(heights, [0.05, 0.95])
    return float(1000 * (high - low)), float(flipped_share(vertices, decoder)[0])
