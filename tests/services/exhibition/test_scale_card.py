"""The card is found in a photograph, as large as it is and as bright."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from services.exhibition.scale_card import GRAYS, HEIGHT_MM, WIDTH_MM, find_card, scale_card
from services.srgb import linear_to_srgb


@pytest.fixture(scope="module")
def card():
    return np.asarray(Image.open(io.BytesIO(scale_card("png"))).convert("RGB"))


def photographed(card, px_per_mm, brightness=1.0):
    """A photo of the card, a little from the side, on gray."""
    height, width = card.shape[:2]
    wide, high = WIDTH_MM * px_per_mm, HEIGHT_MM * px_per_mm
    places = np.float32([[300, 240], [300 + wide, 250], [296 + wide, 250 + high], [304, 240 + high]])
    flat = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    turn = cv2.getPerspectiveTransform(flat, places)
    shrunk = cv2.GaussianBlur(card, (0, 0), 0.4 * width / wide)
    photo = cv2.warpPerspective(shrunk, turn, (1600, 1000), borderValue=(110, 110, 110))
    return np.clip(photo * brightness, 0, 255).astype(np.uint8)


def test_the_card_measures_what_it_says(card):
    assert card.shape[1] == pytest.approx(WIDTH_MM / 25.4 * 300, abs=2)
    assert card.shape[0] == pytest.approx(HEIGHT_MM / 25.4 * 300, abs=2)
    # The ruler's line: from 25 to 175 mm, 60 mm from the top.
    row = card[round(60 / 25.4 * 300) - 1 : round(60 / 25.4 * 300) + 2].min(axis=(0, 2))
    dark = np.flatnonzero(row < 100)
    assert dark[0] / 300 * 25.4 == pytest.approx(25.0, abs=0.3)
    assert dark[-1] / 300 * 25.4 == pytest.approx(175.0, abs=0.3)


def test_scale_and_grays_come_back_from_a_photograph(card):
    found = find_card(photographed(card, 3.0))
    assert found is not None
    assert found.px_per_mm == pytest.approx(3.0, rel=0.02)
    wanted = linear_to_srgb(np.array(GRAYS)) * 255
    np.testing.assert_allclose(found.grays, wanted, atol=6)
    assert not found.overexposed
    bright = find_card(photographed(card, 3.0, 1.2))
    assert bright is not None
    assert bright.overexposed


def test_where_there_is_no_card_none_is_found(card):
    photo = photographed(card, 3.0)
    assert find_card(np.full((400, 600, 3), 120, np.uint8)) is None
    photo[:, 700:] = 120  # two marks are hidden
    assert find_card(photo) is None


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_the_same_card_gives_the_same_bytes(kind):
    assert scale_card(kind) == scale_card(kind)
