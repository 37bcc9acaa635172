"""ArcFace-shaped recognizers: a face on the 112-pixel template becomes a direction (Deng et al. 2019)."""

from __future__ import annotations

import torch

from services.errors import BadInput
from services.recognition.model import ModelInfo
from services.recognition.networks.onnx_session import OnnxNetwork
from services.recognition.recognize import ComparesDirections
from services.recognition.template import POINT_NAMES, chips


class ArcFaceRecognizer(ComparesDirections):
    """Implements :class:`services.recognition.recognize.Recognizer`; its measure is the cosine similarity.

    Equal, on the same weights, to insightface's ``norm_crop`` and ``get_feat``, which take one image at a
    time. Errors as :class:`OnnxNetwork`.
    """

    points = POINT_NAMES

    def __init__(self, info: ModelInfo, device: str | torch.device = "cpu") -> None:
        self.name = info.name
        self._network = OnnxNetwork(info, device)
        side = self._network.shape.size_px
        if self._network.shape.kind != "recognize" or side is None:
            raise BadInput(f"model {info.name!r}: the file holds no recognizer")
        self._side = side
        probe = torch.zeros((1, side, side, 3), dtype=torch.uint8)
        (answer,) = self._network.run(self._network.normalized(probe))
        if answer.ndim != 2 or answer.shape[1] < 2:
            raise BadInput(
                f"{info.file}: expected numbers n x d for n faces, it gives {tuple(answer.shape)} for one"
            )
        self.size = int(answer.shape[1])

    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, size), as long as the network makes them; see template.chips."""
        return self.embed_chips(chips(images, points_px, self._side))

    def embed_chips(self, aligned: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, size) of aligned faces uint8 (n, S, S, 3)."""
        if len(aligned) == 0:
            return torch.empty((0, self.size), device=aligned.device)
        (answer,) = self._network.run(self._network.normalized(aligned))
        return answer
