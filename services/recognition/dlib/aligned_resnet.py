"""dlib's ResNet behind its own alignment: pictures and landmarks in, embeddings out."""

from __future__ import annotations

import torch

from services.recognition.dlib.alignment import POINT_NAMES, chips
from services.recognition.dlib.resnet import EMBEDDING_SIZE, NAME, DlibResNet
from services.recognition.recognize import euclidean, euclidean_pairs, on_sphere


class AlignedResNet:
    """Implements :class:`services.recognition.recognize.Recognizer`; its measure is the L2 distance."""

    name = NAME
    points = POINT_NAMES
    size = EMBEDDING_SIZE

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self._network = DlibResNet(device)

    def halve(self) -> None:
        """See services.recognition.networks.precision.Halves."""
        self._network.halve()

    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, 128); see align.chips for the arguments."""
        return self._network.embed(chips(images, points_px))

    def compare(self, embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """L2 distances."""
        return euclidean(embeddings, reference)

    def unlikeness(self, embeddings: torch.Tensor) -> torch.Tensor:
        """L2 distances of all pairs."""
        return euclidean_pairs(embeddings)

    def center(self, references: torch.Tensor) -> torch.Tensor:
        """The mean."""
        return references.mean(0)

    def between(self, references: torch.Tensor) -> torch.Tensor:
        """The middle on the sphere."""
        return on_sphere(references)
