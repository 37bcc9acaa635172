"""What a caption card says of machines: their rates, beside those of the run's controls."""

from __future__ import annotations

import pytest

from services.printing import drawing_sheet
from services.printing.drawing_sheet import Caption, caption_card

MODEL = {"name": "yunet", "threshold": 0.6, "licence": "MIT"}


@pytest.mark.parametrize("controls", [{"yunet": "noise: 3 of 20, blank: 0 of 20"}, {}])
def test_a_rate_stands_beside_its_controls(controls, monkeypatch):
    written = []
    monkeypatch.setattr(drawing_sheet, "_text", lambda page, x, y, words, size: written.append(words))
    report = {
        "material": "PA 12",
        "after": {"accepted": {"yunet": 0.95}},
        "views": {"count": 20},
        "licence": "CC0-1.0",
        "controls": controls,
        "sites": None,
    }
    assert caption_card(Caption("datamask: x", "2026-11-28", "i00-g0001-002", report, [MODEL])).startswith(
        b"%PDF-"
    )
    assert any("yunet (threshold 0.6) sees a face in 95% of 20 held-out views" in words for words in written)
    beside = [words for words in written if "controls" in words]
    assert beside == (
        ["of the run's controls, as meshes: noise: 3 of 20, blank: 0 of 20"] if controls else []
    )


def test_colors_of_a_gaze_map_have_a_legend(monkeypatch):
    written, painted = [], []
    monkeypatch.setattr(drawing_sheet, "_text", lambda page, x, y, words, size: written.append(words))
    monkeypatch.setattr(
        drawing_sheet.Canvas, "setFillColorRGB", lambda page, *color: painted.append(tuple(color))
    )
    report = {
        "material": "gypsum",
        "after": {"accepted": {}},
        "licence": "CC0-1.0",
        "sites": None,
        "gaze": {
            **{"machine": "dlib-hog", "views": 6, "ends": ["gains 0.25", "costs 0.25"]},
            "ramp": [[0, 0, 255], [255, 255, 255], [255, 0, 0]],
        },
    }
    caption_card(Caption("datamask: x", "2026-11-28", "i00-g0001-002", report, []))
    assert "Colors: where dlib-hog looks, 6 held-out views" in written
    assert "gains 0.25" in written
    assert "costs 0.25 of the score, if this place is not seen" in written
    assert painted[0] == (0, 0, 1)
    assert painted[-1] == (1, 0, 0)
