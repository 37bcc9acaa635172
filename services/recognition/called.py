"""Callables of the user's as the search knows machines: arrays go out, tensors come back."""

from __future__ import annotations

import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from services.errors import BadInput
from services.recognition import own
from services.recognition.detect import Detections
from services.recognition.model import ModelInfo
from services.recognition.recognize import cosine, cosine_pairs, euclidean, euclidean_pairs, on_sphere

PROBE_PX = 160
GPU_SLICE = 24  # pictures of one question: a GPU's pass has up to 2,048, a CPU's this many
FRAME, FRAME_PX = 2.0, 160  # in boxes of dlib's: about as large is a mask in a view


def framed(photo: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """What a machine without landmarks gets of a photo (H, W, 3): a square about the face, uint8 (S, S, 3).

    box: left, top, right, bottom of dlib's detector, in pixels.
    """
    left, top, right, bottom = box
    side = FRAME * (right - left)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    square = Image.fromarray(photo).transform(
        (FRAME_PX, FRAME_PX), Image.Transform.EXTENT, (x, y, x + side, y + side), Image.Resampling.BICUBIC
    )
    return np.array(square, np.uint8)


class _Called:
    """A machine by name: who hands over another callable under it is heard at the next picture."""

    def __init__(self, info: ModelInfo) -> None:
        self.name = info.name
        self._sha256 = info.sha256

    def _machine(self) -> own.Machine:
        machine = own.find(self.name)
        if machine.sha256 != self._sha256:
            raise BadInput(f"{self.name}: another machine has taken its name meanwhile; start a run anew")
        return machine

    def _answers(self, machine: own.Machine, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return machine.ask(self.name, images)

    def _ask(self, images: torch.Tensor) -> torch.Tensor:
        """Answers to pictures uint8 (n, H, W, 3), n at least 1; to a GPU's in slices, for each question has
        the machine's time for itself.
        """
        machine, size = self._machine(), GPU_SLICE if images.is_cuda else len(images)
        parts = [self._answers(machine, part.cpu().numpy()) for part in torch.split(images, size)]
        return torch.from_numpy(np.concatenate(parts)).to(images.device)


class CalledDetector(_Called):
    """Scores of whole pictures; it does not say where."""

    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """See Detector. Regions are nothing to it, and boxes are zeros."""
        if len(images) == 0:
            return Detections(torch.zeros(0), torch.zeros(0, 4))
        return Detections(self._ask(images), torch.zeros(len(images), 4, device=images.device))


class CalledRecognizer(_Called):
    """Embeddings of whole pictures; it aligns faces itself, or not."""

    points: tuple[str, ...] = ()

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self._similarity = info.measure == "similarity"
        self._known: tuple[weakref.ref[own.Machine], int] | None = None

    @property
    def size(self) -> int:
        """How many numbers an embedding has; each machine of the name is asked once."""
        machine = self._machine()
        gray = np.full((1, PROBE_PX, PROBE_PX, 3), 128, np.uint8)
        return self._size_of(machine) or self._answers(machine, gray).shape[1]

    def _size_of(self, machine: own.Machine) -> int | None:
        known = self._known
        return known[1] if known is not None and known[0]() is machine else None

    def _answers(self, machine: own.Machine, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = super()._answers(machine, images)
        size, before = answers.shape[1], self._size_of(machine)
        if before is None:
            self._known = weakref.ref(machine), size
        elif size != before:
            raise own.MachineFault(f"{self.name}: embeddings of {size} numbers, and of {before} before")
        return answers

    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """See Recognizer. Landmarks are nothing to it."""
        if len(images) == 0:
            return torch.zeros(0, self.size, device=images.device)
        return self._ask(images)

    def compare(self, embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Cosine similarities, or Euclidean distances."""
        return cosine(embeddings, reference) if self._similarity else euclidean(embeddings, reference)

    def unlikeness(self, embeddings: torch.Tensor) -> torch.Tensor:
        """1 less the similarity, or the distance, of all pairs."""
        return cosine_pairs(embeddings) if self._similarity else euclidean_pairs(embeddings)

    def center(self, references: torch.Tensor) -> torch.Tensor:
        """The middle: on the sphere where directions are compared."""
        return on_sphere(references) if self._similarity else references.mean(dim=0)

    def between(self, references: torch.Tensor) -> torch.Tensor:
        """As :meth:`center`."""
        return self.center(references)
