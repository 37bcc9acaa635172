"""Brings faces onto the 112-pixel template that ArcFace's training set was aligned to, batched.

A similarity takes five landmarks nearest to their places in the template (Umeyama 1991), as insightface's
``face_align.norm_crop`` does; the picture is then sampled bilinearly, black outside.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

POINT_NAMES = ("left_pupil", "right_pupil", "nose_tip", "mouth_left", "mouth_right")
SIDE_PX = 112

# Deng et al. 2019 (ArcFace), as in insightface's face_align.arcface_dst: pixel indices in a 112-pixel chip.
TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


@torch.inference_mode()
def chips(images: torch.Tensor, points_px: torch.Tensor, side_px: int = SIDE_PX) -> torch.Tensor:
    """Aligned faces, uint8 (n, side, side, 3).

    images: uint8 (n, H, W, 3). points_px: float32 (n, 5, 2), the landmarks POINT_NAMES as x, y in continuous
    pixel coordinates (pixel centers at .5). side_px: a multiple of 112, or of 128 for the template with a
    margin of 8 pixels left and right (as insightface has it); others are scaled from 112. Black where points
    are not finite or all the same.
    """
    check(images, points_px)
    turn, shift = _from_chip(points_px.double() - 0.5, side_px)
    steps = torch.arange(side_px, dtype=torch.float64, device=turn.device)
    return cut(images, turn, shift, steps, steps)


def check(images: torch.Tensor, points_px: torch.Tensor) -> None:
    """:raises ValueError: unless images are uint8 (n, H, W, 3) and points_px five points of each."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images: expected uint8 (n, H, W, 3), got {images.dtype} {tuple(images.shape)}")
    if points_px.shape != (images.shape[0], len(POINT_NAMES), 2):
        raise ValueError(f"points_px: expected ({images.shape[0]}, 5, 2), got {tuple(points_px.shape)}")


def cut(
    images: torch.Tensor,
    turn: torch.Tensor,
    shift: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    finer: int = 1,
) -> torch.Tensor:
    """Chips uint8 (n, rows, columns, 3) out of pictures uint8 (n, H, W, 3), bilinear, black outside.

    :param turn, shift: float64 (n, 2) each, the similarity from chip to picture, in pixel indices: its matrix
        [[a, -b], [b, a]] as a, b, and its shift. Black where they are not finite.
    :param x, y: float64 (k,) each, where the chip's columns and rows lie before it.
    :param finer: of so many columns and rows each, a chip has the mean.
    """
    height, width = images.shape[1:3]
    a, b = turn[:, :1], turn[:, 1:]
    along = torch.stack([a * x + shift[:, :1], b * x + shift[:, 1:]], dim=-1)
    down = torch.stack([-b * y, a * y], dim=-1)
    # -1 is the first and 1 the last pixel's center, as grid_sample counts.
    unit = 2.0 / torch.tensor((width - 1, height - 1), dtype=torch.float64, device=turn.device)
    # What is not finite lies outside. Only the sums of rows and columns are large, and they are float32.
    along = (along * unit - 1.0).nan_to_num(nan=-1e3, posinf=-1e3, neginf=-1e3).clamp(-1e3, 1e3).float()
    down = (down * unit).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(-1e3, 1e3).float()
    planes, grid = images.permute(0, 3, 1, 2).float(), along[:, None] + down[:, :, None]
    seen = F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    seen = F.avg_pool2d(seen, finer) if finer > 1 else seen
    return (seen + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def placed(side_px: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """The template's points, float64 (5, 2), as pixel indices in a chip of that side."""
    points = torch.tensor(TEMPLATE, dtype=torch.float64, device=device)
    if side_px % 112 and side_px % 128 == 0:
        points = points * (side_px / 128.0)
        points[:, 0] += 8.0 * side_px / 128.0
        return points
    return points * (side_px / 112.0)


def _from_chip(points: torch.Tensor, side_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The similarity from chip to image: (n, 2) its matrix [[a, -b], [b, a]] as a, b, and (n, 2) its shift.

    Least squares in the chip, as insightface has it: in the plane Umeyama's solution (1991, eq. 40 to 42,
    without reflection) is a regression of complex numbers, from the image's points to the template's; then
    its inverse.
    """
    target = placed(side_px, points.device)
    source_mean, target_mean = points.mean(dim=1), target.mean(dim=0)
    s, t = points - source_mean[:, None], target - target_mean
    spread = (s * s).sum(dim=(1, 2))
    a = (s[..., 0] * t[:, 0] + s[..., 1] * t[:, 1]).sum(dim=1) / spread
    b = (s[..., 0] * t[:, 1] - s[..., 1] * t[:, 0]).sum(dim=1) / spread
    square = a * a + b * b
    a, b = a / square, -b / square
    shift_x = source_mean[:, 0] - (a * target_mean[0] - b * target_mean[1])
    shift_y = source_mean[:, 1] - (b * target_mean[0] + a * target_mean[1])
    return torch.stack([a, b], dim=1), torch.stack([shift_x, shift_y], dim=1)
