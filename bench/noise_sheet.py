"""Pictures of the proof's elites: ``python -m bench.noise_sheet``.

    python -m bench.noise_sheet             twenty searches, each from its own noise
    python -m bench.noise_sheet ablation    three blanks, equal sides or free: a column a kind, a row a seed

Reads what the proof left in docs/evidence-noise: genes and, where dlib's own code has been asked, in how many
of the held-out views it sees a face by HOG and by MMOD, in one place. All of them hang, by their seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.evidence import ROOT
from bench.noise_proof.__main__ import DATA
from bench.noise_proof.looks import TOGETHER
from bench.noise_proof.settings import PROOF
from bench.noise_proof.stages import own_kind, spec_of
from services.exhibition.lineup import Caption, lineup
from services.exhibition.studio import LitMask, Studio, one_by_one
from services.shape.basis import load_basis
from services.shape.decode import Decoder

Shown = tuple[str, str, float | None]  # a search, what it is called, and the share of views


def proof(found: Mapping[str, Any]) -> list[Shown]:
    """The twenty."""
    seen = {row["seed"]: row["usual"][TOGETHER] for row in found["elites"]}
    return [(f"noise-{seed}", f"seed {seed}", seen.get(seed)) for seed in PROOF.seeds]


def ablation(found: Mapping[str, Any]) -> list[Shown]:
    """A row of kinds for each seed."""
    return [
        (
            f"{'noise' if row['kind'] == own_kind(PROOF) else row['kind']}-{seed}",
            f"{row['kind'].replace('-', ', ')}: {seed}",
            row["by_seed"].get(str(seed)),
        )
        for seed in PROOF.ablation_seeds
        for row in found["ablation"]
    ]


def lit(told: Sequence[tuple[str, str]]) -> list[LitMask]:
    """Masks under the studio's light, of a basis and genes as text each."""
    bases = {name: load_basis(name) for name, _ in told}
    made = {
        name: (Studio(basis.triangles, basis.facts.center_m, finer=1), Decoder(basis))
        for name, basis in bases.items()
    }
    masks = []
    for name, genes in told:
        studio, decoder = made[name]
        genome = np.array(genes.split(), np.float32)[None]
        masks += one_by_one(studio.light, decoder.decode(torch.from_numpy(genome)).numpy())
    return masks


SHEETS = {
    "proof": (proof, "Twenty noises, twenty faces", "noise-proof.jpg", 7),
    "ablation": (ablation, "What is given: three blanks, equal sides or free", "noise-ablation.jpg", 6),
}


def main() -> int:
    """Write a picture."""
    parser = argparse.ArgumentParser(
        "python -m bench.noise_sheet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sheet", nargs="?", choices=SHEETS, default="proof", help="which (proof)")
    parser.add_argument("--out", type=Path, help="default: in docs/images")
    parser.add_argument("--width", type=int, default=1800, help="pixels (default 1800)")
    options = parser.parse_args()
    chosen, title, name, columns = SHEETS[options.sheet]
    out = options.out or ROOT / "docs" / "images" / name
    csv.field_size_limit(1 << 20)
    with (DATA / "elites.csv").open(newline="") as file:
        genes = {row["search"]: row["genes"] for row in csv.DictReader(file)}
    shown = [row for row in chosen(json.loads((DATA / "findings.json").read_text())) if row[0] in genes]
    captions = [
        Caption(words, () if rate is None else ((f"{rate:.0%}", "of views"),)) for _, words, rate in shown
    ]
    masks = lit([(spec_of(PROOF, name).mask.basis, genes[name]) for name, *_ in shown])
    picture = lineup(masks, captions, title, width_px=options.width, columns=columns)
    Image.fromarray(picture).save(out, quality=88)
    print(out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
