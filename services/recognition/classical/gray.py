"""Aligned gray faces, as the machines of before the networks looked at them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from services.recognition.template import SIDE_PX, chips

# ITU-R BT.601 luma, as OpenCV and PIL take gray from RGB.
_LUMA = (0.299, 0.587, 0.114)


def gray_chips(images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
    """Gray values 0 to 255, float32 (n, 112, 112), rounded; arguments as in template.chips."""
    aligned = chips(images, points_px).float()
    return (aligned @ torch.tensor(_LUMA, device=images.device)).add_(0.5).floor_()


def small_chips(images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
    """float32 (n, 56, 56): gray faces at half the size, each with mean 0 and deviation 1.

    So that they say nothing of how bright a picture is or how strong its contrast. An even one stays 0.
    """
    half = F.avg_pool2d(gray_chips(images, points_px)[:, None], 2)[:, 0]
    centered = half - half.mean(dim=(1, 2), keepdim=True)
    deviation = centered.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return centered / deviation.clamp_min(1.0)


SMALL_PX = SIDE_PX // 2
