"""From raw scores over views to one number per genome: margins, values, fitness. Numpy only.

Every quantity is on one scale: 0 at a model's threshold, positive beyond it, higher is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recognition.kinds import DETECT, KINDS, ObjectiveKind
from services.recognition.margins import DISTANCE_UNIT, FLOOR, Aggregate, value_over_views
from services.recognition.model import AnswerKind

Float = NDArray[np.float32]

CONSISTENT_FLOOR = FLOOR  # what a gated objective is worth where no detector sees a face: its scale's end


def label_of(kind: str, model: str, number: int) -> str:
    """Short name of an objective for tables and columns. number: of several of this kind and model."""
    name = model if kind == DETECT.name else f"{kind}:{model}"
    return name if number == 1 else f"{name}#{number}"


@dataclass(frozen=True)
class Objective:
    """One objective as scoring and fitness need it: no photographs, no names of people.

    kind: a name of :data:`services.recognition.kinds.KINDS`. threshold: in the model's
    own units. target: key of the reference embeddings in the run's store, where there are any.
    measure, scale: how the model's answers read, see ModelInfo; None is what dlib's have: a score in steps of
    1 for a detector, a distance in steps of 0.1 for a recognizer. aggregate, k, q: from views to one value,
    see margins.value_over_views. gate: whether its value sinks to the floor where no detector sees a face;
    None: for ``consistent`` only. number: which of several objectives of this kind and model, from 1.
    saturate: the part of its value above 0 that fitness counts, so that it cannot pay for another's refusal;
    None: all of it, but a quarter for ``together`` and ``refuse``.
    """

    kind: str
    model: str
    weight: float
    threshold: float
    target: str | None = None
    measure: AnswerKind | None = None
    scale: float | None = None
    aggregate: Aggregate = "mean-min"
    k: int = 1
    q: float = 0.25
    gate: bool | None = None
    number: int = 1
    saturate: float | None = None

    @property
    def known(self) -> ObjectiveKind:
        """What the table of kinds says of its kind. :raises ValueError: for a kind that is not in it."""
        if self.kind not in KINDS:
            raise ValueError(f"kind: unknown objective kind {self.kind!r}")
        return KINDS[self.kind]

    @property
    def label(self) -> str:
        """Short name for tables and columns."""
        return label_of(self.kind, self.model, self.number)

    @property
    def gated(self) -> bool:
        """Whether detection gates it."""
        return self.known.gated if self.gate is None else self.gate

    @property
    def slope(self) -> float:
        """The part of its value above 0 that fitness counts."""
        return self.known.slope if self.saturate is None else self.saturate

    @property
    def reading(self) -> tuple[AnswerKind, float]:
        """The measure and the scale of its margins."""
        measure = self.measure or ("distance" if self.known.machine == "recognize" else "score")
        usual = DISTANCE_UNIT if measure in ("distance", "similarity") else 1.0
        return measure, usual if self.scale is None else self.scale


def thresholds_of(objectives: Sequence[Objective]) -> dict[str, float]:
    """The threshold that each machine's answers count at: of several objectives of one, the first one's."""
    return {o.model: o.threshold for o in reversed(objectives)}


def gate(detect_values: Sequence[Float]) -> Float:
    """How far detectors see a face, from 0 to 1, smooth: logistic in the weakest detector's value.

    :param detect_values: one float32 (n,) per detector; with none the gate is open.
    """
    if not detect_values:
        return np.ones(1, np.float32)
    weakest = np.min(np.stack(detect_values), axis=0).astype(np.float64)
    opening: Float = (1.0 / (1.0 + np.exp(-6.0 * (weakest + 0.25)))).astype(np.float32)
    return opening


def margins(objective: Objective, raw: Float, between: Float | None = None) -> Float:
    """Margins float32 (n, v) of one objective from its raw scores float32 (n, v)."""
    measure, scale = objective.reading
    return objective.known.margins(raw, between, objective.threshold, measure, scale)


@dataclass(frozen=True)
class Fitness:
    """Of n genomes, float32: fitness (n,), values (n, objectives), margins (n, objectives, v).

    A genome that could not be scored has fitness -inf, and nan for all the rest.
    """

    fitness: Float
    values: Float
    margins: Float


def fitness(
    objectives: Sequence[Objective], raw: Sequence[Float], between: Float, scored: NDArray[np.bool_]
) -> Fitness:
    """Weighted mean of the objectives' values, saturated where they ask for it, for genomes that could be
    scored.

    :param raw: for each objective its raw scores float32 (n, v).
    :param between: float32 (n,), see :func:`services.recognition.margins.consistency_margin`.
    :param scored: bool (n,), False where a genome could not be scored.
    """
    all_margins = [margins(o, r, between) for o, r in zip(objectives, raw, strict=True)]
    values = [
        value_over_views(m, o.aggregate, o.k, o.q) for o, m in zip(objectives, all_margins, strict=True)
    ]
    opening = gate([v for o, v in zip(objectives, values, strict=True) if o.known.gates])
    for k, objective in enumerate(objectives):
        if objective.gated:
            bounded = np.maximum(values[k], CONSISTENT_FLOOR)
            values[k] = (CONSISTENT_FLOOR + opening * (bounded - CONSISTENT_FLOOR)).astype(np.float32)
    weights = np.array([o.weight for o in objectives], np.float32)
    stacked = np.stack(values, axis=1).astype(np.float32)
    slopes = np.array([o.slope for o in objectives], np.float32)
    counted = np.where(stacked > 0, stacked * slopes, stacked)
    total = (counted * (weights / weights.sum())).sum(axis=1, dtype=np.float32)
    each = np.stack(all_margins, axis=1).astype(np.float32)
    total[~scored], stacked[~scored], each[~scored] = -np.inf, np.nan, np.nan
    return Fitness(total, stacked, each)


# A distance D counts linearly; D^2 / (2 D0) falls as steeply at D0, here a little inside of the threshold.
_NEAR = 0.8


@dataclass(frozen=True)
class Residuals:
    """Which way n genomes miss their targets, float64.

    vectors: (n, q), all objectives' side by side, so that half the sum of their squares is about what fitness
    loses by missing. rest: (n,), what fitness is made of besides.
    """

    vectors: NDArray[np.float64]
    rest: NDArray[np.float64]


def weighted_residuals(
    objectives: Sequence[Objective], result: Fitness, missed: Mapping[int, Float]
) -> Residuals | None:
    """Residuals in fitness's scale, None where there are none.

    :param missed: by the number of an objective, float32 (n, d), see :class:`services.wire.plan.Scores`.
    """
    if not missed:
        return None
    total = sum(o.weight for o in objectives)
    rest = result.fitness.astype(np.float64)
    blocks = []
    for k, vectors in sorted(missed.items()):
        objective, share = objectives[k], objectives[k].weight / total
        measure, scale = objective.reading
        # Of unit vectors 1 - s = D^2 / 2, so that a similarity is a sum of squares as it is.
        steepness = 1.0 if measure == "similarity" else 1.0 / (_NEAR * objective.threshold)
        blocks.append(np.sqrt(share / scale * steepness) * vectors.astype(np.float64))
        rest = rest - share * result.values[:, k]
    return Residuals(np.concatenate(blocks, axis=1), rest)
