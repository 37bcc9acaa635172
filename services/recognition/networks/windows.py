"""What the detectors that come with datamask share: pictures go in slices, and the best window counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import lru_cache

import torch
import torch.nn.functional as F

from services.errors import BadInput
from services.recognition.detect import Detections, Windows, centers_in_regions
from services.recognition.networks.network import Network
from services.recognition.networks.precision import exact
from services.recognition.together import filled, together

_CPU_SLICE = 8  # a call's fixed costs on fewer are a third of it, and more gain nothing
_CUDA_SLICE = 128


class SlicedDetector(ABC):
    """Implements :class:`services.recognition.detect.Detector` for networks that find landmarks, too.

    Pictures are taken in slices of a fixed size, the last one filled up: what a picture scores does not
    depend on how many others come along.
    """

    name: str

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)

    @torch.inference_mode()
    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """See :meth:`services.recognition.detect.Detector.score`; landmarks come along.

        :raises BadInput: for other shapes or types.
        """
        _check(self.name, images, regions)

        def look(pictures: torch.Tensor, at: slice) -> Iterable[torch.Tensor]:
            where = None if regions is None else filled(regions[at], len(pictures))
            return vars(self._seen(pictures, where)).values()

        return Detections(*self._sliced(images, look))

    def _sliced(
        self, images: torch.Tensor, look: Callable[[torch.Tensor, slice], Iterable[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """What ``look`` finds in all pictures, given one slice of them after the other, filled up."""
        most = together(self._device, _CPU_SLICE, _CUDA_SLICE, images.shape[1], images.shape[2])
        found = []
        for start in range(0, max(1, len(images)), most):
            at = slice(start, start + most)
            with exact(self._device):
                found.append([part[: len(images[at])] for part in look(filled(images[at], most), at)])
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    @abstractmethod
    def _seen(self, images: torch.Tensor, regions: torch.Tensor | None) -> Detections:
        """What is seen in one slice, pictures uint8 (n, H, W, 3) on the device; with landmarks."""


class WindowDetector(SlicedDetector):
    """A network that grades windows: scores are probabilities, the floor is 0."""

    def __init__(self, network: Network, device: str | torch.device) -> None:
        super().__init__(device)
        self._network = network

    def halve(self) -> None:
        """See services.recognition.networks.precision.Halves."""
        self._network.halve()

    def _seen(self, images: torch.Tensor, regions: torch.Tensor | None) -> Detections:
        return self._windows(images).best(regions)

    @torch.inference_mode()
    def windows(self, images: torch.Tensor) -> Windows:
        """See :meth:`services.recognition.detect.GradesEveryPlace.windows`; slices as :meth:`score`."""
        _check(self.name, images, None)
        scores, boxes, points = self._sliced(images, lambda pictures, _: _parts(self._windows(pictures)))
        return Windows(scores, boxes, points_px=points)

    @abstractmethod
    def _windows(self, images: torch.Tensor) -> Windows:
        """All windows of pictures uint8 (n, H, W, 3) on the device; with landmarks."""


def _parts(windows: Windows) -> Iterable[torch.Tensor]:
    """Scores, boxes and landmarks."""
    return (part for part in (windows.scores, windows.boxes_px, windows.points_px) if part is not None)


def _check(name: str, images: torch.Tensor, regions: torch.Tensor | None) -> None:
    """Raise BadInput unless images are uint8 (n, H, W, 3), and regions (n, 4) where there are any."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise BadInput(f"{name}: images are {found}, expected torch.uint8 (n, H, W, 3)")
    if regions is not None and regions.shape != (len(images), 4):
        raise BadInput(f"{name}: regions are {tuple(regions.shape)}, expected ({len(images)}, 4)")


def centered(boxes_px: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Whether boxes (n, k, 4) are centered in their picture's region (n, 4), its borders too: bool (n, k)."""
    return centers_in_regions((boxes_px[..., :2] + boxes_px[..., 2:]) / 2, regions)


def planes(images: torch.Tensor, multiple_px: int = 1) -> torch.Tensor:
    """Pictures uint8 (n, H, W, 3) as float32 (n, 3, H, W), black at the right and below up to a multiple."""
    height, width = images.shape[1:3]
    padded = F.pad(images, (0, 0, 0, -width % multiple_px, 0, -height % multiple_px))
    return padded.permute(0, 3, 1, 2).float()


def by_cell(answer: torch.Tensor) -> torch.Tensor:
    """A map (n, channels, rows, columns) cell by cell, row by row: (n, rows * columns, channels)."""
    return answer.permute(0, 2, 3, 1).flatten(1, 2)


@lru_cache(maxsize=64)
def pair(x: float, y: float, device: torch.device) -> torch.Tensor:
    """Two numbers float32 (2,), kept on the device."""
    return torch.tensor((x, y), dtype=torch.float32, device=device)


@lru_cache(maxsize=64)
def cells(rows: int, columns: int, device: torch.device) -> torch.Tensor:
    """Column and row of every cell of a map, in :func:`by_cell`'s order: float32 (rows * columns, 2)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float().to(device)
