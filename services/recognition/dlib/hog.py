"""dlib's frontal face detector (HOG) as a graded score, batched in torch.

dlib runs five linear filters of 10 x 10 cells over FHOG features of every level of a 5/6 pyramid and keeps
what is above a threshold. Here every window counts: the score of an image is that of its best window, also
where dlib would report nothing, so that a search has something to climb.
Source: dlib ``image_processing/scan_fhog_pyramid.h`` and ``object_detector.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from services.errors import BadInput
from services.recognition.detect import Detections, Windows, centers_in_regions
from services.recognition.dlib import fhog, pyramid
from services.recognition.dlib.hog_weights import (
    CELL_PX,
    CHANNELS,
    MIN_LEVEL_PX,
    WINDOW_CELLS,
    load_frontal_face,
)
from services.recognition.together import together

FLOOR = -10.0
"""Score of an image without any window in its region. Real scores lie above: an even gray has -3.27."""

_CPU_LANES, GPU_LANES = 24, 256

# The window reaches over the border by its own size less one cell; dlib puts the odd cell behind.
_BEFORE = (WINDOW_CELLS - 1) // 2
_AFTER = WINDOW_CELLS - 1 - _BEFORE


class HogDetector:
    """Scores images as ``dlib.get_frontal_face_detector().run(image, 0, ...)`` does; 0 is dlib's threshold.

    device: where the images to come are. lanes: how many images are worked on together (None: 24 on a CPU,
    which keeps memory small and caches warm, elsewhere 256, of large ones fewer). Batches are cut and filled
    up to that many, always, so that an image's score does not depend on the size of its batch.
    """

    name = "dlib-hog"

    def __init__(self, device: torch.device | str = "cpu", lanes: int | None = None) -> None:
        self.device = torch.device(device)
        if lanes is not None and lanes < 1:
            raise BadInput(f"HogDetector: lanes is {lanes}, expected at least 1")
        self._given = lanes
        weights = load_frontal_face()
        self._count = len(weights.thresholds)
        # One row per filter and row of its window, so that all rows of all filters are one matrix product.
        by_row = weights.filters.transpose(2, 0, 3, 1).reshape(WINDOW_CELLS * self._count, -1)
        self._filters = torch.from_numpy(np.ascontiguousarray(by_row)).to(self.device)
        thresholds = weights.thresholds.astype(np.float32).reshape(1, 1, self._count, 1)
        self._thresholds = torch.from_numpy(thresholds).to(self.device)

    @torch.inference_mode()
    def score(self, images: torch.Tensor, regions: torch.Tensor | None = None) -> Detections:
        """The best window of each image whose center lies in the image's region.

        images: uint8 (n, H, W, 3), sRGB. regions: float32 (n, 4) boxes in pixels, or None for anywhere.
        Returns scores float32 (n,) and dlib's boxes float32 (n, 4); FLOOR and zeros where no window's center
        is in the region. BadInput for other shapes or types.
        """
        _check(images)
        count = len(images)
        if regions is not None and regions.shape != (count, 4):
            raise BadInput(f"HogDetector: regions are {tuple(regions.shape)}, expected ({count}, 4)")
        best = images.new_full((count,), FLOOR, dtype=torch.float32)
        box_px = images.new_zeros((count, 4), dtype=torch.float32)
        windows = _windows(images.shape[1], images.shape[2], self._count, images.device)
        if windows is not None:
            lanes = self.lanes(images.shape[1], images.shape[2])
            for start in range(0, count, lanes):
                here = slice(start, min(start + lanes, count))
                scores = self._window_scores(images[here], lanes)
                if regions is not None:
                    inside = centers_in_regions(windows.centers_px, regions[here])
                    scores.masked_fill_(~inside, FLOOR)
                best[here], index = scores.max(dim=1)
                box_px[here] = windows.boxes_px[index]
        return Detections(best, box_px * (best > FLOOR)[:, None])

    @torch.inference_mode()
    def windows(self, images: torch.Tensor) -> Windows:
        """See :meth:`services.recognition.detect.GradesEveryPlace.windows`: the best of the five filters at
        each place. None where images are too small to have any.
        """
        _check(images)
        count, (height_px, width_px) = len(images), images.shape[1:3]
        places = _windows(height_px, width_px, self._count, images.device)
        if places is None:
            nothing = images.new_zeros((count, 0), dtype=torch.float32)
            return Windows(nothing, nothing.new_zeros((0, 4)), FLOOR)
        lanes = self.lanes(height_px, width_px)
        found = [self._window_scores(piece, lanes) for piece in torch.split(images, lanes)]
        scores = torch.cat(found).view(count, len(places.boxes_px) // self._count, self._count).amax(dim=2)
        return Windows(scores, places.boxes_px[:: self._count], FLOOR)

    def lanes(self, height_px: int, width_px: int) -> int:
        """How many images of a size are worked on together."""
        if self._given is not None:
            return self._given
        return together(self.device, _CPU_LANES, GPU_LANES, height_px, width_px)

    def _window_scores(self, images: torch.Tensor, lanes: int) -> torch.Tensor:
        """Scores of all windows of up to `lanes` images: float32 (n, windows), in the order of `_windows`."""
        count = len(images)
        if count < lanes:
            images = torch.cat((images, images.new_zeros((lanes - count, *images.shape[1:]))))
        level = images.permute(1, 2, 3, 0).contiguous().float()
        scores: list[torch.Tensor] = []
        for _ in range(_levels(images.shape[1], images.shape[2])):
            if scores:
                level = pyramid.shrink(level)
            scores.append(self._responses(fhog.features(level)).reshape(-1, lanes))
        return torch.cat(scores)[:, :count].T.contiguous()

    def _responses(self, features: torch.Tensor) -> torch.Tensor:
        """The filters' answers, less thresholds, for the windows of one level: float32 (rows, columns, 5, n).

        One product has the answer of each row of each filter to each row of cells; then windows sum rows up.
        """
        rows, columns, _, lanes = features.shape
        padded = functional.pad(features, (0, 0, 0, 0, _BEFORE, _AFTER))
        spread = padded.unfold(1, WINDOW_CELLS, 1)  # (rows, columns, 31, n, 10)
        spread = spread.permute(4, 2, 0, 1, 3).reshape(WINDOW_CELLS * CHANNELS, -1)
        by_row = (self._filters @ spread).reshape(WINDOW_CELLS, self._count, rows, columns, lanes)
        total = features.new_zeros((self._count, rows, columns, lanes))
        for row in range(WINDOW_CELLS):
            offset = row - _BEFORE  # of the cells that this row of the window lies on
            first, count = max(-offset, 0), rows - abs(offset)
            if count > 0:
                answers = by_row[row, :, first + offset : first + offset + count]
                total[:, first : first + count] += answers
        return total.permute(1, 2, 0, 3) - self._thresholds


def _check(images: torch.Tensor) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != torch.uint8:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise BadInput(f"HogDetector: images are {found}, expected torch.uint8 (n, H, W, 3)")


@dataclass(frozen=True)
class _Windows:
    """Boxes of all windows of an image size: float32 (k, 4), and their centers (k, 2)."""

    boxes_px: torch.Tensor
    centers_px: torch.Tensor


def _levels(rows: int, columns: int) -> int:
    """How many levels dlib looks at: the image, and those that are at least 64 px wide and high.

    dlib does not ask the levels for their sizes but shrinks the image's rectangle, rounding its corners.
    """
    left, top, right, bottom = 0, 0, columns - 1, rows - 1
    levels = 0
    while True:
        left, top, right, bottom = (_round((side - 0.3) * 5 / 6) for side in (left, top, right, bottom))
        levels += 1
        if right - left + 1 < MIN_LEVEL_PX or bottom - top + 1 < MIN_LEVEL_PX:
            return levels


@lru_cache(maxsize=64)
def _windows(rows: int, columns: int, filters: int, device: torch.device) -> _Windows | None:
    """All windows in the order level, row, column, filter; None where the image is too small to have any."""
    boxes = []
    for level in range(_levels(rows, columns)):
        across, down = (
            np.array([_side(index, level) for index in range(fhog.feature_cells(size))]).reshape(-1, 2)
            for size in (columns, rows)
        )
        box = np.empty((len(down), len(across), filters, 4), dtype=np.float32)
        box[..., 0::2] = across[None, :, None]
        box[..., 1::2] = down[:, None, None]
        boxes.append(box.reshape(-1, 4))
        rows, columns = pyramid.size_down(rows), pyramid.size_down(columns)
    every = np.concatenate(boxes)
    if not len(every):
        return None
    centers = (every[:, :2] + every[:, 2:]) / 2
    return _Windows(torch.from_numpy(every).to(device), torch.from_numpy(centers).to(device))


def _side(index: int, level: int) -> tuple[float, float]:
    """Where window `index` of a level starts and ends along a side, px in the image.

    dlib's boxes are whole pixels, both ends included; one is added at the end for continuous coordinates.
    """
    first, last = (_cell_to_pixel(index - _BEFORE + cell) for cell in (0, WINDOW_CELLS - 1))
    start, end = pyramid.points_up(np.array([first, last]), level)
    return _round(start), _round(end) + 1


def _cell_to_pixel(cell: int) -> int:
    """dlib's pixel for a cell with features; before the image's start half a cell is taken off, not added."""
    pixel = (cell + 1) * CELL_PX + 1
    return pixel + (CELL_PX // 2 if pixel >= 0 else -CELL_PX // 2)


def _round(value: float) -> int:
    """Nearest whole number, halves away from zero, as C's lround."""
    return int(np.sign(value) * np.floor(abs(value) + 0.5))
