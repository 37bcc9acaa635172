"""Pictures of masks and controls for judges outside of datamask: people, telephones, services."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.rendering.views import sample_views
from worker.examination.verify import Claim, subjects_of
from worker.eye import Eye

SIDE_PX = 640


@dataclass(frozen=True)
class Still:
    """One picture. subject: mask id or control; kind: elite, neutral, first, random, noise. pixels: uint8
    (S, S, 3).

    Stills 2i and 2i + 1 of a subject show one head.
    """

    subject: str
    kind: str
    pixels: NDArray[np.uint8]


def stills(claim: Claim, each: int, seed: int, size_px: int = SIDE_PX) -> list[Still]:
    """``each`` pictures (an even number) of every elite and control, under held-out views.

    Larger than what the search saw, with its angles, lights and distances.
    """
    ranges = replace(claim.ranges, size_px=size_px)
    views = sample_views(ranges, each, seed)
    views = views.take(np.random.default_rng(seed).permutation(each))
    eye = Eye(claim.basis)
    found = []
    for subject in subjects_of(replace(claim, seed=seed, noise=0), each):
        pictures = eye.each(subject.genomes, views).images.numpy()
        found += [Still(subject.name, subject.kind, picture) for picture in pictures]
    return found
