"""Put masks on top of one another: similarity alignment on points of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput

Floats = NDArray[np.float64]
_ROUNDS = 3


def similarity(source: Floats, target: Floats) -> tuple[float, Floats, Floats]:
    """Scale, rotation (3, 3) and shift (3,) that bring points (k, 3) closest to others: s * p @ R.T + t.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns", eq. 40.
    Points that all coincide keep their scale.
    """
    from_mean, to_mean = source.mean(0), target.mean(0)
    a, b = source - from_mean, target - to_mean
    u, spread, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, 1.0 if np.linalg.det(u) * np.linalg.det(vt) > 0 else -1.0])
    rotation = (u * sign) @ vt
    size = float((a**2).sum())
    scale = float((spread * sign).sum()) / size if size > 1e-18 else 1.0
    return scale, rotation, to_mean - scale * rotation @ from_mean


def mean_mask(
    vertices: NDArray[np.float32], points: NDArray[np.floating] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean (V, 3) of masks float32 (n, V, 3) aligned on points (n, L, 3) of each, and the aligned masks;
    without points they stay as they are.

    Generalized Procrustes analysis (Gower 1975), started at the plain mean of the points, so that the
    order of the masks does not matter. Size and place are those of the plain mean: identical masks come back
    as they were.

    :raises BadInput: where there is no mask, or a vertex is not finite.
    """
    masks = np.asarray(vertices, np.float64)
    if masks.ndim != 3 or len(masks) == 0:
        raise BadInput("composite: there is no mask to average; evolve longer, or choose masks by their ids")
    if not np.isfinite(masks).all():
        raise BadInput("composite: a mask has vertices that are not finite; leave it out")
    if points is None:
        return masks.mean(0).astype(np.float32), masks.astype(np.float32)
    marks = np.asarray(points, np.float64)
    reference = anchor = marks.mean(0)
    for _ in range(_ROUNDS):
        mean = np.stack([_moved(own, own, reference) for own in marks]).mean(0)
        last, reference = reference, _moved(mean, mean, anchor)
    aligned = np.stack([_moved(mask, own, last) for mask, own in zip(masks, marks, strict=True)])
    return aligned.mean(0).astype(np.float32), aligned.astype(np.float32)


def _moved(points: Floats, source: Floats, target: Floats) -> Floats:
    scale, rotation, shift = similarity(source, target)
    moved: Floats = scale * points @ rotation.T + shift
    return moved
