"""Where a face's landmarks lie to each other, to tell one set of them from another.

dlib's predictor gives eye corners and the nose's base; ArcFace's template wants pupils, the nose's tip and
the mouth's corners. A photograph comes with the first. So the neutral head's landmarks, seen from the front,
are laid over the known points by a similarity, and the others are read off. Good for a face that looks into
the camera; a face turned far to the side needs a detector that finds its own landmarks (SCRFD).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from services.recognition.dlib.alignment import POINT_NAMES as DLIB_POINTS
from services.recognition.dlib.alignment import similarity

# x to the right and y down in mm, from midway between the neutral head's eyes (basis makehuman-mask-1).
FRONTAL_MM = {
    "left_eye_outer": (-44.98, -0.33),
    "left_eye_inner": (-17.93, 1.08),
    "right_eye_inner": (17.93, 1.08),
    "right_eye_outer": (44.98, -0.33),
    "nose_base": (0.0, 49.01),
    "left_pupil": (-31.5, 0.0),
    "right_pupil": (31.5, 0.0),
    "nose_tip": (0.0, 38.4),
    "mouth_left": (-24.99, 68.8),
    "mouth_right": (24.99, 68.8),
}


def from_dlib(points_px: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Landmarks ``names`` float32 (n, k, 2), from dlib's five (n, 5, 2) in align.POINT_NAMES' order.

    dlib's own points are handed on as they are; the others are those of the neutral head, laid over them.
    """
    if tuple(names) == DLIB_POINTS:
        return points_px
    known = torch.tensor([FRONTAL_MM[name] for name in DLIB_POINTS], device=points_px.device)
    wanted = torch.tensor([FRONTAL_MM[name] for name in names], device=points_px.device)
    turn, shift = similarity(known, points_px)
    a, b = turn[:, :1], turn[:, 1:]
    x, y = wanted[:, 0], wanted[:, 1]
    return torch.stack([a * x - b * y + shift[:, :1], b * x + a * y + shift[:, 1:]], dim=-1)
