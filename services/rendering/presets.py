"""Places where a camera meets a face, as ranges of views.

A preset says how a kind of picture usually looks: a guess from experience, not measured on any one camera.
Every value of it can be set otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Range = tuple[float, float]
PresetName = Literal["studio", "corridor-camera", "phone", "passport"]

PRESETS: Mapping[str, Mapping[str, Range]] = {
    # A portrait photographer: a long lens, soft light from the upper side, nothing in the way.
    "studio": {
        "yaw_deg": (-25.0, 25.0),
        "pitch_deg": (-8.0, 8.0),
        "roll_deg": (-3.0, 3.0),
        "distance_m": (1.5, 2.5),
        "light_yaw_deg": (-45.0, 45.0),
        "light_pitch_deg": (15.0, 45.0),
        "light": (0.6, 0.9),
        "ambient": (0.25, 0.4),
        "specular": (0.0, 0.2),
        "background": (0.15, 0.9),
        "background_slope": (-0.1, 0.1),
        "exposure": (0.9, 1.1),
        "blur_px": (0.0, 0.3),
        "noise": (0.0, 0.005),
        "jpeg_quality": (85.0, 97.0),
    },
    # A camera under the ceiling: from above, from afar, lamps overhead, dim, noisy and hard compressed.
    "corridor-camera": {
        "yaw_deg": (-40.0, 40.0),
        "pitch_deg": (-30.0, -5.0),
        "roll_deg": (-5.0, 5.0),
        "distance_m": (2.5, 6.0),
        "light_yaw_deg": (-90.0, 90.0),
        "light_pitch_deg": (45.0, 85.0),
        "light": (0.4, 0.9),
        "ambient": (0.15, 0.35),
        "specular": (0.0, 0.3),
        "background": (0.15, 0.7),
        "background_slope": (-0.3, 0.3),
        "exposure": (0.6, 1.3),
        "blur_px": (0.6, 1.4),
        "noise": (0.01, 0.05),
        "jpeg_quality": (25.0, 60.0),
    },
    # Held in the hand: near, so that the nose is large, in whatever light there is.
    "phone": {
        "yaw_deg": (-25.0, 25.0),
        "pitch_deg": (-15.0, 15.0),
        "roll_deg": (-10.0, 10.0),
        "distance_m": (0.35, 0.6),
        "light_yaw_deg": (-120.0, 120.0),
        "light_pitch_deg": (-20.0, 70.0),
        "light": (0.4, 1.0),
        "ambient": (0.2, 0.5),
        "specular": (0.0, 0.3),
        "background": (0.1, 0.9),
        "background_slope": (-0.3, 0.3),
        "exposure": (0.8, 1.25),
        "blur_px": (0.0, 0.6),
        "noise": (0.0, 0.02),
        "jpeg_quality": (75.0, 92.0),
    },
    # After the rules for identity photographs: straight on, even light, a plain light wall.
    "passport": {
        "yaw_deg": (-4.0, 4.0),
        "pitch_deg": (-4.0, 4.0),
        "roll_deg": (-3.0, 3.0),
        "distance_m": (1.2, 2.0),
        "light_yaw_deg": (-15.0, 15.0),
        "light_pitch_deg": (0.0, 25.0),
        "light": (0.4, 0.6),
        "ambient": (0.4, 0.55),
        "specular": (0.0, 0.1),
        "background": (0.85, 0.97),
        "background_slope": (-0.05, 0.05),
        "exposure": (0.95, 1.05),
        "blur_px": (0.0, 0.3),
        "noise": (0.0, 0.005),
        "jpeg_quality": (85.0, 95.0),
    },
}
