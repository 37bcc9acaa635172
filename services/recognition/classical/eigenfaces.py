"""Eigenfaces (Turk and Pentland 1991): faces as coordinates among the main differences of many faces.

The basis is made of rendered random heads (``python -m worker.examination.build_eigenfaces``), so that
nobody's face is in it. It knows what differs between renders of our own head; of photographs it knows little.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.classical.gray import SMALL_PX, small_chips
from services.recognition.recognize import euclidean, euclidean_pairs
from services.recognition.template import POINT_NAMES

NAME = "eigenfaces"
COMPONENTS = 32


@dataclass(frozen=True)
class FaceSpace:
    """mean float32 (3136,); axes float32 (components, 3136), orthonormal, the strongest first."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    def encoded(self) -> bytes:
        """The data file: half precision, which moves a coordinate by less than a thousandth."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, mean=self.mean.astype(np.float16), axes=self.axes.astype(np.float16))
        return buffer.getvalue()


def face_space(faces: NDArray[np.float32], components: int = COMPONENTS) -> FaceSpace:
    """The mean and the principal axes of faces float32 (n, 3136), by a singular value decomposition."""
    mean = faces.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(faces - mean, full_matrices=False)
    axes = axes[:components]
    # An axis has no sign of its own; take the one that makes its largest part positive.
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return FaceSpace(mean.astype(np.float32), (axes * np.sign(largest)).astype(np.float32))


class EigenfaceRecognizer:
    """Implements :class:`services.recognition.recognize.Recognizer`; its measure is the distance in face
    space. Unavailable or CorruptData if the data file is missing or is not the catalog's.
    """

    name = NAME
    points = POINT_NAMES
    size = COMPONENTS

    def __init__(self, device: str | torch.device = "cpu") -> None:
        data = catalog.read_verified(catalog.model_info(NAME))
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            self._mean = torch.from_numpy(arrays["mean"].astype(np.float32)).to(device)
            self._axes = torch.from_numpy(arrays["axes"].astype(np.float32)).to(device)

    @torch.inference_mode()
    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Coordinates float32 (n, 32), divided by the picture's side so that they are near 1."""
        faces = small_chips(images, points_px).flatten(1) - self._mean
        # One sum for each face and axis: a matrix product rounds differently for other numbers of faces.
        return torch.stack([(faces * axis).sum(1) for axis in self._axes], dim=1) / SMALL_PX

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
        """The mean: the space is flat."""
        return references.mean(0)
