"""FaceNet and MobileFaceNet behind their alignments: pictures and landmarks in, embeddings out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from services.recognition import catalog, template
from services.recognition.model import ModelInfo
from services.recognition.networks import facenet, graph_def, mobilefacenet, tfjs
from services.recognition.recognize import ComparesDirections


class Network(Protocol):
    """Chips in, embeddings of length 1 out."""

    def halve(self) -> None:
        """See services.recognition.networks.precision.Halves."""
        ...

    def embed(self, chips: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, size) of chips uint8 (n, S, S, 3)."""
        ...


class NetworkRecognizer(ComparesDirections):
    """Implements :class:`services.recognition.recognize.Recognizer`; its measure is the cosine similarity.

    :param chips: cuts the network's chips, from pictures and template.POINT_NAMES' landmarks.
    """

    points = template.POINT_NAMES

    def __init__(
        self,
        name: str,
        size: int,
        network: Network,
        chips: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> None:
        self.name, self.size = name, size
        self.chips = chips
        self._network = network

    def halve(self) -> None:
        """See services.recognition.networks.precision.Halves."""
        self._network.halve()

    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, size) of length 1; see template.chips for the arguments."""
        return self.embed_chips(self.chips(images, points_px))

    def embed_chips(self, aligned: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, size) of length 1, of what ``chips`` cuts."""
        return self._network.embed(aligned)


def build_facenet(info: ModelInfo, device: str) -> NetworkRecognizer:
    """FaceNet on a torch device. :raises Unavailable, CorruptData: as catalog.read_verified."""
    network = facenet.FaceNet(graph_def.read_weights(catalog.read_verified(info), info.name), device)
    return NetworkRecognizer(info.name, facenet.EMBEDDING_SIZE, network, facenet.chips)


def build_mobilefacenet(info: ModelInfo, device: str) -> NetworkRecognizer:
    """MobileFaceNet on a torch device. :raises Unavailable, CorruptData: as catalog.read_verified."""
    network = mobilefacenet.MobileFaceNet(tfjs.read_weights(catalog.read_verified(info), info.name), device)
    return NetworkRecognizer(info.name, mobilefacenet.EMBEDDING_SIZE, network, template.chips)
