"""Reads the regression forests of dlib's 5-point landmark predictor.

The file is a row of integers (a control byte, low 4 bits: byte count, top bit: sign; then little-endian
bytes), in the order of dlib's serialize() for ``shape_predictor``: version, mean shape, forests, and for each
forest the pixels that it looks at, as an anchor point and a displacement. Floats are mantissa and exponent.
Whatever is not exactly as expected raises CorruptData.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog

Number = TypeVar("Number", bound=np.generic)

DEPTH = 4
SPLITS = 2**DEPTH - 1
LEAVES = 2**DEPTH
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
    numbers = _Numbers(data, where)
    numbers.expect(1, "version")
    mean_shape = numbers.matrix("mean shape")
    size = len(mean_shape)
    forests = numbers.count("forests")
    trees = [numbers.trees(size) for _ in range(forests)]
    if len({len(splits) for splits, _ in trees}) > 1:
        raise numbers.fail("its forests have different numbers of trees")
    splits = np.stack([s for s, _ in trees])
    numbers.expect(forests, "number of anchor lists")
    anchors = np.stack([numbers.take(numbers.count("anchors")) for _ in range(forests)])
    numbers.expect(forests, "number of displacement lists")
    deltas = np.stack([numbers.reals(2 * numbers.count("displacements")) for _ in range(forests)])
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


class _Numbers:
    """All integers of a file, read at once; then taken one block after the other."""

    def __init__(self, data: bytes, where: str) -> None:
        self._where = where
        self._at = 0
        self._values = self._decode(data)

    def _decode(self, data: bytes) -> NDArray[np.int64]:
        starts: list[int] = []
        at, end = 0, len(data)
        note = starts.append
        while at < end:
            note(at)
            at += 1 + (data[at] & 0x0F)
        if at != end:
            raise self.fail("the file ends inside a number")
        start = np.array(starts, np.int64)
        raw = np.frombuffer(data, np.uint8)
        control = raw[start]
        size = control & 0x0F
        if len(start) == 0 or (control & 0x70).any() or size.min() < 1 or size.max() > 7:
            raise self.fail("it holds a number that is not one of dlib's")
        values = np.zeros(len(start), np.int64)
        for byte in range(int(size.max())):
            there = size > byte
            values[there] |= raw[start[there] + 1 + byte].astype(np.int64) << (8 * byte)
        return np.where(control & 0x80, -values, values)

    def fail(self, what: str) -> CorruptData:
        return CorruptData(
            f"{self._where}: {what} (number {self._at}); not a landmark predictor that datamask knows: "
            "install the weights again"
        )

    def take(self, count: int) -> NDArray[np.int64]:
        block = self._values[self._at : self._at + count]
        if len(block) != count:
            raise self.fail("the file ends too early")
        self._at += count
        return block

    def expect(self, value: int, what: str) -> None:
        found = int(self.take(1)[0])
        if found != value:
            raise self.fail(f"{what} is {found}, expected {value}")

    def expect_end(self) -> None:
        if self._at != len(self._values):
            raise self.fail(f"{len(self._values) - self._at} numbers are left over")

    def count(self, what: str) -> int:
        found = int(self.take(1)[0])
        if not 0 < found <= _MOST:
            raise self.fail(f"number of {what} is {found}")
        return found

    def reals(self, count: int) -> NDArray[np.float32]:
        return self._as_reals(self.take(2 * count).reshape(count, 2))

    def _as_reals(self, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        if (np.abs(pairs[..., 1]) > 1000).any():
            raise self.fail("a number is not finite")
        reals: NDArray[np.float32] = np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1]).astype(
            np.float32
        )
        return reals

    def matrix(self, what: str) -> NDArray[np.float32]:
        rows = -int(self.take(1)[0])  # negative sizes mark dlib's newer matrix format
        if not 0 < rows <= _MOST or rows % 2:
            raise self.fail(f"{what} has {rows} rows, expected two a point")
        self.expect(-1, f"columns of {what}")
        return self.reals(rows)

    def trees(self, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """One forest: splits int64 (t, 15, 4), leaves float32 (t, 16, size). All trees have one depth."""
        count = self.count("trees")
        leaf = 2 + 2 * size
        rows = self.take(count * (2 + SPLITS * 4 + LEAVES * leaf)).reshape(count, -1)
        splits = rows[:, 1 : 1 + SPLITS * 4].reshape(count, SPLITS, 4)
        leaves = rows[:, 2 + SPLITS * 4 :].reshape(count, LEAVES, leaf)
        if (
            (rows[:, 0] != SPLITS).any()
            or (rows[:, 1 + SPLITS * 4] != LEAVES).any()
            or (leaves[..., :2] != (-size, -1)).any()
            or (np.abs(splits[..., 3]) > 1000).any()
        ):
            raise self.fail(f"a tree has not {SPLITS} splits and {LEAVES} leaves of {size} numbers")
        return splits, self._as_reals(leaves[..., 2:].reshape(count, LEAVES, size, 2))


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
