"""What elites are measured against: the basis as it is, the first generation's best, noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.recognition.dlib.audit import audit, hog_scores
from services.recognition.statistics.rates import wilson_rate
from services.rendering.views import Views
from services.shape.facts import Facts
from services.shape.symmetry import Symmetry
from worker.examination.panel import AUDIT
from worker.eye import Eye

Float = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Said = Callable[[Pixels, Float], list[bool]]  # of images (n, S, S, 3) and the mask's boxes (n, 4)

_AT_ONCE = 64  # pictures in memory
DISTANCES = (0.6, 0.45)  # dlib's published threshold, and a stricter one


@dataclass(frozen=True)
class Subject:
    """Who is looked at. kind: elite, neutral, first, random or noise. genomes: float32 (n, d), one a picture;
    where pictures are paired, 2i and 2i + 1 show one mask.
    """

    name: str
    kind: str
    genomes: Float


def zero_of(facts: Facts, genes: int, count: int) -> Subject:
    """What weights of zero give, in ``count`` pictures: "neutral head", "blank"."""
    return Subject(facts.zero.removeprefix("the "), "neutral", np.zeros((count, genes), np.float32))


def first_of(name: str, genome: Float, count: int) -> Subject:
    """The best mask of generation 0, in ``count`` pictures."""
    return Subject(f"best of generation 0, {name}", "first", np.repeat(genome[None], count, axis=0))


def noise_of(rng: np.random.Generator, genes: int, count: int, spread: float, limit: float) -> Subject:
    """``count`` noise masks: genes N(0, spread), held within the limit as the run holds its own."""
    drawn = rng.standard_normal((count, genes), dtype=np.float32) * np.float32(spread)
    return Subject(f"noise, spread {spread:g}", "noise", np.clip(drawn, -limit, limit))


def twins_of(rng: np.random.Generator, genome: Float, symmetry: Symmetry, count: int) -> Float:
    """Sign-scrambled twins (count, d) of a genome (d,): each gene as large as it is, its sign drawn.

    A gene and its mirror image get one sign, so that twins have the mask's own sides, alike or not: whoever
    looks would tell them by that.
    """
    signs: Float = rng.choice(np.array([-1.0, 1.0], np.float32), (count, len(genome)))
    signs[:, symmetry.twin[symmetry.free]] = signs[:, symmetry.free]
    return genome * signs


def noise_beside(
    rng: np.random.Generator, genome: Float, symmetry: Symmetry, count: int, spread: float, limit: float
) -> Float:
    """``count`` noise masks (count, d) as :func:`noise_of` draws them, but their own mirror images where the
    mask of the genome (d,) is.
    """
    genes = noise_of(rng, len(genome), count, spread, limit).genomes
    if np.allclose(symmetry.mirrored(genome), genome, atol=1e-6):
        genes = symmetry.unfolded(genes[:, symmetry.free]).astype(np.float32)
    return genes


@dataclass(frozen=True)
class Witnesses:
    """Who is asked about masks when a run ends: dlib's own pipeline, and detectors.

    :param detectors: by side ("fitted", "critic") and name. target: dlib's embeddings (k, 128) of the person
        whom masks are to be, or None: then nothing is compared.
    """

    detectors: Mapping[tuple[str, str], Said]
    target: Float | None = None

    def rows(self, subject: Subject, eye: Eye, views: Views) -> list[dict[str, Any]]:
        """What each says of a subject, one genome a view, as the rows of ``verify.json`` have it."""
        seen: list[bool] = []
        distances: list[float] = []
        said: dict[tuple[str, str], list[bool]] = {who: [] for who in self.detectors}
        for first in range(0, len(views), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            pictures = eye.each(subject.genomes[part], views.take(part))
            images, regions = pictures.images.numpy(), pictures.box_px.numpy()
            if self.target is None:  # nobody to compare with: the detector alone, which takes no time
                seen += np.isfinite(hog_scores(images, regions)).tolist()
            else:
                verdicts = audit(images, self.target, regions)
                seen += [v.detected for v in verdicts]
                distances += [np.inf if v.distance is None else v.distance for v in verdicts]
            for who, ask in self.detectors.items():
                said[who] += ask(images, regions)
        rows = rates_of(seen, None if self.target is None else distances, said)
        return [{"subject": subject.name, "kind": subject.kind, **row} for row in rows]


def rates_of(
    seen: Sequence[bool], distances: Sequence[float] | None, said: Mapping[tuple[str, str], Sequence[bool]]
) -> Iterator[dict[str, Any]]:
    """Rows of one subject's rates, from n pictures.

    :param seen: in which of them dlib's own pipeline sees a face. distances: to the person, inf without a
        face; None where there is nobody. said: in which a detector sees one, by side and name.
    """
    yield {"machine": AUDIT, "side": AUDIT, "what": "detect", "rate": _rate(seen)}
    if distances is not None:
        matches = [
            {"name": f"below {cut:g}", "threshold": cut, "rate": _rate([d < cut for d in distances])}
            for cut in DISTANCES
        ]
        yield {"machine": AUDIT, "side": AUDIT, "what": "match", "matches": matches}
    for (side, name), verdicts in said.items():
        yield {"machine": name, "side": side, "what": "detect", "rate": _rate(verdicts)}


def _rate(hits: Sequence[bool]) -> dict[str, Any]:
    return asdict(wilson_rate(sum(hits), len(hits)))
