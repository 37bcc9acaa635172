"""Pictures of masks and controls for judges outside of datamask: people, telephones, services."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.rendering.views import Views, sample_views
from services.shape.catalog import DEFAULT_BASIS, facts_of
from worker.examination.controls import Subject, noise_beside, noise_of, twins_of
from worker.examination.verify import RANDOM_SPREAD, Claim, subjects_of
from worker.eye import Eye

SIDE_PX = 640


@dataclass(frozen=True)
class Still:
    """One picture. subject: mask id or control; kind: elite, neutral, first, random, noise; for people twin
    and head, too. pixels: uint8 (S, S, 3). mask: which one of the subject's it shows, where it has several.

    Stills 2i and 2i + 1 of a subject show one head.
    """

    subject: str
    kind: str
    pixels: NDArray[np.uint8]
    mask: str = ""


def stills(claim: Claim, each: int, seed: int, size_px: int = SIDE_PX) -> list[Still]:
    """``each`` pictures (an even number) of every elite and control, under held-out views.

    Larger than what the search saw, with its angles, lights and distances.
    """
    views = _views(claim, each, seed, size_px)
    eye = Eye(claim.basis)
    found = []
    for subject in subjects_of(replace(claim, seed=seed, noise=0), each):
        found += _drawn(eye, subject, views)
    return found


def stills_for_people(claim: Claim, each: int, seed: int, size_px: int = SIDE_PX) -> list[Still]:
    """As :func:`stills`, but so that people's answers can be held against controls: there are as many
    pictures of sign-scrambled twins, of noise and of random heads as of elites.

    Twins and noise are their own mirror images where the elites are. Heads are of the basis, or where that
    has no face of the usual head.
    """
    views = _views(claim, each, seed, size_px)
    rng = np.random.default_rng([seed, 2])
    eye, pairs = Eye(claim.basis), each // 2
    symmetry = eye.basis.facts.symmetry
    of_heads = eye if facts_of(claim.basis).face else Eye(DEFAULT_BASIS)
    subjects = subjects_of(replace(claim, seed=seed, noise=0), each)
    found = []
    for subject in subjects:
        if subject.kind in ("elite", "neutral", "first"):
            found += _drawn(eye, subject, views)
    for name, genome in claim.elites:
        twins = twins_of(rng, genome, symmetry, pairs)
        found += _drawn(eye, Subject(f"twins of {name}", "twin", twins.repeat(2, axis=0)), views)
        noise = noise_beside(rng, genome, symmetry, pairs, claim.spread, claim.limit)
        found += _drawn(eye, Subject(f"noise beside {name}", "noise", noise.repeat(2, axis=0)), views)
        heads = noise_of(rng, len(of_heads.basis.gene_names), pairs, RANDOM_SPREAD, np.inf).genomes
        found += _drawn(of_heads, Subject(f"heads beside {name}", "head", heads.repeat(2, axis=0)), views)
    return found


def _views(claim: Claim, each: int, seed: int, size_px: int) -> Views:
    views = sample_views(replace(claim.ranges, size_px=size_px), each, seed)
    return views.take(np.random.default_rng(seed).permutation(each))


def _drawn(eye: Eye, subject: Subject, views: Views) -> list[Still]:
    """A subject's pictures, genome k under view k; where it has several masks they are told by number."""
    pictures = eye.each(subject.genomes, views).images.numpy()
    one = subject.kind in ("elite", "neutral", "first")
    return [
        Still(subject.name, subject.kind, picture, subject.name if one else f"{subject.name}, {k // 2 + 1}")
        for k, picture in enumerate(pictures)
    ]
