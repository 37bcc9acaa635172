"""Faces as histograms of local binary patterns (Ahonen, Hadid and Pietikäinen 2004), batched.

Every pixel becomes a pattern of eight yes-or-nos: is the neighbor at radius 2 as bright as I am? The 58
patterns with at most two changes around the circle count one by one, all others together; 7 x 7 cells of the
aligned face each get a histogram; faces are compared by the chi-square distance of all histograms. The
patterns are scikit-image's ``local_binary_pattern(..., 8, 2, "nri_uniform")``, which does one image a call.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from services.recognition.classical.gray import gray_chips
from services.recognition.template import POINT_NAMES, SIDE_PX

NEIGHBORS = 8
RADIUS_PX = 2.0
PATTERNS = NEIGHBORS * (NEIGHBORS - 1) + 3
CELLS = 7
_CELL_PX = SIDE_PX // CELLS


class LbpRecognizer:
    """Implements :class:`services.recognition.recognize.Recognizer`; its measure is the chi-square distance.

    An embedding is 49 histograms of 59 patterns, all together 1; distances are from 0 to 2.
    """

    name = "lbp"
    points = POINT_NAMES
    size = CELLS * CELLS * PATTERNS

    @torch.inference_mode()
    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Histograms float32 (n, 2891); see template.chips for the arguments."""
        return histograms(patterns(gray_chips(images, points_px)))

    def compare(self, embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Chi-square distances."""
        return chi_square(embeddings, reference)

    def unlikeness(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Chi-square distances of all pairs, row by row: all differences at once would fill the memory."""
        return torch.stack([chi_square(embeddings, row) for row in embeddings])

    def center(self, references: torch.Tensor) -> torch.Tensor:
        """The mean histogram."""
        return references.mean(0)

    def between(self, references: torch.Tensor) -> torch.Tensor:
        """The mean histogram."""
        return references.mean(0)


def patterns(gray: torch.Tensor) -> torch.Tensor:
    """Pattern numbers, int64 (n, H, W), of gray pictures (n, H, W); black around them.

    In double precision and in scikit-image's order of operations: on an even area rounding decides.
    """
    height, width = gray.shape[1:]
    pad = math.ceil(RADIUS_PX) + 1
    values = torch.nn.functional.pad(gray.double(), (pad, pad, pad, pad))
    code = torch.zeros(gray.shape, dtype=torch.int64, device=gray.device)
    for k in range(NEIGHBORS):
        angle = 2 * math.pi * k / NEIGHBORS
        row, column = round(-RADIUS_PX * math.sin(angle), 5), round(RADIUS_PX * math.cos(angle), 5)
        top, down = _positions(height, row, pad, gray.device)
        left, right = _positions(width, column, pad, gray.device)
        upper, lower = values[:, top], values[:, top + 1]
        above = (1 - right) * upper[:, :, left] + right * upper[:, :, left + 1]
        below = (1 - right) * lower[:, :, left] + right * lower[:, :, left + 1]
        neighbor = (1 - down)[:, None] * above + down[:, None] * below
        code += (neighbor >= gray).long() << k
    return _table().to(gray.device)[code]


def histograms(numbers: torch.Tensor) -> torch.Tensor:
    """float32 (n, 49 * 59): how often each pattern is in each cell of (n, 112, 112), all together 1."""
    count = len(numbers)
    lines = torch.arange(SIDE_PX, device=numbers.device) // _CELL_PX
    cell = lines[:, None] * CELLS + lines[None, :]
    place = torch.arange(count, device=numbers.device)[:, None, None] * (CELLS * CELLS) + cell
    bins = torch.bincount((place * PATTERNS + numbers).flatten(), minlength=count * LbpRecognizer.size)
    return bins.view(count, LbpRecognizer.size).float() / float(SIDE_PX * SIDE_PX)


def chi_square(embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """(...): sum of (a - b)^2 / (a + b) over histograms (..., d) and one (d,), or one each (..., d)."""
    total = embeddings + reference
    return ((embeddings - reference).square() / total.clamp_min(1e-12)).sum(-1)


def _positions(size: int, offset: float, pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Index of the sample before each shifted position in a padded line, and the way on to the next."""
    at = torch.arange(size, dtype=torch.float64, device=device) + offset
    before = at.floor()
    return before.long() + pad, at - before


@lru_cache(maxsize=1)
def _table() -> torch.Tensor:
    """Pattern number of each of the 256 codes, int64: uniform ones by count and turn, the rest the last."""
    numbers = []
    for code in range(1 << NEIGHBORS):
        bits = [code >> k & 1 for k in range(NEIGHBORS)]
        changes = sum(bits[k] != bits[k - 1] for k in range(NEIGHBORS))
        ones = sum(bits)
        if changes > 2:
            number = PATTERNS - 1
        elif ones == 0:
            number = 0
        elif ones == NEIGHBORS:
            number = PATTERNS - 2
        else:
            first = bits.index(1)
            turn = ones - bits.index(0) if first == 0 else NEIGHBORS - first
            number = 1 + (ones - 1) * NEIGHBORS + turn
        numbers.append(number)
    return torch.tensor(numbers)
