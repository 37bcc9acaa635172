"""What a machine looks at: how much each part of a mask's surface carries its score.

Two ways. *Occlusion* puts a patch of background over one region of the surface after the other and sees
what the score loses (Zeiler and Fergus 2014, section 4.2); it works with every machine. *Gradient times
input* (Shrikumar et al. 2016) follows a torch network back to the picture. Both end on the mesh: a pixel's
share goes to the triangle that it shows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

Float = NDArray[np.float32]
Score = Callable[[torch.Tensor], torch.Tensor]
"""uint8 pictures (k * v, S, S, 3), which are k rounds of the same v views, to scores (k * v,)."""

_TOGETHER = 48  # pictures that are scored at a time
REGIONS = 60  # patches of the surface; a tenth of them is what the deletion test removes


def surface_regions(vertices: Float, triangles: NDArray[np.int32], count: int = REGIONS) -> NDArray[np.int64]:
    """Cut a surface into ``count`` patches of about one size: the patch of each triangle, int64 (T,).

    vertices: float32 (V, 3), of the neutral mask, so that patches are the same on every mask. Seeds lie far
    from each other (Gonzalez 1985); a triangle belongs to the seed nearest to its center.
    """
    centers = vertices[triangles].mean(axis=1, dtype=np.float64)
    chosen = [int(np.argmax(centers[:, 2]))]
    distance = np.linalg.norm(centers - centers[chosen[0]], axis=1)
    owner = np.zeros(len(centers), np.int64)
    for patch in range(1, count):
        chosen.append(int(np.argmax(distance)))
        own = np.linalg.norm(centers - centers[chosen[-1]], axis=1)
        owner[own < distance] = patch
        distance = np.minimum(distance, own)
    return owner


def covered(
    images: torch.Tensor, triangle_map: torch.Tensor, chosen: torch.Tensor, background: torch.Tensor
) -> torch.Tensor:
    """Pictures uint8 (v, S, S, 3) with some triangles painted over in the background.

    triangle_map: int64 (v, S, S), -1 for none. chosen: bool (T,). background: uint8 (v, S, S, 3).
    """
    padded = torch.cat([chosen, chosen.new_zeros(1)])  # -1 reads the last
    return torch.where(padded[triangle_map][..., None], background, images)


def occlusion(
    images: torch.Tensor,
    triangle_map: torch.Tensor,
    background: torch.Tensor,
    regions: NDArray[np.int64],
    score: Score,
    tell: Callable[[int], None] = lambda done: None,
) -> Float:
    """What the mean score over views loses without each region: float32 (regions,).

    Above 0: the region carries the score. Below: the machine would rather not see it. Arguments as in
    :func:`covered`; regions: the patch of each triangle (T,). tell: called with how many patches are done.
    """
    patch_of = torch.from_numpy(regions)
    whole = score(images).mean()
    patches = range(int(regions.max()) + 1)
    together = max(1, _TOGETHER // len(images))
    lost: list[torch.Tensor] = []
    for first in range(0, len(patches), together):
        pictures = [
            covered(images, triangle_map, patch_of == patch, background)
            for patch in patches[first : first + together]
        ]
        scores = score(torch.cat(pictures))
        lost.append(whole - scores.view(len(pictures), len(images)).mean(dim=1))
        tell(first + len(pictures))
    share: Float = torch.cat(lost).float().numpy()
    return share


def in_rounds(values: torch.Tensor, count: int) -> torch.Tensor:
    """What belongs to v views, (v, ...), repeated for ``count`` pictures that are rounds of them."""
    return values.repeat(count // len(values), *(1 for _ in values.shape[1:]))


def gradient_times_input(
    images: torch.Tensor, background: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Each pixel's share of the scores, float32 (v, S, S): the gradient times what differs from background.

    score: float32 pictures (v, S, S, 3), 0 to 255, to scores (v,), with gradients.
    """
    with torch.enable_grad():
        pixels = images.float().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(score(pixels).sum(), pixels)
    return (slope * (pixels.detach() - background.float())).sum(dim=3)


def through_chips(
    chip_share: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor, size: int
) -> torch.Tensor:
    """Chip pixels' shares (v, C, C), put back where the pixels came from: float32 (v, size, size).

    columns, rows: int64 (v, C, C), the picture's pixel that a chip's pixel was taken from, -1 for none.
    """
    found = torch.zeros(len(chip_share), size * size)
    place = torch.where((columns >= 0) & (rows >= 0), rows * size + columns, size * size).flatten(1)
    padded = torch.zeros(len(chip_share), size * size + 1)
    padded.scatter_add_(1, place, chip_share.flatten(1))
    found.copy_(padded[:, :-1])
    return found.view(-1, size, size)


def on_regions(pixel_share: torch.Tensor, triangle_map: torch.Tensor, regions: NDArray[np.int64]) -> Float:
    """Pixels' shares (v, S, S), added up over each region and averaged over views: float32 (regions,)."""
    seen = triangle_map >= 0
    patch = torch.from_numpy(regions)[triangle_map[seen]]
    total = torch.zeros(int(regions.max()) + 1, dtype=torch.float64)
    total.index_add_(0, patch, pixel_share[seen].double())
    share: Float = (total / len(pixel_share)).float().numpy()
    return share


def on_vertices(
    region_share: Float,
    regions: NDArray[np.int64],
    triangles: NDArray[np.int32],
    vertex_count: int,
    rounds: int = 3,
) -> Float:
    """Regions' shares on the vertices, float32 (V,), smoothed over neighboring triangles ``rounds`` times."""
    corners = triangles.astype(np.int64)
    around = np.bincount(corners.ravel(), minlength=vertex_count).astype(np.float64)
    value = region_share[regions].astype(np.float64)
    for k in range(rounds):
        total = np.bincount(corners.ravel(), np.repeat(value, 3), vertex_count)
        vertex = total / np.maximum(around, 1.0)
        if k + 1 < rounds:
            value = vertex[corners].mean(axis=1)
    return vertex.astype(np.float32)


def top_regions(region_share: Float, share: float = 0.1) -> NDArray[np.int64]:
    """The regions that carry most: the top ``share`` of them, at least one."""
    count = max(1, round(share * len(region_share)))
    return np.argsort(-region_share, kind="stable")[:count]


def deletion(
    images: torch.Tensor,
    triangle_map: torch.Tensor,
    background: torch.Tensor,
    regions: NDArray[np.int64],
    gone: NDArray[np.int64],
    score: Score,
) -> float:
    """What the mean score over views loses when regions ``gone`` (k,) are taken away together."""
    chosen = torch.from_numpy(np.isin(regions, gone))
    without = covered(images, triangle_map, chosen, background)
    return float((score(images) - score(without)).mean())


def reach_of(share: Float) -> float:
    """The share at which the colors of a map end: few places go beyond it."""
    return float(np.quantile(np.abs(share), 0.98)) or 1.0


def heat_colors(share: Float, reach: float | None = None) -> NDArray[np.uint8]:
    """sRGB colors uint8 (V, 3): plaster where nothing counts, red for, blue against.

    reach: the share that has the full color; None: as :func:`reach_of` finds it.
    """
    reach = reach_of(share) if reach is None else reach
    strength = np.clip(share / reach, -1.0, 1.0)[:, None]
    plaster, hot, cold = (np.array(c, np.float64) for c in ((224, 218, 208), (196, 40, 20), (40, 90, 190)))
    color = np.where(
        strength >= 0,
        plaster + (hot - plaster) * strength,
        plaster + (cold - plaster) * -strength,
    )
    return np.asarray(np.rint(color), np.uint8)
