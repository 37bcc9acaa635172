"""A picture of the blanks: ``python -m bench.blanks_sheet``. Weights of zero, noise, and how high that is.

On the right the root mean square of 400 noise masks' relief at every vertex, white where it is highest on the
sheet, black where nothing moves: even everywhere but for the rim, where a window leads it down.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.evidence import ROOT
from services.exhibition import palette
from services.exhibition.studio import Pose, Studio
from services.shape.basis import Basis, load_basis
from services.shape.builders.blank import BLANKS

CELL_PX, FIELD_MM, ROW_PX = 360, 240.0, 420
NOISE_MASKS = 400
POSES = (Pose(0.0), Pose(-32.0))
COLUMNS = ("weights of zero", "", "noise", "", "root mean square of noise", "")


def noise(basis: Basis, count: int) -> NDArray[np.float32]:
    """Displacements float32 (n, V, 3) of noise masks of the usual spread."""
    weights = np.random.default_rng(1).normal(0, basis.facts.spread, (count, len(basis.gene_names)))
    return np.asarray(np.einsum("ng,gvc->nvc", weights.astype(np.float32), basis.positive), np.float32)


def heat(moved: NDArray[np.float32], most_m: float) -> NDArray[np.uint8]:
    """Grays uint8 (V, 3) of displacements' root mean square (n, V, 3), white at ``most_m``."""
    rms = np.sqrt((moved.astype(np.float64) ** 2).sum(axis=2).mean(axis=0))
    gray = np.rint(255 * np.clip(rms / most_m, 0, 1)).astype(np.uint8)
    return np.repeat(gray[:, None], 3, axis=1)


def sheet() -> Image.Image:
    """All blanks, a row each."""
    page = palette.sheet(2 * palette.MARGIN_PX + 6 * CELL_PX, 2 * palette.MARGIN_PX + 40 + 3 * ROW_PX)
    for column, words in enumerate(COLUMNS):
        at = (palette.MARGIN_PX + column * CELL_PX + 40, palette.MARGIN_PX - 20)
        palette.write(page, at, words, 26, palette.QUIET)
    for row, blank in enumerate(BLANKS):
        basis = load_basis(blank.id)
        studio = Studio(basis.triangles, basis.facts.center_m)
        moved = noise(basis, NOISE_MASKS)
        most = 1.1 * float(np.sqrt((moved**2).sum(axis=2).mean(axis=0)).max())
        zero = studio.light(basis.neutral)
        lit = (zero, studio.light(basis.neutral + moved[0]), zero.painted(heat(moved, most)))
        top = palette.MARGIN_PX + 40 + row * ROW_PX
        for column, mask in enumerate(lit):
            for turn, pose in enumerate(POSES):
                shot = mask.shoot(pose, CELL_PX, FIELD_MM)
                palette.mount(page, shot, (palette.MARGIN_PX + (2 * column + turn) * CELL_PX, top))
        words = f"{blank.id}: {blank.title}"
        palette.write(page, (palette.MARGIN_PX + 40, top + CELL_PX + 4), words, 26)
    return page


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser("python -m bench.blanks_sheet", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "blanks.jpg")
    options = parser.parse_args()
    sheet().save(options.out, quality=88)
    print(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
