"""Machines that learned nothing: HOG and MMOD with the weights of each filter in another order.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: what does not change when a network's weights
are shuffled was never about what it learned. Each filter keeps its weights, so its norm, and its bias; only
where they stand is random. A search against them has the same budget and as much to climb: their margins are
standardized, so that noise has the mean and the deviation that it has with the machines as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.catalog import model_info
from services.recognition.dlib.hog import HogDetector
from services.recognition.dlib.hog_weights import WINDOW_CELLS
from services.recognition.dlib.mmod import MmodDetector
from worker.machines import Loaded

Float = NDArray[np.float32]


class PermutedHog(HogDetector):
    """dlib's HOG with each of its five filters permuted by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rows = self._filters.view(WINDOW_CELLS, self._count, -1)  # of each filter's window
        filters = rows.transpose(0, 1).reshape(self._count, -1)
        mixed = _permuted(filters, np.random.default_rng([seed, 0]))
        mixed = mixed.view(self._count, WINDOW_CELLS, -1).transpose(0, 1)
        self._filters = mixed.reshape(self._filters.shape).contiguous()


class PermutedMmod(MmodDetector):
    """dlib's MMOD with each filter of each of its layers permuted by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng([seed, 1])
        self._layers = [
            replace(
                step,
                filters=_permuted(step.filters.flatten(1), rng)
                .view(step.filters.shape)
                .contiguous(memory_format=torch.channels_last),
            )
            for step in self._layers
        ]


def _permuted(filters: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each row of filters (k, n) in an order of its own."""
    orders = np.argsort(rng.random(tuple(filters.shape)), axis=1)
    return torch.gather(filters, 1, torch.from_numpy(orders))


def machines(seed: int) -> dict[str, Any]:
    """Both by name."""
    return {"dlib-hog": PermutedHog(seed), "dlib-mmod": PermutedMmod(seed)}


def in_place(machines: Mapping[str, Any]) -> dict[Loaded, Any]:
    """The machines as a scorer takes them, in place of those of the same names."""
    return {Loaded(model_info(name), "cpu"): machine for name, machine in machines.items()}


@dataclass(frozen=True)
class Standard:
    """Threshold and scale of a permuted machine that give noise the margins it has with the true one."""

    threshold: float
    scale: float

    @classmethod
    def of(cls, name: str, true: Float, permuted: Float) -> Standard:
        """From scores of the same noise, (n,) each. :raises ValueError: where all of it scores alike."""
        info = model_info(name)
        spread = float(permuted.std())
        if not spread > 0:
            raise ValueError(f"{name} permuted: all {len(permuted)} pictures of noise score {permuted[0]:g}")
        ratio = spread / float(true.std())
        threshold = float(permuted.mean()) + ratio * (info.threshold - float(true.mean()))
        return cls(threshold, ratio * info.scale)


def standardized(table: Mapping[str, Any], standards: Mapping[str, Standard]) -> dict[str, Any]:
    """A spec's table with the thresholds and scales of permuted machines."""
    objectives = [
        {**o, **vars(standards[o["model"]])} if o["model"] in standards else o for o in table["objective"]
    ]
    return {**table, "objective": objectives}
