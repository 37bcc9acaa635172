"""A picture of the proof's elites: ``python -m bench.noise_sheet``. Twenty searches, each from its own noise.

Reads what the proof left in docs/evidence-noise: genes and, where dlib's own code has been asked, in how many
of the held-out views it sees a face by HOG and by MMOD, in one place. All of them hang, by their seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.evidence import ROOT
from bench.noise_proof.__main__ import DATA
from bench.noise_proof.looks import TOGETHER
from bench.noise_proof.settings import PROOF
from services.exhibition.lineup import Caption, lineup
from services.exhibition.studio import Studio, one_by_one
from services.shape.basis import load_basis
from services.shape.decode import Decoder


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser("python -m bench.noise_sheet", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "noise-proof.jpg")
    parser.add_argument("--width", type=int, default=1800, help="pixels (default 1800)")
    options = parser.parse_args()
    csv.field_size_limit(1 << 20)
    with (DATA / "elites.csv").open(newline="") as file:
        elites = [row for row in csv.DictReader(file) if row["search"].startswith("noise-")]
    found = json.loads((DATA / "findings.json").read_text())["elites"]
    seen = {f"noise-{row['seed']}": row["usual"][TOGETHER] for row in found}

    basis = load_basis(PROOF.usual.mask.basis)
    studio = Studio(basis.triangles, basis.facts.center_m, finer=1)
    genomes = np.array([row["genes"].split() for row in elites], np.float32)
    lit = one_by_one(studio.light, Decoder(basis).decode(torch.from_numpy(genomes)).numpy())
    captions = []
    for row in elites:
        rate = seen.get(row["search"])
        said = () if rate is None else (("both see a face in", f"{rate:.0%} of views"),)
        captions.append(Caption(row["search"].replace("noise-", "seed "), said))
    picture = lineup(lit, captions, "Twenty noises, twenty faces", width_px=options.width)
    Image.fromarray(picture).save(options.out, quality=88)
    print(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
