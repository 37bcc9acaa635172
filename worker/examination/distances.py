"""Distances between rendered people, block by block: what a recognizer says of pairs it has never seen.

A *person* is a random head: genes N(0, spread) on the neutral one. Every head is in one impostor pair only
and has a view of its own, so that the pairs of a population are independent of each other; genuine pairs are
a part of the heads under a second view. Blocks have seeds of their own: a population can be drawn in pieces,
in any order, on several machines, and gone on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.classical.lbp import chi_square
from services.recognition.model import Comparison
from services.rendering.views import ViewRanges, Views, frontal_view, sample_views
from worker.eye import Eye, Straightener
from worker.lanes import Lanes
from worker.passes import parts

PAIRS = 240  # impostor pairs of a block
GENUINE = 24  # genuine pairs of a block
APART = 1_000_000  # number of the first block whose people are not for calibration but for galleries

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Population:
    """Which people are drawn and how they are seen.

    spread: standard deviation of the genes. seed: of the blocks' seeds.
    """

    model: str
    basis: str
    spread: float
    ranges: ViewRanges
    seed: int

    def meta(self) -> dict[str, Any]:
        """JSON values, alike before and after they were written."""
        return {**asdict(self), "ranges": self.ranges.table(), "pairs": PAIRS, "genuine": GENUINE}


@dataclass(frozen=True)
class Block:
    """What was measured of one block.

    impostor: float32 (PAIRS,), genuine: float32 (GENUINE,), in the recognizer's own units. detected: bool
    (2 * PAIRS,), whether dlib's HOG sees the head, first all first of their pairs, then all second ones.
    """

    impostor: Float
    genuine: Float
    detected: NDArray[np.bool_]


class Sampler:
    """Draws blocks of one population's heads and compares them.

    :param device: torch device. lanes: threads side by side; None takes as many as torch would.
    """

    def __init__(self, population: Population, device: str = "cpu", lanes: int | None = None) -> None:
        self.population = population
        self._device = device
        self.comparison: Comparison = catalog.model_info(population.model).comparison
        self._recognizer = catalog.recognizer(population.model, device)
        self._eye = Eye(population.basis, [self._recognizer], device)
        self._straightener = Straightener(device)
        self._lanes = Lanes(device, lanes)

    def block(self, number: int) -> Block:
        """Block ``number``, the same on every machine but for the last bits of its distances."""
        genomes, views = draw(self.population, number, len(self._eye.basis.gene_names))
        embeddings, detected = self._embed(genomes, views)
        people, again = embeddings[: 2 * PAIRS], embeddings[2 * PAIRS :]
        return Block(
            compared(self.comparison, people[:PAIRS], people[PAIRS:]),
            compared(self.comparison, people[:GENUINE], again),
            detected[: 2 * PAIRS],
        )

    def people(self, count: int) -> Float:
        """Embeddings float32 (count, d) of people who are in no block, each under a view of its own."""
        genes = len(self._eye.basis.gene_names)
        blocks = range(-(-count // (2 * PAIRS)))
        drawn = [draw(self.population, APART + number, genes) for number in blocks]
        seen = [
            self._embed(genomes[: 2 * PAIRS], views.take(slice(2 * PAIRS)))[0] for genomes, views in drawn
        ]
        found: Float = np.concatenate(seen)[:count]
        return found

    def probe(self) -> Float:
        """The neutral head's embedding from the front, float32 (d,): it tells whether two samplers agree."""
        neutral = np.zeros((1, len(self._eye.basis.gene_names)), np.float32)
        seen = self._see(neutral, frontal_view(self.population.ranges.size_px))[0]
        return np.asarray(seen[0], np.float32)

    def _embed(self, genomes: Float, views: Views) -> tuple[Float, NDArray[np.bool_]]:
        """Embeddings (n, d) and detections (n,) of head k under view k, in lanes."""
        seen = self._lanes.map(
            lambda part: self._see(genomes[part], views.take(part)), parts(len(genomes), self._device)
        )
        return np.concatenate([e for e, _ in seen]), np.concatenate([found for _, found in seen])

    @torch.inference_mode()
    def _see(self, genomes: Float, views: Views) -> tuple[Float, NDArray[np.bool_]]:
        pictures = self._eye.each(genomes, views)
        points, seen = self._straightener.find(self._recognizer.points, pictures)
        return self._recognizer.embed(pictures.images, points).cpu().numpy(), seen.cpu().numpy()


def draw(population: Population, number: int, genes: int) -> tuple[Float, Views]:
    """Genomes float32 (2 * PAIRS + GENUINE, genes) and a view for each: the people, then some of them again.

    Person k is compared with person PAIRS + k, person j < GENUINE with itself at 2 * PAIRS + j.
    """
    key = (round(population.spread * 1e6), number)
    rng = np.random.default_rng(np.random.SeedSequence(population.seed, spawn_key=key))
    people = rng.standard_normal((2 * PAIRS, genes), dtype=np.float32) * np.float32(population.spread)
    genomes = np.concatenate([people, people[:GENUINE]])
    views = sample_views(population.ranges, len(genomes), int(rng.integers(2**62)))
    # Views come sorted by yaw; pairs must not.
    return genomes, views.take(rng.permutation(len(genomes)))


def compared(comparison: Comparison, one: Float, other: Float) -> Float:
    """Embeddings (..., d) against embeddings (..., d), float32 (...): a distance, or the cosine."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    if comparison == "euclidean":
        return np.asarray(np.linalg.norm(a - b, axis=-1), np.float32)
    if comparison == "chi-square":
        return np.asarray(chi_square(torch.from_numpy(a), torch.from_numpy(b)), np.float32)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.maximum(lengths, 1e-12), np.float32)


def concatenated(blocks: Sequence[Block]) -> Block:
    """One block of several."""
    return Block(
        *(np.concatenate([getattr(b, f) for b in blocks]) for f in ("impostor", "genuine", "detected"))
    )
