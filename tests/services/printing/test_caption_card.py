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


def test_a_rate_is_of_the_material_that_the_card_names(monkeypatch):
    written = []
    monkeypatch.setattr(drawing_sheet, "_text", lambda page, x, y, words, size: written.append(words))
    report = {
        "material": "PA 12",
        "after": {"accepted": {"yunet": 0.95}},
        "made_of": {"material": "PA 12", "accepted": {"yunet": 0.4}},
        "views": {"count": 20},
        "licence": "CC0-1.0",
        "sites": None,
    }
    caption_card(Caption("datamask: x", "2026-11-28", "i00-g0001-002", report, [MODEL]))
    (said,) = [words for words in written if words.startswith("yunet (")]
    assert said.endswith("sees a face in 40% of 20 held-out views of this solid in PA 12")


def test_every_line_stands_on_its_card(monkeypatch):
    written, real = [], drawing_sheet._text

    def text(page, x, y, words, size):
        written.append((page.getPageNumber(), x, y, words, size, page.stringWidth(words, "Helvetica", size)))
        real(page, x, y, words, size)

    monkeypatch.setattr(drawing_sheet, "_text", text)
    machines = [f"a detector with a long name, number {k}" for k in range(6)]
    others = [f"recognizer-{k}" for k in range(3)]
    noise = ", ".join(f"best of generation {k}: 3 of 20" for k in range(9))
    report = {
        "material": "PA 12",
        "after": {"accepted": dict.fromkeys(machines, 0.95)},
        "views": {"count": 20},
        "licence": "CC0-1.0",
        "controls": dict.fromkeys(machines, noise),
        "sites": {"words": "seen"},
    }
    models = [{"name": name, "threshold": 0.5, "licence": "MIT, " * 40} for name in [*machines, *others]]
    title = f"datamask: {'a-run-with-a-long-name-' * 2}"
    data = caption_card(Caption(title, "2026-11-28", "i00-g0001-002", report, models))
    pages = {page for page, *_ in written}
    assert len(pages) > 1
    assert data.count(b"/Type /Page\n") == len(pages)
    for _, x, y, words, size, width in written:
        assert 8 <= y <= 90, words
        assert x + width <= 138.01, words
        assert size >= 2.0
    assert written[0][3] == title  # smaller, but whole
    assert sum(words.startswith(("recognizer-", "a detector")) for *_, words, _, _ in written) == 2 * 9
    assert any(words.endswith("...") for *_, words, _, _ in written)
    assert [words for *_, words, _, _ in written if "continued" in words]


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
