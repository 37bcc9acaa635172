"""What the head says of itself: ``python -m services.shape.builders.head_facts``, part of ``make basis``.

MakeHuman names its targets by side: `l-eye-scale` has its twin in `r-eye-scale`. `asym-jaw-1-l|r` is, nearly,
its own mirror image with the other sign, and so are the shifts of nose and mouth to a side. All other genes
move both sides alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from services.shape.basis_file import unpack
from services.shape.facts import Measure

DATA = Path(__file__).parents[1] / "data"
BASIS_ID = "makehuman-mask-1"
# Cells and ends of each measure. Noise of the usual spread is 8 to 34 mm from the neutral head and 4 to 35 mm
# from its mirror image (1,000 draws); what lies beyond an end belongs to the last cell.
MEASURES = (
    Measure("abstraction", "mm", 8, 0.0, 24.0),
    Measure("asymmetry", "mm", 6, 0.0, 15.0),
    Measure("expression", "", 3, 0.0, 0.6),
)
_LEFT, _RIGHT = "l-", "r-"
_ONE_SIDED = ("asym-", "nose-trans-in|", "mouth-trans-in|")


def facts_json(genes: Sequence[str]) -> bytes:
    """The file of facts for genes of these names: services/shape/facts.py says what stands in it."""
    number = {name: k for k, name in enumerate(genes)}
    other = {_LEFT: _RIGHT, _RIGHT: _LEFT}
    facts = {
        "title": "MakeHuman's head",
        "zero": "the neutral head",
        "face": True,
        # Middle of the neutral mask's bounding box, rounded: eyes at the origin, chin near -0.11 m.
        "center_m": [0.0, -0.025, -0.03],
        "twin": [number[other.get(name[:2], name[:2]) + name[2:]] for name in genes],
        "sign": [-1 if name.startswith(_ONE_SIDED) else 1 for name in genes],
        "spread": 1.2,
        "sigma": 0.5,
        "limit": 3.0,
        "edge": None,
        "color": "paint-1",
        "measures": [asdict(measure) for measure in MEASURES],
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def main() -> int:
    """Write the facts of the file that lies there; print the hash that catalog.py has to pin."""
    name = f"{BASIS_ID}.npz"
    data = facts_json(unpack((DATA / name).read_bytes(), name).header["genes"])
    (DATA / f"{BASIS_ID}.facts.json").write_bytes(data)
    print(f"{DATA / BASIS_ID}.facts.json: sha256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
