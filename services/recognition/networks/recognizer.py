"""FaceNet and MobileFaceNet behind their alignments: pictures and landmarks in, embeddings out."""

from __future__ import annotations

from collections.abc import Callable

import torch

from services.recognition import catalog, template
from services.recognition.model import ModelInfo
from services.recognition.networks import facenet, graph_def, tfjs
from services.recognition.networks.facenet import FaceNet
from services.recognition.networks.mobilefacenet import MobileFaceNet
from services.recognition.recognize import ComparesDirections


class NetworkRecognizer(ComparesDirections):
    """Implements :class:`services.recognition.recognize.Recognizer`; its measure is the cosine similarity.

    :param chips: cuts the network's chips, from pictures and template.POINT_NAMES' landmarks.
    """

    points = template.POINT_NAMES

    def __init__(
        self,
        name: str,
        network: FaceNet | MobileFaceNet,
        chips: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> None:
        self.name, self.size = name, network.embedding_size
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
    network = FaceNet(graph_def.read_weights(catalog.read_verified(info), info.name), device)
    return NetworkRecognizer(info.name, network, facenet.chips)


def build_mobilefacenet(info: ModelInfo, device: str) -> NetworkRecognizer:
    """MobileFaceNet on a torch device. :raises Unavailable, CorruptData: as catalog.read_verified."""
    network = MobileFaceNet(tfjs.read_weights(catalog.read_verified(info), info.name), device)
    return NetworkRecognizer(info.name, network, template.chips)
