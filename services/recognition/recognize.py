"""What every face recognizer looks like from outside, and how two faces' numbers are compared."""

from __future__ import annotations

from typing import Protocol

import torch


class Recognizer(Protocol):
    """Turns a face into numbers that are near to each other for one person's faces."""

    @property
    def name(self) -> str:
        """The recognizer's name in the model catalog."""
        ...

    @property
    def points(self) -> tuple[str, ...]:
        """The landmarks that it aligns a face by, in order, as a basis names them (left: smaller x)."""
        ...

    @property
    def size(self) -> int:
        """How many numbers an embedding has."""
        ...

    def embed(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """Embeddings float32 (n, size) of the face at the landmarks.

        images: uint8 (n, H, W, 3), sRGB. points_px: float32 (n, k, 2), the landmarks ``points`` as x, y in
        continuous pixel coordinates (pixel centers at .5), on the same device. An embedding does not depend
        on how many images come along.
        """
        ...

    def compare(self, embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """float32 (...): each embedding (..., size) against one reference (size,), in the model's measure."""
        ...

    def unlikeness(self, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 (n, n): how far n embeddings (n, size) lie apart, 0 for the same.

        The measure itself where it is a distance; 1 less the similarity where it is one.
        """
        ...

    def center(self, references: torch.Tensor) -> torch.Tensor:
        """float32 (size,): the middle of several pictures of one face, references (k, size)."""
        ...

    def between(self, references: torch.Tensor) -> torch.Tensor:
        """float32 (size,): the face between several people's faces, references (k, size)."""
        ...


def euclidean(embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """L2 distance, float32 (...), of embeddings (..., d) to a reference (d,)."""
    return (embeddings - reference).square().sum(-1).sqrt()


def euclidean_pairs(embeddings: torch.Tensor) -> torch.Tensor:
    """L2 distances float32 (n, n); exact differences, not the expanded square, which loses small ones."""
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def cosine(embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Cosine similarity, float32 (...), of embeddings (..., d) to a reference (d,); 0 for a zero vector."""
    products = (embeddings * reference).sum(-1)
    lengths = embeddings.square().sum(-1).sqrt() * reference.square().sum(-1).sqrt()
    return products / lengths.clamp_min(1e-12)


def cosine_pairs(embeddings: torch.Tensor) -> torch.Tensor:
    """1 less the cosine similarity, float32 (n, n)."""
    unit = normalized(embeddings)
    return 1.0 - (unit[:, None] * unit[None]).sum(-1)


def on_sphere(references: torch.Tensor) -> torch.Tensor:
    """float32 (d,): the direction in the middle of references (k, d), at their mean length.

    Faces lie near a sphere about the origin; the plain mean of different people lies well inside of it, where
    no face is.
    """
    length = references.square().sum(-1).sqrt().mean()
    return normalized(normalized(references).sum(0)) * length


def normalized(embeddings: torch.Tensor) -> torch.Tensor:
    """Embeddings (..., d) at length 1."""
    return embeddings / embeddings.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)


class ComparesDirections:
    """How recognizers compare for which a face is a direction: by cosine similarity."""

    def compare(self, embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Cosine similarities."""
        return cosine(embeddings, reference)

    def unlikeness(self, embeddings: torch.Tensor) -> torch.Tensor:
        """1 less the cosine similarity of all pairs."""
        return cosine_pairs(embeddings)

    def center(self, references: torch.Tensor) -> torch.Tensor:
        """The middle on the sphere."""
        return on_sphere(references)

    def between(self, references: torch.Tensor) -> torch.Tensor:
        """The middle on the sphere, too: one person's pictures differ less, but in the same way."""
        return on_sphere(references)
