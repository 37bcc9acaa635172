"""Numbers that tell one mask from another, whatever a machine makes of it. A basis says which it has.

abstraction: how far a mask is from the neutral head: the root mean square distance of their vertices,
in mm, after the mask was moved and scaled to lie on the head as closely as it can.
relief: how far it is from the blank: the root mean square displacement of its vertices, in mm.
asymmetry: how far it is from its own mirror image, as root mean square, in mm, at abstraction's scale.
expression: how much of what was moved was moved by the brows, eyelids and mouth, from 0 to 1: their part's
root mean square displacement, over the sum of theirs and of all other genes'.
roughness: how many waves the relief has on 10 cm: its root mean square slope along the edges over the relief
and over 2 pi.

A mask's vertices are linear in the positive and negative parts of its weights (Decoder), so that each of
these is a quadratic form of twice as many numbers as there are genes: no vertex is computed, and a thousand
masks take some milliseconds. They depend on the genome alone. Whoever has it has them: they are in no batch
and in no score, and the coordinator, which has no torch, computes them where it needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.shape.basis import Basis, load_basis
from services.shape.catalog import facts_of

# What moves when a face shows a feeling. The basis has no genes of expressions as such.
_EXPRESSIVE = (
    "eyebrows-",
    "mouth-angles-",
    "mouth-dimples-",
    "mouth-laugh-lines-",
    "mouth-lowerlip-",
    "mouth-upperlip-",
    "mouth-scale-",
    "chin-jaw-drop-",
    "asym-brown-",
    "asym-mouth-",
)
_EXPRESSIVE_OF_AN_EYE = ("eye-eyefold-", "eye-height")

_MM = 1000.0
_SPAN_M = 0.1  # that roughness counts waves on
# Sums of floats differ in their last bits between machines. Rounded to a tenth of a micrometer they do not,
# but for one mask in some millions.
_DIGITS = 4

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class _Forms:
    """Quadratic forms in the signed weights s (2 G,), of a basis with V vertices, in meters.

    size: mean square of the zero mask around its center. along (2G,): mean product of zero and displacement.
    moved (2G, 2G): mean square of a displacement around its center. mirrored (2G, 2G): of what a displacement
    lacks of its mirror image. shown, rest (2G, 2G): of displacements by expressive genes and by all others.
    raised (2G, 2G): mean square of a displacement. sloped (2G, 2G): of its slope along the edges.
    """

    size: float
    along: Doubles
    moved: Doubles
    mirrored: Doubles
    shown: Doubles
    rest: Doubles
    raised: Doubles
    sloped: Doubles


def is_expressive(gene: str) -> bool:
    """Whether a gene moves brows, eyelids or mouth as an expression does."""
    return gene.startswith(_EXPRESSIVE) or gene[2:].startswith(_EXPRESSIVE_OF_AN_EYE)


def mirror_map(neutral: NDArray[np.floating], tolerance_m: float = 1e-4) -> NDArray[np.int64]:
    """For each vertex (V, 3) in meters the one on the other side (X mirrored), (V,); its own inverse.

    :raises CorruptData: if a vertex has no partner within ``tolerance_m``: the head is not symmetric.
    """
    points = np.asarray(neutral, np.float64)
    twins = points * np.array([-1.0, 1.0, 1.0])
    nearest = np.empty(len(points), np.int64)
    worst = 0.0
    for start in range(0, len(points), 256):
        apart = np.linalg.norm(twins[start : start + 256, None] - points[None], axis=2)
        nearest[start : start + 256] = apart.argmin(axis=1)
        worst = max(worst, float(apart.min(axis=1).max()))
    if worst > tolerance_m or not np.array_equal(nearest[nearest], np.arange(len(points))):
        raise CorruptData(
            f"the basis's zero is not symmetric (a vertex has no partner within {tolerance_m * _MM:g} mm); "
            "asymmetry cannot be measured on this basis"
        )
    return nearest


@cache
def _forms(basis_id: str) -> _Forms:
    basis = load_basis(basis_id)
    count = len(basis.neutral)
    sides = np.concatenate([basis.positive, basis.negative]).astype(np.float64)  # (2G, V, 3)
    head = basis.neutral.astype(np.float64)
    head -= head.mean(axis=0)
    twin = mirror_map(basis.neutral)
    lack = sides - sides[:, twin] * np.array([-1.0, 1.0, 1.0])
    heights, slopes = sides.reshape(len(sides), -1), _slopes(basis, sides)
    raised = heights @ heights.T / count
    lack[:, :, 0] -= lack[:, :, 0].mean(axis=1, keepdims=True)  # a mask that lies aside is as symmetric
    sides = sides - sides.mean(axis=1, keepdims=True)
    flat, lack = sides.reshape(len(sides), -1), lack.reshape(len(sides), -1)
    expressive = np.tile([is_expressive(name) for name in basis.gene_names], 2)
    moved = flat @ flat.T / count
    return _Forms(
        size=float((head**2).sum() / count),
        along=flat @ head.reshape(-1) / count,
        moved=moved,
        mirrored=lack @ lack.T / count,
        shown=moved * np.outer(expressive, expressive),
        rest=moved * np.outer(~expressive, ~expressive),
        raised=raised,
        sloped=slopes @ slopes.T,
    )


def _slopes(basis: Basis, sides: Doubles) -> Doubles:
    """Slopes of displacements (k, V, 3) along the edges, (k, 3E), so that squares add up to their mean."""
    corners = basis.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = np.unique(np.sort(corners, axis=1), axis=0)
    one, two = edges.T
    lengths = np.linalg.norm(basis.neutral[one].astype(np.float64) - basis.neutral[two], axis=1)
    slopes = (sides[:, one] - sides[:, two]) / lengths[:, None]
    found: Doubles = slopes.reshape(len(sides), -1) / np.sqrt(len(edges))
    return found


def character(basis_id: str, genomes: NDArray[np.floating]) -> Doubles:
    """The measures of masks, float64 (n, m), in the order in which the basis's facts name them.

    :param genomes: (n, G) weights, in the order of the basis's genes. Where a weight is not finite, the
        mask's numbers are nan.
    :raises BadInput: for an unknown basis; :raises CorruptData: for one that is damaged, or not symmetric.
    """
    forms = _forms(basis_id)
    weights = np.asarray(genomes, np.float64)
    finite = np.asarray(np.isfinite(weights).all(axis=1))
    weights = np.where(finite[:, None], weights, 0.0)
    signed = _signed(weights)
    measured = [_MEASURED[measure.name](forms, signed) for measure in facts_of(basis_id).measures]
    found = np.asarray(np.round(np.stack(measured, axis=1), _DIGITS), np.float64)
    found[~finite] = np.nan
    return found


def apart_mm(basis_id: str, some: NDArray[np.floating], others: NDArray[np.floating]) -> Doubles:
    """How far masks lie apart: root mean square distance of their vertices, in mm, (n, k).

    :param some, others: genomes (n, G) and (k, G).
    """
    form = _forms(basis_id).raised
    one, two = _signed(np.asarray(some, np.float64)), _signed(np.asarray(others, np.float64))
    found = [_square(one - each, form) for each in two]
    return np.asarray(_MM * np.sqrt(np.stack(found, axis=1)), np.float64)


def _signed(weights: Doubles) -> Doubles:
    """The positive and the negative parts of weights (n, G), (n, 2G): vertices are linear in these."""
    return np.concatenate([np.maximum(weights, 0.0), np.maximum(-weights, 0.0)], axis=1)


def _scale(forms: _Forms, signed: Doubles) -> tuple[Doubles, Doubles]:
    """The scale that brings a mask closest to zero, and what then is left of it, mean square in m^2.

    The mask around its center is x = h + d, h the zero mask, d = s . sides. The scale a that brings a x
    closest to h is <x, h> / <x, x>, and what then is left is <h, h> - <x, h>^2 / <x, x>.
    """
    with_zero = forms.size + signed @ forms.along
    own = with_zero + signed @ forms.along + _square(signed, forms.moved)
    return with_zero / own, np.maximum(forms.size - with_zero**2 / own, 0.0)


def _abstraction(forms: _Forms, signed: Doubles) -> Doubles:
    return _MM * np.sqrt(_scale(forms, signed)[1])


def _relief(forms: _Forms, signed: Doubles) -> Doubles:
    return _MM * np.sqrt(_square(signed, forms.raised))


def _asymmetry(forms: _Forms, signed: Doubles) -> Doubles:
    return _MM * np.abs(_scale(forms, signed)[0]) * np.sqrt(_square(signed, forms.mirrored))


def _expression(forms: _Forms, signed: Doubles) -> Doubles:
    shown, rest = np.sqrt(_square(signed, forms.shown)), np.sqrt(_square(signed, forms.rest))
    return np.asarray(shown / np.maximum(shown + rest, 1e-12), np.float64)


def _roughness(forms: _Forms, signed: Doubles) -> Doubles:
    slope, relief = np.sqrt(_square(signed, forms.sloped)), np.sqrt(_square(signed, forms.raised))
    return np.asarray(_SPAN_M / (2 * np.pi) * slope / np.maximum(relief, 1e-12), np.float64)


_MEASURED: Mapping[str, Callable[[_Forms, Doubles], Doubles]] = {
    "abstraction": _abstraction,
    "relief": _relief,
    "asymmetry": _asymmetry,
    "expression": _expression,
    "roughness": _roughness,
}


def _square(signed: Doubles, form: Doubles) -> Doubles:
    """s^T Q s for each row (n,), never below 0."""
    value: Doubles = np.maximum(np.einsum("nk,nk->n", signed @ form, signed), 0.0)
    return value
