"""A noise mask of every basis becomes a solid that a printer takes; a blank's straps start at its rim."""

from __future__ import annotations

import numpy as np
import pytest

from services.exhibition.facts import decoded
from services.printing.catalog import make_order
from services.printing.checks import check
from services.shape.basis import load_basis
from services.shape.catalog import BASES
from worker.printing import make_solid


@pytest.mark.parametrize("basis_id", BASES)
def test_a_noise_mask_becomes_a_solid(basis_id):
    basis = load_basis(basis_id)
    genome = np.random.default_rng(3).normal(0, 0.8 * basis.facts.spread, len(basis.gene_names))
    order = make_order(width_mm=110.0, wall_mm=3.0, mount="wear")
    made = make_solid(decoded(basis, genome.astype(np.float32)), basis, order, 1.2)
    checks, _ = check(made.body, order, made.around, made.crossing, made.thick)
    assert [line.name for line in checks if line.passed is False] == []
    assert made.wall.deviation.within_1mm > (0.9 if basis.facts.face else 0.95)  # a head's noise folds
    told = " ".join(made.work.notes + made.work.refused)
    assert "strap slot" in told
    if basis.facts.face:
        assert "pupil opening" in told
    else:
        assert "eyes and nostrils: not cut, no machine was asked where" in made.work.refused
        assert sum("strap slot: 12.0" in note for note in made.work.notes) == 2
        slots = np.concatenate(made.work.cuts)
        low, high = made.wall.vertices.min(axis=0), made.wall.vertices.max(axis=0)
        assert np.abs(slots[:, 1] - (low[1] + high[1]) / 2).max() < 15.0  # at the middle's height
        assert np.abs(slots[:, 0]).min() > 0.25 * (high[0] - low[0])


def test_the_drawing_sheet_shows_the_whole_solid():
    from manifold3d import Manifold

    from services.printing.drawing_sheet import _picture
    from services.printing.solid import arrays

    block = Manifold.cube((40.0, 90.0, 20.0)).translate((300.0, -500.0, 70.0))
    points, triangles = arrays(block)
    for yaw, across in ((0.0, 40.0), (90.0, 20.0)):
        picture = np.asarray(_picture(points, triangles, yaw, (230, 230, 230)).convert("L"))
        assert picture.shape[1] / picture.shape[0] == pytest.approx(across / 90.0, rel=0.03)
        assert (picture < 250).mean() > 0.95


def test_a_ruler_agrees_with_the_scale_that_a_drawing_sheet_states(monkeypatch):
    from manifold3d import Manifold

    from services.printing import drawing_sheet

    written, drawn = [], []
    monkeypatch.setattr(drawing_sheet, "_text", lambda page, x, y, words, size: written.append(words))
    monkeypatch.setattr(drawing_sheet.Canvas, "drawImage", lambda page, image, *place: drawn.append(place))
    report = {
        **{"title": "datamask: x", "id": "i00-g0001-002", "process": "sls", "material": "nylon PA12"},
        **{"mount": "wall", "wall_mm": 2.0, "size_mm": [182.9, 90.0, 20.0], "volume_cm3": 329.2},
        **{"weight_g": 312.8, "parts_weight_g": 340.2, "openings": [], "not_made": [], "checks": []},
        "from_evolved_surface_mm": {"median_mm": 0.1, "max_mm": 0.2, "within_1mm": 1.0},
    }
    drawing_sheet.drawing_sheet(Manifold.cube((182.9, 90.0, 20.0)), report, (230, 230, 230))
    assert "scale 1 : 2.5, dimensions in mm" in written  # 1 : 2.44 would fit
    assert [place[2:] for place in drawn] == [pytest.approx((side / 2.5, 36.0)) for side in (182.9, 20.0)]
    assert "volume 329.2 cm3, weight 313 g; 340 g in parts, with bosses and pegs" in written
    assert [drawing_sheet._round_times(least) for least in (2.0, 2.4, 2.41)] == [2.0, 2.4, 2.5]
