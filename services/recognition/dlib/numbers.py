"""How dlib writes numbers: the one reader of them.

An integer is a control byte (low four bits: how many bytes follow; top bit: sign) and then its bytes, lowest
first. A float is two integers, mantissa and exponent: mantissa * 2 ** exponent. Sources: dlib's
``serialize.h`` and ``float_details.h``. Whatever is not exactly as expected raises CorruptData.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData

# dlib keeps infinity and nan as exponents from 32000 on; no double has one beyond this.
_MOST_EXPONENT = 1100


class Numbers:
    """Takes one value after another off serialized bytes.

    :param where: names the bytes in errors. mend: what errors say that could help.
    """

    def __init__(self, data: bytes, where: str, mend: str) -> None:
        self._data, self._where, self._mend = data, where, mend
        self._at = 0

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def expect_end(self) -> None:
        """:raises CorruptData: if something is left."""
        if not self.at_end():
            raise self.fail(f"{len(self._data) - self._at} bytes left over")

    def fail(self, what: str) -> CorruptData:
        """The error to raise."""
        return CorruptData(f"{self._where}: byte {self._at} of {len(self._data)}: {what}; {self._mend}")

    def take(self, count: int, what: str) -> bytes:
        """Bytes as they are."""
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise self.fail(f"the file ends inside {what}")
        self._at += count
        return piece

    def integer(self, what: str) -> int:
        """One integer."""
        control = self.take(1, what)[0]
        size = control & 0x0F
        if not 1 <= size <= 8 or control & 0x70:
            raise self.fail(f"{what} starts with control byte 0x{control:02x}")
        value = int.from_bytes(self.take(size, what), "little")
        return -value if control & 0x80 else value

    def peek_integer(self) -> int:
        """The next integer, which stays where it is."""
        start = self._at
        value = self.integer("the next value")
        self._at = start
        return value

    def integers(self, count: int, what: str) -> NDArray[np.int64]:
        """Many integers of at most seven bytes, int64 (count,), as fast as it goes."""
        data, at, end = self._data, self._at, len(self._data)
        starts = []
        for _ in range(count):
            if at >= end:
                raise self.fail(f"the file ends inside {what}")
            starts.append(at)
            at += 1 + (data[at] & 0x0F)
        if at > end:
            raise self.fail(f"the file ends inside {what}")
        start, raw = np.array(starts, np.int64), np.frombuffer(data, np.uint8)
        control = raw[start]
        size = control & 0x0F
        if count and ((control & 0x70).any() or size.min() < 1 or size.max() > 7):
            raise self.fail(f"{what} hold a control byte that is not dlib's")
        values = np.zeros(count, np.int64)
        for byte in range(int(size.max(initial=0))):
            there = size > byte
            values[there] |= raw[start[there] + 1 + byte].astype(np.int64) << (8 * byte)
        self._at = at
        return np.where(control & 0x80, -values, values)

    def expect(self, expected: int, what: str) -> None:
        """:raises CorruptData: unless the next integer is the expected one."""
        found = self.integer(what)
        if found != expected:
            raise self.fail(f"{what} is {found}, expected {expected}")

    def count(self, what: str, low: int = 0, high: int = 1 << 20) -> int:
        """An integer within bounds, which guard against damaged ones."""
        value = self.integer(what)
        if not low <= value <= high:
            raise self.fail(f"{what} is {value}, expected {low} to {high}")
        return value

    def real(self, what: str) -> float:
        """One float."""
        mantissa, exponent = self.integer(f"mantissa of {what}"), self.integer(f"exponent of {what}")
        if abs(exponent) > _MOST_EXPONENT:
            raise self.fail(f"{what} is not finite")
        return math.ldexp(float(mantissa), exponent)

    def reals(self, count: int, what: str) -> NDArray[np.float64]:
        """Many floats, (count,)."""
        return self.as_reals(self.integers(2 * count, what).reshape(count, 2), what)

    def as_reals(self, pairs: NDArray[np.int64], what: str) -> NDArray[np.float64]:
        """Floats (...) of mantissas and exponents (..., 2)."""
        if (np.abs(pairs[..., 1]) > _MOST_EXPONENT).any():
            raise self.fail(f"{what}: a number is not finite")
        return np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1])
