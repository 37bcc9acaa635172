"""Numbers for JSON, which has neither infinities nor nan."""

from __future__ import annotations

import math


def finite(value: float | None, digits: int | None = None) -> float | None:
    """The number, to so many digits behind the point where they are given; None where it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(value) if digits is None else round(float(value), digits)
