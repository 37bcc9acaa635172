"""``python -m bench.classical``: where the thresholds of lbp, eigenfaces and otsdf in the catalog come from.

Renders of 90 random heads (genes N(0, 0.4)) in two views each: distances between different heads and between
two views of one, and what the filter of the neutral head answers to them. No photograph is involved.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.template import POINT_NAMES
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from worker.examination.targets import build_filter

BASIS = "makehuman-mask-1"
HEADS = 90
SPREAD = 0.4


def renders() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures uint8 (180, 160, 160, 3), two of each head in turn, and landmarks float32 (180, 5, 2)."""
    basis = load_basis(BASIS)
    decoder = Decoder(basis)
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    points = decoder.landmark_indices(POINT_NAMES)
    random = np.random.default_rng(7)
    images, marks = [], []
    for head in range(HEADS):
        genes = random.normal(0, SPREAD, (1, len(basis.gene_names))).astype(np.float32)
        views = sample_views(ViewRanges(), 2, 1000 + head)
        rendered = renderer.render(decoder.decode(torch.from_numpy(genes)), views, points)
        images.append(rendered.images[0])
        marks.append(rendered.points_px[0])
    return torch.cat(images), torch.cat(marks)


def main() -> int:
    """Print quantiles."""
    images, points = renders()
    first, second = np.triu_indices(len(images), 1)
    same = first // 2 == second // 2
    for name in ("lbp", "eigenfaces"):
        machine = catalog.recognizer(name)
        apart = machine.unlikeness(machine.embed(images, points)).numpy()[first, second]
        others, own = apart[~same], apart[same]
        limit = float(np.quantile(others, 0.01))
        print(
            f"{name}: 1 in 100 of {len(others):,} pairs of different heads lie below {limit:.2f}, and "
            f"{np.mean(own < limit):.0%} of {len(own)} pairs of one head; medians {_median(others)} and "
            f"{_median(own)}"
        )
    filters = catalog.correlator("otsdf")
    answers = filters.score(images, points, torch.from_numpy(build_filter([], "otsdf", BASIS)[0])).numpy()
    print(
        f"otsdf: 1 in 100 of {len(answers)} pictures of random heads answer above "
        f"{np.quantile(answers, 0.99):.1f} to the filter of the neutral head; median {_median(answers)}"
    )
    return 0


def _median(values: NDArray[np.float32]) -> str:
    return f"{np.median(values):.2f}"


if __name__ == "__main__":
    sys.exit(main())
