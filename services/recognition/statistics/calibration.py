"""What a recognizer's thresholds mean on renders: measured, written down, read back.

A *set* is one kind of pair: two rendered people, a rendered one and a photographed one, two photographed
ones; heads of different spread are sets apart. Thresholds of one set do not hold for another. Where all is
about one person, rendered people are compared with that person's photographs: who passes for *this* person,
how often? Speaker verification calls that a client-specific threshold.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition.model import ModelInfo
from services.recognition.statistics.rates import (
    Float,
    Rate,
    Threshold,
    equal_error,
    exact_rate,
    false_accepts,
    false_rejects,
    needed_pairs,
    threshold_at,
)
from services.storage.store import Store

FORMAT = 1
FARS = (1e-2, 1e-3, 1e-4)
BIN = 0.01  # width of a histogram's bins, in the model's own units

RENDERS, MIXED, PHOTOS = "render-render", "render-photo", "photo-photo"
PERSON = "other heads against this person's photographs"


@dataclass(frozen=True)
class TooFewPairs:
    """A FAR that the pairs cannot carry, and how many independent pairs could."""

    far: float
    needed: int


@dataclass(frozen=True)
class Published:
    """What the threshold that a model was published with gives on these pairs."""

    threshold: float
    far: Rate
    frr: Rate | None


@dataclass(frozen=True)
class Histogram:
    """Counts of scores in bins of ``width`` from ``low`` on."""

    low: float
    width: float
    impostor: tuple[int, ...]
    genuine: tuple[int, ...]


@dataclass(frozen=True)
class PairSet:
    """One kind of pair. spread: of the rendered heads, None without one.

    detected: the share of heads that dlib's HOG sees, in a sample. found: how often both of an impostor pair
    are seen, and the thresholds of such pairs alone: what a machine that detects first would go by.
    """

    kind: str
    spread: float | None
    impostor_pairs: int
    genuine_pairs: int
    thresholds: tuple[Threshold, ...]
    refused: tuple[TooFewPairs, ...]
    published: Published | None
    equal_error: float | None
    median_impostor: float
    median_genuine: float | None
    histogram: Histogram
    detected: Rate | None = None
    found: PairSet | None = None

    @property
    def title(self) -> str:
        """``render-render, spread 0.4``."""
        return self.kind if self.spread is None else f"{self.kind}, spread {self.spread:g}"

    def at(self, far: float) -> float | None:
        """The threshold at a FAR, None where the pairs do not carry it."""
        return next((t.threshold for t in self.thresholds if t.far == far), None)


@dataclass(frozen=True)
class Calibration:
    """The sets of one model. probe: embedding of the neutral head, which tells whether it still holds.

    alignment: where five points come from, in words. provenance: command, seed, views, versions.
    """

    model: str
    model_sha256: str
    similarity: bool
    alignment: str
    probe: tuple[float, ...]
    sets: tuple[PairSet, ...]
    provenance: Mapping[str, Any]

    def nearest(self, kind: str, spread: float) -> PairSet | None:
        """The set of that kind whose heads' spread is nearest to ``spread``."""
        of_kind = [s for s in self.sets if s.kind == kind]
        return min(of_kind, key=lambda s: abs((s.spread or 0.0) - spread), default=None)

    def encoded(self) -> bytes:
        """JSON bytes."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False).encode() + b"\n"


def measure_set(
    kind: str,
    spread: float | None,
    impostor: Float,
    genuine: Float,
    published: float | None,
    similarity: bool = False,
    fars: Sequence[float] = FARS,
) -> PairSet:
    """Thresholds, intervals and histogram of one kind of pair.

    impostor: (n,) scores of independent impostor pairs, n at least 1. genuine: (m,), m may be 0. A FAR that n
    cannot carry is refused, not estimated.
    """
    carried = [far for far in fars if len(impostor) >= needed_pairs(far)]
    own = genuine if len(genuine) else None
    return PairSet(
        kind=kind,
        spread=spread,
        impostor_pairs=len(impostor),
        genuine_pairs=len(genuine),
        thresholds=tuple(threshold_at(impostor, far, own, similarity) for far in carried),
        refused=tuple(TooFewPairs(far, needed_pairs(far)) for far in fars if far not in carried),
        published=None
        if published is None
        else Published(
            published,
            false_accepts(impostor, published, similarity),
            None if own is None else false_rejects(own, published, similarity),
        ),
        equal_error=None if own is None else equal_error(impostor, own, similarity)[0],
        median_impostor=float(np.median(impostor)),
        median_genuine=None if own is None else float(np.median(own)),
        histogram=_histogram(impostor, genuine),
    )


def set_of(
    info: ModelInfo, kind: str, spread: float | None, impostor: Float, genuine: Float | None = None
) -> PairSet:
    """:func:`measure_set` in a model's own units, with its published threshold if there is one."""
    published = info.threshold if math.isfinite(info.threshold) else None
    own = np.zeros(0, np.float32) if genuine is None else genuine
    return measure_set(kind, spread, impostor, own, published, info.measure == "similarity")


def detected_share(detected: NDArray[np.bool_]) -> Rate | None:
    """Share of heads that a detector sees, None where nobody looked. detected: bool (n,)."""
    return exact_rate(int(np.sum(detected)), len(detected)) if len(detected) else None


def file_name(model: str) -> str:
    """A model's name as a file's: ``onnx:faces/a.onnx`` is ``onnx-faces-a.onnx``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip(".-")


def shipped(model: str) -> Calibration | None:
    """The calibration of a built-in model that comes with datamask, None where there is none."""
    file = resources.files("services.recognition") / "data" / "calibration" / f"{file_name(model)}.json"
    if not file.is_file():
        return None
    return decode_calibration(file.read_bytes(), f"shipped calibration of {model}")


def calibration_of(run: Store, model: str) -> Calibration | None:
    """A run's own calibration (``datamask calibrate --run``), else the shipped one, else None."""
    key = f"calibration/{file_name(model)}.json"
    if run.exists(key):
        return decode_calibration(run.get(key), f"{run.url}/{key}")
    return shipped(model)


def decode_calibration(data: bytes, where: str) -> Calibration:
    """The inverse of :meth:`Calibration.encoded`. :raises CorruptData: if it is not one."""
    try:
        values = json.loads(data)
        if values.pop("format") != FORMAT:
            raise ValueError("format")
        values["sets"] = tuple(_pair_set(v) for v in values["sets"])
        values["probe"] = tuple(map(float, values["probe"]))
        return Calibration(**values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptData(
            f"{where}: not a calibration of this version ({error!r}); make it anew: datamask calibrate MODEL"
        ) from None


def _histogram(impostor: Float, genuine: Float) -> Histogram:
    both = np.concatenate([np.asarray(impostor, np.float64), np.asarray(genuine, np.float64)])
    low = np.floor(both.min() / BIN) * BIN
    count = max(1, int(np.floor((both.max() - low) / BIN)) + 1)
    edges = low + BIN * np.arange(count + 1)
    counts = [tuple(np.histogram(scores, edges)[0].tolist()) for scores in (impostor, genuine)]
    return Histogram(float(round(low, 6)), BIN, counts[0], counts[1])


def _pair_set(values: Mapping[str, Any]) -> PairSet:
    filled = dict(values)
    filled["thresholds"] = tuple(_threshold(t) for t in values["thresholds"])
    filled["refused"] = tuple(TooFewPairs(**r) for r in values["refused"])
    histogram = values["histogram"]
    filled["histogram"] = Histogram(
        histogram["low"], histogram["width"], tuple(histogram["impostor"]), tuple(histogram["genuine"])
    )
    if (published := values["published"]) is not None:
        filled["published"] = Published(
            published["threshold"], Rate(**published["far"]), _rate(published["frr"])
        )
    filled["detected"] = _rate(values["detected"])
    filled["found"] = None if values["found"] is None else _pair_set(values["found"])
    return PairSet(**filled)


def _threshold(values: Mapping[str, Any]) -> Threshold:
    return Threshold(**{**values, "seen": Rate(**values["seen"]), "frr": _rate(values["frr"])})


def _rate(values: Mapping[str, Any] | None) -> Rate | None:
    return None if values is None else Rate(**values)
