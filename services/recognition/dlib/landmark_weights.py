"""Reads the regression forests of dlib's 5-point landmark predictor.

The file is a row of integers, in the order of dlib's serialize() for ``shape_predictor``: version, mean
shape, forests, and for each forest the pixels that it looks at, as an anchor point and a displacement.
Whatever is not exactly as expected raises CorruptData.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.dlib.numbers import Numbers

Number = TypeVar("Number", bound=np.generic)

DEPTH = 4
SPLITS = 2**DEPTH - 1
LEAVES = 2**DEPTH
_MEND = "not a landmark predictor that datamask knows: install the weights again"
_MOST = 100_000  # of forests, trees or pixels: a bound against damaged counts


@dataclass(frozen=True)
class LandmarkWeights:
    """p points, c forests of t trees, k pixels that a forest looks at. All arrays are read-only.

    mean_shape: float32 (p, 2), in the unit square of a face's box. first, second: int64 (c, t, 15), the two
    pixels whose difference a split compares with threshold, float32 (c, t, 15). leaves: float32 (c, t, 16,
    2 p), what a leaf adds to the shape, x and y in turn. anchors: int64 (c, k), a pixel's nearest point;
    deltas: float32 (c, k, 2), its place from there in the mean shape.
    """

    mean_shape: NDArray[np.float32]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    leaves: NDArray[np.float32]
    anchors: NDArray[np.int64]
    deltas: NDArray[np.float32]


def load_landmarks() -> LandmarkWeights:
    """dlib's 5-point predictor. Unavailable if it is not installed, CorruptData if it is another file."""
    info = catalog.model_info("dlib-landmarks-5")
    return parse(catalog.read_verified(info), info.name)


def parse(data: bytes, where: str) -> LandmarkWeights:
    """The forests in a file's bytes; ``where`` names it in the CorruptData that any surprise raises."""
    numbers = Numbers(data, where, _MEND)
    numbers.expect(1, "version")
    mean_shape = _matrix(numbers, "mean shape")
    size = len(mean_shape)
    forests = numbers.count("number of forests", 1, _MOST)
    trees = [_trees(numbers, size) for _ in range(forests)]
    if len({len(splits) for splits, _ in trees}) > 1:
        raise numbers.fail("its forests have different numbers of trees")
    splits = np.stack([s for s, _ in trees])
    numbers.expect(forests, "number of anchor lists")
    anchors = np.stack(
        [numbers.integers(numbers.count("number of anchors", 1, _MOST), "anchors") for _ in range(forests)]
    )
    numbers.expect(forests, "number of displacement lists")
    counts = "number of displacements"
    deltas = np.stack(
        [numbers.reals(2 * numbers.count(counts, 1, _MOST), "displacements") for _ in range(forests)]
    ).astype(np.float32)
    numbers.expect_end()
    first, second = splits[..., 0], splits[..., 1]
    pixels = anchors.shape[1]
    for name, values, limit in (
        ("split", first, pixels),
        ("split", second, pixels),
        ("anchor", anchors, size // 2),
    ):
        if values.min() < 0 or values.max() >= limit:
            raise numbers.fail(f"a {name} points outside of 0 to {limit - 1}")
    return LandmarkWeights(
        _frozen(mean_shape.reshape(-1, 2)),
        _frozen(first),
        _frozen(second),
        _frozen(np.ldexp(splits[..., 2].astype(np.float64), splits[..., 3]).astype(np.float32)),
        _frozen(np.stack([leaves for _, leaves in trees])),
        _frozen(anchors),
        _frozen(deltas.reshape(forests, pixels, 2)),
    )


def _matrix(numbers: Numbers, what: str) -> NDArray[np.float32]:
    rows = -numbers.integer(f"rows of {what}")  # negative sizes mark dlib's newer matrix format
    if not 0 < rows <= _MOST or rows % 2:
        raise numbers.fail(f"{what} has {rows} rows, expected two a point")
    numbers.expect(-1, f"columns of {what}")
    return numbers.reals(rows, what).astype(np.float32)


def _trees(numbers: Numbers, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """One forest: splits int64 (t, 15, 4), leaves float32 (t, 16, size). All trees have one depth."""
    count = numbers.count("number of trees", 1, _MOST)
    leaf = 2 + 2 * size
    rows = numbers.integers(count * (2 + SPLITS * 4 + LEAVES * leaf), "trees").reshape(count, -1)
    splits = rows[:, 1 : 1 + SPLITS * 4].reshape(count, SPLITS, 4)
    leaves = rows[:, 2 + SPLITS * 4 :].reshape(count, LEAVES, leaf)
    if (
        (rows[:, 0] != SPLITS).any()
        or (rows[:, 1 + SPLITS * 4] != LEAVES).any()
        or (leaves[..., :2] != (-size, -1)).any()
        or (np.abs(splits[..., 3]) > 1000).any()
    ):
        raise numbers.fail(f"a tree has not {SPLITS} splits and {LEAVES} leaves of {size} numbers")
    pairs = leaves[..., 2:].reshape(count, LEAVES, size, 2)
    return splits, numbers.as_reals(pairs, "leaves").astype(np.float32)


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
