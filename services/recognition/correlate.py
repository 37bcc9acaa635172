"""What every correlation filter looks like from outside."""

from __future__ import annotations

from typing import Protocol

import torch


class Correlator(Protocol):
    """Compares a whole picture with what a filter was built from, without learned features."""

    @property
    def name(self) -> str:
        """The filter's name in the model catalog."""
        ...

    @property
    def points(self) -> tuple[str, ...]:
        """The landmarks that it aligns a face by, in order, as a basis names them (left: smaller x)."""
        ...

    def build(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """A filter, float32 (S, S), from reference pictures; arguments as in Recognizer.embed."""
        ...

    def score(self, images: torch.Tensor, points_px: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
        """float32 (n,): how sharply each picture answers to a filter (S, S) of :meth:`build`; higher is
        more alike.
        """
        ...
