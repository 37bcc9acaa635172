"""Builds the data file of ``eigenfaces`` from renders: ``python -m worker.examination.build_eigenfaces``.

Prints the hash that services/recognition/models/eigenfaces.py has to pin. Only for a new basis; the committed
file is what everyone uses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.classical.eigenfaces import COMPONENTS, face_space
from services.recognition.classical.gray import small_chips
from services.recognition.template import POINT_NAMES
from services.rendering.views import ViewRanges, sample_views
from services.shape.catalog import basis_info
from worker.eye import Eye

BASIS = "makehuman-mask-1"
HEADS = 400
VIEWS = 5
SPREAD = 0.4
SEED = 1991


def faces(heads: int = HEADS, views: int = VIEWS, seed: int = SEED) -> NDArray[np.float32]:
    """Aligned gray faces float32 (heads * views, 3136): genes N(0, 0.4), each head under views of its own."""
    eye = Eye(BASIS, points=POINT_NAMES)
    random = np.random.Generator(np.random.PCG64(seed))
    found = []
    for head in range(heads):
        genes = random.normal(0, SPREAD, (1, len(eye.basis.gene_names))).astype(np.float32)
        _, rendered = eye.every(genes, sample_views(ViewRanges(), views, seed + head))
        found.append(small_chips(rendered.images[0], rendered.points_px[0]).flatten(1).numpy())
    return np.concatenate(found)


def main() -> None:
    """Write the data file and its provenance."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder = Path(__file__).parents[2] / "services" / "recognition" / "data"
    parser.add_argument("--out", type=Path, default=folder / "eigenfaces-1.npz")
    path: Path = parser.parse_args().out
    torch.set_num_threads(1)
    data = face_space(faces()).encoded()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    made_from = {
        "data": "mean and principal axes of aligned gray renders of random heads: nobody's face",
        "script": "python -m worker.examination.build_eigenfaces",
        "basis": {"id": BASIS, "sha256": basis_info(BASIS).sha256},
        "heads": HEADS,
        "views_of_each": VIEWS,
        "spread": SPREAD,
        "seed": SEED,
        "components": COMPONENTS,
        "licence": "CC0-1.0",
        "sha256": sha256,
    }
    path.with_suffix(".provenance.json").write_text(json.dumps(made_from, indent=1) + "\n")
    print(f"{path}: {len(data):,} bytes, sha256 {sha256}")


if __name__ == "__main__":
    main()
