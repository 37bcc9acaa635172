"""How masks are looked at: the views of each question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from services.rendering.views import Range, ViewRanges, Views, sample_views

HELD_OUT_SEED = 20_261_129  # with the seed of a run: views that no run of this project draws


@dataclass(frozen=True)
class Condition:
    """One way to look. number: keeps its views apart from all others', and never changes.

    ranges: in place of the spec's. size_px: the side that pictures are drawn at; None: the spec's. Smaller
    ones are enlarged to the spec's, so that every machine gets a picture that it can look at. albedo: each
    view has a color field of its own, drawn at random. two: half of the views are drawn by OpenGL. sides:
    every other view is turned to the other side.
    """

    number: int
    name: str
    ranges: Mapping[str, Range] = field(default_factory=dict)
    size_px: int | None = None
    albedo: bool = False
    two: bool = False
    sides: bool = False

    def views(self, usual: ViewRanges, count: int, *key: int) -> Views:
        """So many held-out views. key: whose they are: a run's seed, a mask's number, a renderer's."""
        changed: dict[str, Any] = dict(self.ranges)
        ranges = replace(usual, **changed, size_px=self.size_px or usual.size_px)
        sequence = np.random.SeedSequence(HELD_OUT_SEED, spawn_key=(self.number, *key))
        drawn = sample_views(ranges, count, int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        if not self.sides:
            return drawn
        return replace(drawn, yaw_deg=drawn.yaw_deg * np.where(np.arange(count) % 2, -1, 1))


USUAL = Condition(1, "as bred", two=True)
WIDE = Condition(2, "yaw 30, pitch 15", {"yaw_deg": (-30.0, 30.0), "pitch_deg": (-15.0, 15.0)}, two=True)
UPSIDE_DOWN = Condition(3, "upside down", {"roll_deg": (175.0, 180.0)})
LIT_FROM_BELOW = Condition(4, "lit from below", {"light_pitch_deg": (-60.0, -30.0)})
NOISE = Condition(5, "noise", two=True)
FIRST_LOOK = Condition(6, "first look at much noise")
SECOND_LOOK = Condition(7, "second look at the best noise")
STANDARD = Condition(8, "noise that margins are standardized on")


def _side(number: int, name: str, yaw: float, pitch: float) -> Condition:
    return Condition(number, name, {"light_yaw_deg": (yaw, yaw), "light_pitch_deg": (pitch, pitch)})


YAWS_DEG = (0, 10, 20, 30, 40, 50, 60)
BLURS_PX = (1, 2, 4)
PATTERN = (
    *(Condition(20 + px, f"blurred by {px} px", {"blur_px": (float(px), float(px))}) for px in BLURS_PX),
    Condition(30, "drawn at 40 px", size_px=40),
    Condition(31, "drawn at 80 px", size_px=80),
    Condition(32, "drawn at 320 px", size_px=320),
    Condition(33, "JPEG of quality 30", {"jpeg_quality": (30.0, 30.0)}),
    Condition(34, "random colors", albedo=True),
    _side(40, "light from above", 0, 70),
    _side(41, "light from below", 0, -70),
    _side(42, "light from the left", -75, 0),
    _side(43, "light from the right", 75, 0),
)
YAW = tuple(
    Condition(100 + yaw, f"yaw {yaw}", {"yaw_deg": (float(yaw), float(yaw))}, sides=True) for yaw in YAWS_DEG
)
