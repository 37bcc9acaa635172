"""What recognizers' networks share: aligned faces go in slices of a fixed size, embeddings come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from services.recognition.networks.precision import exact
from services.recognition.together import in_slices


class ChipNetwork(ABC):
    """Embeddings of faces: what one gets does not depend on how many others come along.

    side_px: of its faces. embedding_size: numbers a face. slices: faces at once, on a CPU and on a GPU.
    """

    side_px: ClassVar[int]
    embedding_size: ClassVar[int]
    slices: ClassVar[tuple[int, int]]

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._slice = self.slices[self._device.type == "cuda"]

    @torch.inference_mode()
    def embed(self, chips: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, embedding_size) of aligned faces uint8 (n, side_px, side_px, 3), RGB."""
        side = self.side_px
        if chips.dtype != torch.uint8 or chips.ndim != 4 or chips.shape[1:] != (side, side, 3):
            raise ValueError(
                f"chips: expected uint8 (n, {side}, {side}, 3), got {chips.dtype} {tuple(chips.shape)}"
            )
        if len(chips) == 0:
            return torch.empty((0, self.embedding_size), device=self._device)
        return self._embed(chips)

    def _embed(self, chips: torch.Tensor) -> torch.Tensor:
        with exact(self._device):
            return in_slices(chips, self._slice, self._embed_slice)

    @abstractmethod
    def _embed_slice(self, chips: torch.Tensor) -> torch.Tensor:
        """Embeddings of as many faces as a slice has."""
