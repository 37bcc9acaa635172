"""Cuts out and straightens faces as dlib does, batched, from five landmarks that are already known.

dlib's get_face_chip_details and extract_image_chips (dlib/image_transforms/interpolation.h): the similarity
transform (Umeyama 1991) from five mean face positions to the landmarks, then bilinear sampling, from a
smaller pyramid level where the face is more than twice as large as the chip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from services.recognition.dlib import cutting
from services.recognition.template import check
from services.recognition.together import together

CHIP_PX = 150
PADDING = 0.25

# The order in which points are expected; "left" is the smaller x in the image.
POINT_NAMES = ("left_eye_outer", "left_eye_inner", "right_eye_inner", "right_eye_outer", "nose_base")

# Where dlib puts them in a face of size 1 without padding, in that order.
_MEAN_FACE = (
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.6460604764104, 0.2289674387677),
    (0.8595674595992, 0.2134981538014),
    (0.4901123135679, 0.6277975316475),
)

# Halvings are made ready for faces whose chip covers up to this many image sides; larger ones are sampled
# from the smallest level there is. A bound that knows the image's size only never makes a GPU wait.
_LARGEST_CHIP = 1.5
# Where dlib's pyramid_down<2> puts a point, in pixel indices: p / 2 less this.
_DOWN_OFFSET_PX = (1.25, 0.75)
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)
_CPU_SLICE, _GPU_SLICE = 32, 256
# dlib cuts fractions off; this keeps a flat area from falling by one through float32.
_SOFTLY = 1e-3


@torch.inference_mode()
def chips(images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
    """Aligned faces, uint8 (n, 150, 150, 3), as dlib's recognizer expects them.

    images: uint8 (n, H, W, 3). points_px: float32 (n, 5, 2), the landmarks POINT_NAMES as x, y in continuous
    pixel coordinates (pixel centers at .5), on the same device. Black outside the image, as dlib's; wholly
    black where points are not finite.
    """
    check(images, points_px)
    most = together(images.device, _CPU_SLICE, _GPU_SLICE, *images.shape[1:3])
    pieces = zip(torch.split(images, most), torch.split(points_px, most), strict=True)
    cut = [_chips(piece, points) for piece, points in pieces]
    return torch.cat(cut) if cut else images.new_empty((0, CHIP_PX, CHIP_PX, 3))


def similarity(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rotation, scale and shift that bring source (k, 2) nearest to target (n, k, 2) in least squares.

    Returns (n, 2) the matrix [[a, -b], [b, a]] as a, b, and (n, 2) the shift. In the plane Umeyama's solution
    (1991, eq. 40 to 42, without reflection) is a regression of complex numbers.
    """
    source_mean, target_mean = source.mean(dim=0), target.mean(dim=1)
    s, t = source - source_mean, target - target_mean[:, None]
    spread = (s * s).sum()
    a = (t[..., 0] * s[:, 0] + t[..., 1] * s[:, 1]).sum(dim=1) / spread
    b = (t[..., 1] * s[:, 0] - t[..., 0] * s[:, 1]).sum(dim=1) / spread
    shift_x = target_mean[:, 0] - (a * source_mean[0] - b * source_mean[1])
    shift_y = target_mean[:, 1] - (b * source_mean[0] + a * source_mean[1])
    return torch.stack([a, b], dim=1), torch.stack([shift_x, shift_y], dim=1)


def _chips(images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
    center, direction, side = _chip_squares(points_px)
    reach = _LARGEST_CHIP * max(images.shape[1], images.shape[2])
    if images.device.type == "cpu" and reach / 2.0 <= CHIP_PX and min(images.shape[1:3]) > 1:
        return _cut(images, center, direction, side)
    level = images.permute(0, 3, 1, 2).float()
    cut = _sample(level, center, direction, side)
    offset = torch.tensor(_DOWN_OFFSET_PX, device=images.device, dtype=center.dtype)
    # dlib goes one level down as long as the face, halved, still has more pixels than the chip.
    while reach / 2.0 > CHIP_PX and min(level.shape[2:]) > 8:
        level = _halve(level)
        center, side, reach = center / 2.0 - offset, side / 2.0, reach / 2.0
        deeper = (side + 1.0 > CHIP_PX)[:, None, None, None]
        cut = torch.where(deeper, _sample(level, center, direction, side), cut)
    return (cut + _SOFTLY).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _chip_squares(points_px: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Center (n, 2) in pixel indices, direction (n, 2) of the chip's x axis and side (n,) in the image.

    float64, since a chip's pixel is sampled at a position that is the small difference of large numbers. The
    side reaches from the center of the first to that of the last pixel, so it is one less than the scale
    times 150.
    """
    face = torch.tensor(_MEAN_FACE, dtype=torch.float64, device=points_px.device)
    face = (face + PADDING) / (1.0 + 2.0 * PADDING) * CHIP_PX
    # dlib's coordinates are pixel indices: .5 less than ours.
    turn, shift = similarity(face, points_px.double() - 0.5)
    a, b = turn[:, 0], turn[:, 1]
    middle = CHIP_PX / 2.0
    center = torch.stack([a * middle - b * middle, b * middle + a * middle], dim=1) + shift
    scale = turn.norm(dim=1)
    direction = turn / scale.clamp_min(1e-12)[:, None]
    return center, direction, scale * CHIP_PX - 1.0


def _cut(
    images: torch.Tensor, center: torch.Tensor, direction: torch.Tensor, side: torch.Tensor
) -> torch.Tensor:
    """Chips uint8 (n, 150, 150, 3) from images uint8 (n, H, W, 3) on a CPU, from the images' own level."""
    chips = images.new_empty((len(images), CHIP_PX, CHIP_PX, 3))
    origin, along, across = (axis.numpy() for axis in _axes(images.shape[1:3], center, direction, side))
    steps = torch.linspace(-0.5, 0.5, CHIP_PX).numpy()
    cutting.cut(images.contiguous().numpy(), origin, along, across, steps, np.float32(_SOFTLY), chips.numpy())
    return chips


def _sample(
    level: torch.Tensor, center: torch.Tensor, direction: torch.Tensor, side: torch.Tensor
) -> torch.Tensor:
    """Chips float32 (n, 3, 150, 150) from level (n, 3, H, W), bilinear.

    Zero where one of the four neighbors lies outside of the level.
    """
    origin, along, across = _axes(level.shape[2:], center, direction, side)
    steps = torch.linspace(-0.5, 0.5, CHIP_PX, device=level.device)
    rows = origin[:, None] + across[:, None] * steps[:, None]
    grid = rows[:, :, None] + (along[:, None] * steps[:, None])[:, None]
    inside = ((grid >= -1.0) & (grid < 1.0)).all(dim=3)
    values = F.grid_sample(level, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return values.masked_fill_(~inside[:, None], 0.0)


def _axes(
    extent_px: Sequence[int], center: torch.Tensor, direction: torch.Tensor, side: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Middle, x axis and y axis of each chip, float32 (n, 2), in an image of height and width ``extent_px``.

    In the units of grid_sample, which counts from -1 at the first to 1 at the last pixel's center.
    """
    height, width = extent_px
    unit = 2.0 / torch.tensor((width - 1, height - 1), dtype=torch.float64, device=center.device)
    origin = (center * unit - 1.0).nan_to_num(nan=-9.0).float()
    along = direction * side[:, None]
    across = torch.stack([-along[:, 1], along[:, 0]], dim=1)
    along, across = ((axis * unit).nan_to_num(nan=0.0).float() for axis in (along, across))
    return origin, along, across


def _halve(level: torch.Tensor) -> torch.Tensor:
    """Half the size by a 5 x 5 binomial filter, rounded down: dlib's pyramid_down<2> on 8-bit images."""
    taps = torch.tensor(_BINOMIAL, device=level.device)
    kernel = (taps[:, None] * taps[None, :]).expand(3, 1, 5, 5)
    # Sums stay below 2 ** 16, so float32 keeps them exact.
    return (F.conv2d(level, kernel, stride=2, groups=3) / 256.0).floor()
