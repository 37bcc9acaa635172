"""The conditions under which masks are seen: ranges to draw from, and the drawn views."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.rendering.materials import DEFAULT, material, materials

Float32s = NDArray[np.float32]
Colors = NDArray[np.floating[Any]]
Range = tuple[float, float]

# Lowest and highest value that each range may reach. The angles stop short of 90 degrees, where the open back
# of a shell would be all there is to see; the distance keeps a normal mask clear of the near plane.
_LIMITS: Mapping[str, Range] = {
    "yaw_deg": (-90.0, 90.0),
    "pitch_deg": (-89.0, 89.0),
    "roll_deg": (-180.0, 180.0),
    "distance_m": (0.2, 100.0),
    "field_mm": (10.0, 10_000.0),
    "light_yaw_deg": (-180.0, 180.0),
    "light_pitch_deg": (-90.0, 90.0),
    "light": (0.0, 10.0),
    "ambient": (0.0, 10.0),
    "specular": (0.0, 10.0),
    "background": (0.0, 1.0),
    "background_slope": (-1.0, 1.0),
    "exposure": (0.01, 100.0),
    "blur_px": (0.0, 16.0),
    "noise": (0.0, 1.0),
    "jpeg_quality": (0.0, 100.0),
    "print_white": (0.0, 1.0),
    "print_level": (0.05, 1.3),
}
# Drawn after everything else, so that whoever leaves them alone sees the views of before; each with the value
# that changes nothing.
_LATER: Mapping[str, float] = {"jpeg_quality": 0.0, "print_white": 0.0, "print_level": 1.0}
_SIZE_LIMITS = (16, 4096)


@dataclass(frozen=True)
class ViewRanges:
    """Ranges that views are drawn from; every field but ``size_px`` is a ``(low, high)`` pair, ends included.

    =================== ================================================================================
    ``yaw_deg``         turn of the face about the vertical; > 0 toward +X, the right of the image
    ``pitch_deg``       nod of the face; > 0 up
    ``roll_deg``        tilt in the image plane; > 0 counter-clockwise as seen
    ``distance_m``      from the camera to the mask's center
    ``field_mm``        width of the picture at the mask's center: 140 mm of mask fill 85 to 109 of 160 px
    ``light_yaw_deg``   where the light comes from, in the camera's frame; > 0 from the right of the image
    ``light_pitch_deg`` > 0 from above
    ``light``           strength of that light on a surface that faces it (linear)
    ``ambient``         light that comes from everywhere (linear)
    ``specular``        strength of the highlight (Blinn-Phong, exponent 16; linear)
    ``background``      gray level behind the mask at mid-height, as a display value from 0 to 1 (sRGB)
    ``background_slope`` level at the top less the level at the bottom; 0 is a plain background
    ``exposure``        factor on the linear picture
    ``blur_px``         standard deviation of a Gaussian blur
    ``noise``           standard deviation of the sensor noise, in display values (1 is white)
    ``jpeg_quality``    1 to 100, rounded: the picture has been a JPEG file; below 1 it has not
    ``print_white``     color of the mask: 0 is its material, 1 white nylon
    ``print_level``     how much light it throws back: factor on its color (linear)
    ``size_px``         width and height of the picture
    ``material``        what a mask without colors of its own is shown in: names of materials.py, of which
                        each view has one
    =================== ================================================================================

    Raises :class:`BadInput`, naming the field, where a pair is not two finite numbers in order and in range.
    """

    yaw_deg: Range = (-30.0, 30.0)
    pitch_deg: Range = (-15.0, 15.0)
    roll_deg: Range = (-5.0, 5.0)
    distance_m: Range = (0.9, 1.1)
    field_mm: Range = (205.0, 265.0)
    light_yaw_deg: Range = (-60.0, 60.0)
    light_pitch_deg: Range = (-10.0, 60.0)
    light: Range = (0.6, 1.0)
    ambient: Range = (0.2, 0.4)
    specular: Range = (0.0, 0.3)
    background: Range = (0.2, 0.8)
    background_slope: Range = (-0.2, 0.2)
    exposure: Range = (0.8, 1.2)
    blur_px: Range = (0.0, 0.8)
    noise: Range = (0.0, 0.02)
    jpeg_quality: Range = (0.0, 0.0)
    print_white: Range = (0.0, 0.0)
    print_level: Range = (1.0, 1.0)
    size_px: int = 160
    material: tuple[str, ...] = (DEFAULT,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "material", materials(self.material))
        for name, limits in _LIMITS.items():
            object.__setattr__(self, name, _checked_pair(name, getattr(self, name), limits))
        low, high = _SIZE_LIMITS
        if (
            isinstance(self.size_px, bool)
            or not isinstance(self.size_px, int)
            or not low <= self.size_px <= high
        ):
            raise BadInput(
                f"views.size_px: expected a whole number from {low} to {high}, got {self.size_px!r}"
            )

    def table(self) -> dict[str, Any]:
        """As JSON values, with lists for pairs. The usual material is not named: so views, plans and
        calibrations of before are what they were.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.material == (DEFAULT,):
            del values["material"]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def ranges_of(values: Mapping[str, Any]) -> ViewRanges:
    """Ranges as JSON and TOML hold them, with lists for pairs. :raises TypeError: for an unknown name."""
    filled: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return ViewRanges(**filled)


@dataclass(frozen=True)
class Views:
    """Drawn views: one float32 ``(n,)`` array per quantity of :class:`ViewRanges`, in its units.

    ``noise_seed`` int64 ``(n,)`` numbers each view's own noise. ``material_srgb`` float64 ``(n, 3)`` is what
    the mask is shown in, display values from 0 to 1. The arrays are read-only. The last four may be left out:
    then they change nothing.
    Raises :class:`BadInput` where an array's shape differs or a value is not finite.
    """

    yaw_deg: Float32s
    pitch_deg: Float32s
    roll_deg: Float32s
    distance_m: Float32s
    field_mm: Float32s
    light_yaw_deg: Float32s
    light_pitch_deg: Float32s
    light: Float32s
    ambient: Float32s
    specular: Float32s
    background: Float32s
    background_slope: Float32s
    exposure: Float32s
    blur_px: Float32s
    noise: Float32s
    noise_seed: NDArray[np.int64]
    size_px: int = 160
    jpeg_quality: Float32s | None = None
    print_white: Float32s | None = None
    print_level: Float32s | None = None
    material_srgb: Colors | None = None

    def __post_init__(self) -> None:
        count = np.asarray(self.yaw_deg).shape[0] if np.asarray(self.yaw_deg).ndim == 1 else -1
        for name, nothing in _LATER.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(max(count, 0), nothing, np.float32))
        for name in (*_LIMITS, "noise_seed"):
            kind = np.int64 if name == "noise_seed" else np.float32
            array = np.array(getattr(self, name), dtype=kind)
            if array.shape != (count,):
                raise BadInput(
                    f"views.{name}: expected one value per view, got an array of shape {array.shape}"
                )
            if not np.isfinite(array).all():
                raise BadInput(f"views.{name}: expected finite values")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        usual = np.tile(np.array(material(DEFAULT).srgb), (max(count, 0), 1))
        colors = usual if self.material_srgb is None else np.array(self.material_srgb, np.float64)
        if colors.shape != (count, 3) or not ((colors >= 0) & (colors <= 1)).all():
            raise BadInput(
                f"views.material_srgb: expected ({count}, 3) values from 0 to 1, got {colors.shape}"
            )
        colors.flags.writeable = False
        object.__setattr__(self, "material_srgb", colors)

    def __len__(self) -> int:
        return len(self.yaw_deg)

    @property
    def n(self) -> int:
        """Number of views."""
        return len(self)

    def shown_in(self, name: str) -> Views:
        """The same views of a mask of another material, with nothing mixed into it."""
        count = len(self)
        return replace(
            self,
            print_white=np.zeros(count, np.float32),
            print_level=np.ones(count, np.float32),
            material_srgb=np.tile(np.array(material(name).srgb), (count, 1)),
        )

    def take(self, index: slice | NDArray[np.int64]) -> Views:
        """The views of a slice or of a list of numbers, each unchanged."""
        arrays = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "size_px"}
        return Views(**arrays, size_px=self.size_px)

    @classmethod
    def joined(cls, parts: Sequence[Views]) -> Views:
        """The views of several, one after the other, of pictures of one size."""
        names = [f.name for f in fields(cls) if f.name != "size_px"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(**arrays, size_px=parts[0].size_px)


def sample_views(ranges: ViewRanges, count: int, seed: int) -> Views:
    """Draw ``count`` views; the same arguments give the same views on every machine.

    Yaw is stratified: view i lies in the i-th of ``count`` equal parts of its range, from low to high, so
    that few views still look from all sides. Every other quantity is drawn uniformly and independently.
    """
    if count < 1:
        raise BadInput(f"views.count: expected at least 1, got {count}")
    if seed < 0:
        raise BadInput(f"views seed: expected a number from 0 up, got {seed}")
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn: dict[str, Float32s] = {}

    def draw(name: str) -> None:
        low, high = getattr(ranges, name)
        share = generator.random(count)
        if name == "yaw_deg":
            share = (np.arange(count) + share) / count
        drawn[name] = np.clip(low + share * (high - low), low, high).astype(np.float32)

    for name in _LIMITS:
        if name not in _LATER:
            draw(name)
    noise_seed = generator.integers(0, 2**31, size=count, dtype=np.int64)
    for name in _LATER:
        draw(name)
    names = ranges.material
    which = generator.integers(0, len(names), size=count) if len(names) > 1 else np.zeros(count, np.int64)
    colors = np.array([material(name).srgb for name in names])[which]
    return Views(**drawn, noise_seed=noise_seed, size_px=ranges.size_px, material_srgb=colors)


def frontal_view(size_px: int = 160) -> Views:
    """One plain view for records and tests: from the front, light from the upper left, no blur, no noise."""
    one = {
        "distance_m": 1.0,
        "field_mm": 235.0,
        "light_yaw_deg": -25.0,
        "light_pitch_deg": 30.0,
        "light": 0.8,
        "ambient": 0.3,
        "specular": 0.1,
        "background": 0.5,
        "exposure": 1.0,
        **_LATER,
    }
    arrays = {name: np.array([one.get(name, 0.0)], dtype=np.float32) for name in _LIMITS}
    return Views(**arrays, noise_seed=np.zeros(1, dtype=np.int64), size_px=size_px)


def _checked_pair(name: str, value: object, limits: Range) -> Range:
    low_limit, high_limit = limits
    wanted = f"expected [low, high] from {low_limit:g} to {high_limit:g}"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise BadInput(f"views.{name}: {wanted}, got {value!r}")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise BadInput(f"views.{name}: {wanted}, got {value!r}")
    low, high = float(value[0]), float(value[1])
    if low > high:
        raise BadInput(f"views.{name}: {wanted}, got low {low:g} above high {high:g}; swap them")
    if low < low_limit or high > high_limit:
        raise BadInput(f"views.{name}: {wanted}, got [{low:g}, {high:g}]")
    return low, high
