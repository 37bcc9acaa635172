"""Photographs of a mask on a gallery's wall, by Mitsuba 3: light that is followed from lamp to lens.

The studio of :mod:`services.exhibition.studio` is quick and the same everywhere; here light bounces, and a
mirror shows what stands before it: a room with a window, lamps and a door, and a visitor. Mitsuba is
optional (``pip install mitsuba``). One seed gives one picture on one machine, with however many
threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, Unavailable
from services.exhibition.palette import Image
from services.exhibition.studio import LitMask
from services.exhibition.visitor import visitor
from services.progress import Progress, silent
from services.rendering.rig import KEY, NYLON, Material
from services.srgb import linear_to_srgb

ASPECT = 260.0 / 180.0  # height over width: a plate's
WIDEST_PX = 4096
MOST_SAMPLES = 65536
_PASS = 1  # samples a pixel that are taken at a time
_BRIGHTEST = 2.4  # what a pass may add to a pixel: a mirror throws rare and very bright light on its wall
_BOUNCES = 6
_GRAIN_PX, _GRAIN_M, _GRAIN_HIGH_M = 512, 0.064, 1e-3  # a patch of grains, and how high they stand at 1
_HELP = "--renderer path needs Mitsuba 3: pip install mitsuba, or leave --renderer out"

Float = NDArray[np.float32]
Ints = NDArray[np.int64]
Rgb = tuple[float, float, float]

# The room, in meters: x from -WIDE to WIDE, y from the floor, z from the wall where the mask hangs.
_WIDE, _HIGH, _DEEP = 2.6, 3.1, 5.6
_HANGS = 1.55  # the middle of a mask, above the floor
_OFF_WALL = 0.006
_WALL_MM = 2.2  # of the shell: as nylon is printed
_PAINT: Mapping[str, Rgb] = {
    "wall": (0.30, 0.30, 0.305),
    "back": (0.55, 0.55, 0.53),
    "left": (0.50, 0.50, 0.49),
    "right": (0.50, 0.50, 0.49),
    "floor": (0.15, 0.105, 0.07),
    "ceiling": (0.72, 0.72, 0.71),
    "door": (0.018, 0.018, 0.02),
    "frame": (0.05, 0.05, 0.05),
    "cloth": (0.030, 0.034, 0.048),
    "hair": (0.020, 0.014, 0.011),
    "skin": (0.50, 0.32, 0.235),
}


@dataclass(frozen=True)
class PathShot:
    """How a photograph is taken. width_px: its height follows, as 26 to 18 cm. samples: light paths a pixel.

    room: from behind the visitor, the wall and the mask on it, in place of the mask alone.
    """

    width_px: int = 1063
    samples: int = 64
    seed: int = 1
    material: Material = NYLON
    room: bool = False

    def __post_init__(self) -> None:
        if not 64 <= self.width_px <= WIDEST_PX:
            raise BadInput(f"--still-px {self.width_px}: expected 64 to {WIDEST_PX}")
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise BadInput(f"--samples {self.samples}: expected 1 to {MOST_SAMPLES}")

    @property
    def height_px(self) -> int:
        """Rows of the picture."""
        return round(self.width_px * ASPECT)


@cache
def load_mitsuba() -> ModuleType:
    """Mitsuba, set to the variant that runs on every processor. :raises Unavailable: where it is missing."""
    try:
        import mitsuba
    except ImportError as error:
        raise Unavailable(f"{_HELP} ({error})") from None
    # Variants that compile need LLVM's library, and not any version of it.
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    module: ModuleType = mitsuba
    return module


def photograph(mask: LitMask, shot: PathShot, tell: Progress = silent) -> Image:
    """A picture uint8 (H, W, 3) of a mask on the wall. tell: called with "light", passes done, all passes.

    :raises Unavailable: without Mitsuba.
    """
    mi = load_mitsuba()
    # Merging what is alike would put the lamps in another order each time, and other lamps to chance.
    scene = mi.load_dict(_scene(mi, mask, shot), optimize=False)
    left, total, done = shot.samples, np.zeros((shot.height_px, shot.width_px, 3)), 0
    passes = -(-shot.samples // _PASS)
    tell("light", 0, passes)
    while left:
        count = min(_PASS, left)
        # A pass has a seed of its own, far from those of other pictures' passes.
        seen = mi.render(scene, spp=count, seed=shot.seed * MOST_SAMPLES + done)
        total += count * np.minimum(np.asarray(seen, np.float64)[..., :3], _BRIGHTEST)
        left, done = left - count, done + 1
        tell("light", done, passes)
    return developed(total / shot.samples)


def developed(light: NDArray[np.float64]) -> Image:
    """Linear light (H, W, 3) as bytes, highlights rolled off as on film (Reinhard 2002, white at 2.5)."""
    rolled = light * (1 + light / 6.25) / (1 + light)
    return np.rint(255 * linear_to_srgb(np.clip(1.22 * rolled, 0, 1))).astype(np.uint8)


def shell(points: Float, normals: Float, triangles: Ints, thick_m: float) -> tuple[Float, Float, Ints]:
    """An open surface with a back and an edge: points (2 V + 2 R, 3), normals of these, triangles.

    normals: (V, 3), outward; R: the rim's vertices, which the edge has for itself.
    """
    inner = points - np.float32(thick_m) * normals
    rim = _free_edges(triangles)  # each runs as its triangle does
    ends = np.unique(rim)
    of = np.searchsorted(ends, rim)
    start, count = 2 * len(points), len(ends)
    a, b = of.T + start
    side = np.concatenate([np.stack([b, a, a + count], 1), np.stack([b, a + count, b + count], 1)])
    along = points[rim[:, 1]] - points[rim[:, 0]]
    out = np.zeros((count, 3), np.float32)
    for k in (0, 1):
        np.add.at(out, of[:, k], np.cross(along, normals[rim[:, k]]))
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    return (
        np.concatenate([points, inner, points[ends], inner[ends]]),
        np.concatenate([normals, -normals, out, out]),
        np.concatenate([triangles, triangles[:, ::-1] + len(points), side]),
    )


def _free_edges(triangles: Ints) -> Ints:
    """Edges (R, 2) of one triangle alone, each in the direction in which it runs around that triangle."""
    sides = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    count = int(triangles.max()) + 1
    found: Ints = sides[~np.isin(sides @ (count, 1), sides[:, ::-1] @ (count, 1))]
    return found


def _scene(mi: ModuleType, mask: LitMask, shot: PathShot) -> dict[str, Any]:
    points = mask.centered.numpy().astype(np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    back = low[2] - _OFF_WALL - _WALL_MM / 1000
    hung = points + np.array([-middle[0], _HANGS - middle[1], -back], np.float32)
    normals, triangles = mask.normals.numpy(), mask.finer.triangles.numpy()
    body = shell(hung, normals / np.linalg.norm(normals, axis=1, keepdims=True), triangles, _WALL_MM / 1000)
    colors = None
    if mask.colors is not None:
        rim = np.unique(_free_edges(triangles))
        own = mask.colors.numpy()
        colors = np.concatenate([own, own, own[rim], own[rim]])
    width, height, deep = (float(side) for side in high - low)
    scene = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": _BOUNCES},
        **_room(mi, 2.0 if shot.material.finish.mirror else 0.30),
        **_visitor(mi, shot.room),
        "mask": _mesh(mi, *body, _surface(mi, shot.material, colors is not None), colors),
    }
    scene["sensor"] = _camera(mi, shot, max(height, width * ASPECT), deep)
    return scene


def _camera(mi: ModuleType, shot: PathShot, tall_m: float, deep_m: float) -> dict[str, Any]:
    if shot.room:
        at, to, high = (-0.60, 1.52, 3.6), (0.20, 1.32, 0.0), 2.15
    else:
        at, to, high = (0.22, _HANGS + 0.05, 1.30), (0.0, _HANGS - 0.004, deep_m / 2), 1.24 * tall_m
    far = float(np.linalg.norm(np.subtract(at, to)))
    return {
        "type": "perspective",
        "fov_axis": "y",
        "fov": float(np.degrees(2 * np.arctan(high / 2 / far))),
        "to_world": mi.ScalarTransform4f().look_at(origin=list(at), target=list(to), up=[0, 1, 0]),
        # Each sample is of its own pixel alone: what neighbors add would come in whatever order threads end.
        "film": {
            "type": "hdrfilm",
            "width": shot.width_px,
            "height": shot.height_px,
            "rfilter": {"type": "box"},
            "pixel_format": "rgb",
        },
        "sampler": {"type": "independent", "sample_count": shot.samples},
    }


def _room(mi: ModuleType, bright: float) -> dict[str, Any]:
    """Walls, floor, a door and a window, lamps. bright: how much all lamps but the key give."""
    t = mi.ScalarTransform4f

    def panel(at: Rgb, half: tuple[float, float], turn: Any, name: str, light: Rgb | None = None) -> Any:
        made: dict[str, Any] = {
            "type": "rectangle",
            "to_world": t().translate(list(at)) @ turn @ t().scale([*half, 1.0]),
            "bsdf": _matt(_PAINT.get(name, (0.0, 0.0, 0.0))),
        }
        if light is not None:
            made["emitter"] = _lamp(*(bright * channel for channel in light))
        return made

    flat, turned = t(), t().rotate([0, 1, 0], 180)
    to_right, to_left = t().rotate([0, 1, 0], 90), t().rotate([0, 1, 0], -90)
    up, down = t().rotate([1, 0, 0], -90), t().rotate([1, 0, 0], 90)
    middle, deep = _HIGH / 2, _DEEP / 2
    made = {
        "wall": panel((0, middle, 0), (_WIDE, middle), flat, "wall"),
        "back": panel((0, middle, _DEEP), (_WIDE, middle), turned, "back"),
        "left": panel((-_WIDE, middle, deep), (deep, middle), to_right, "left"),
        "right": panel((_WIDE, middle, deep), (deep, middle), to_left, "right"),
        "floor": panel((0, 0, deep), (_WIDE, deep), up, "floor"),
        "ceiling": panel((0, _HIGH, deep), (_WIDE, deep), down, "ceiling"),
        "door": panel((-1.5, 1.05, _DEEP - 0.01), (0.45, 1.05), turned, "door"),
    }
    for k, z in enumerate((1.9, 3.7)):
        made[f"strip{k}"] = panel((0, _HIGH - 0.01, z), (1.7, 0.045), down, "", (9.0, 9.2, 9.6))
    for row in (0, 1):  # a window of four panes
        for column in (0, 1):
            at = (_WIDE - 0.01, 1.15 + 0.86 * row, 1.75 + 0.76 * column)
            made[f"pane{row}{column}"] = panel(at, (0.36, 0.41), to_left, "", (2.6, 3.1, 3.9))
    made["window"] = panel((_WIDE - 0.005, 1.58, 2.13), (0.80, 0.90), to_left, "frame")
    # The key: one small lamp, as hard as the sun in a window. Its direction is the rig's.
    way = np.array((KEY.toward[0], 0.9 * KEY.toward[1], 0.62))
    lamp = np.array((0.0, _HANGS, 0.04)) + 2.1 * way / np.linalg.norm(way)
    strong = 1700.0 if bright < 1 else 700.0
    made["key"] = {
        "type": "rectangle",
        "to_world": t().look_at(origin=lamp.tolist(), target=[0, _HANGS, 0.04], up=[0, 1, 0])
        @ t().scale([0.045, 0.045, 1.0]),
        "bsdf": _matt((0.0, 0.0, 0.0)),
        # Half as warm as in the studio: white nylon is white.
        "emitter": _lamp(*(strong * channel**0.5 for channel in KEY.power), often=6.0),
    }
    return made


def _visitor(mi: ModuleType, aside: bool) -> dict[str, Any]:
    """The figure before the mask: to the left of the camera; aside: where it hides nothing."""
    at = np.array((0.38, 0.0, 0.85) if aside else (-0.34, 0.0, 0.52), np.float32)
    made = {}
    for name, part in visitor().items():
        paint = _matt(_PAINT["skin" if name == "face" else name])
        normals = _normals(part.points, part.triangles)
        made[f"visitor-{name}"] = _mesh(mi, part.points + at, normals, part.triangles, paint)
    return made


def _surface(mi: ModuleType, material: Material, painted: bool) -> dict[str, Any]:
    finish = material.finish
    if finish.mirror:
        silver = {
            "type": "roughconductor",
            "material": "none",
            "alpha": 0.015,
            "specular_reflectance": _rgb(material.albedo),
        }
        return {"type": "twosided", "inside": silver}
    color = {"type": "mesh_attribute", "name": "vertex_color"} if painted else _rgb(material.albedo)
    # Mitsuba's plastic wants to know a color's mean, which colors of points do not tell.
    if finish.gloss < 0.05 or painted:
        return {"type": "twosided", "inside": {"type": "diffuse", "reflectance": color}}
    plastic = {"type": "roughplastic", "alpha": 0.42, "int_ior": 1.5, "diffuse_reflectance": color}
    if not finish.grain:
        return {"type": "twosided", "inside": plastic}
    grains = {
        "type": "bitmap",
        "bitmap": mi.Bitmap(_grains()),
        "raw": True,
        "to_uv": mi.ScalarTransform4f().scale([1.0 / _GRAIN_M, 1.0 / _GRAIN_M, 1.0]),
    }
    rough = {"type": "bumpmap", "grains": grains, "scale": finish.grain * _GRAIN_HIGH_M, "inside": plastic}
    return {"type": "twosided", "inside": rough}


def _grains() -> Float:
    """Heights (N, N, 1) from 0 to 1 of a patch that repeats: grains of some tenths of a millimeter."""
    drawn = np.random.default_rng(1).standard_normal((_GRAIN_PX, _GRAIN_PX))
    waves = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(_GRAIN_PX)]))
    made = np.fft.ifft2(np.fft.fft2(drawn) * np.exp(-((waves / 0.18) ** 2))).real
    made = 0.5 + made / (6 * made.std())
    return np.asarray(np.clip(made, 0, 1)[..., None], np.float32)


def _mesh(
    mi: ModuleType, points: Float, normals: Float, triangles: Ints, surface: Any, colors: Float | None = None
) -> Any:
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(surface)
    mesh = mi.Mesh(
        "mesh",
        len(points),
        len(triangles),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    if colors is not None:
        mesh.add_attribute("vertex_color", 3, [0.0] * (3 * len(points)))
    held = mi.traverse(mesh)
    held["vertex_positions"] = np.ascontiguousarray(points, np.float32).ravel()
    held["vertex_normals"] = np.ascontiguousarray(normals, np.float32).ravel()
    # In meters along the surface of a pillar, near enough to the face's for grains to keep their size.
    around = 0.09 * np.arctan2(points[:, 0], points[:, 2] + 0.06)
    held["vertex_texcoords"] = np.stack([around, points[:, 1]], axis=1).astype(np.float32).ravel()
    held["faces"] = np.ascontiguousarray(triangles, np.uint32).ravel()
    if colors is not None:
        held["vertex_color"] = np.ascontiguousarray(colors, np.float32).ravel()
    held.update()
    return mesh


def _normals(points: Float, triangles: Ints) -> Float:
    a, b, c = points[triangles].transpose(1, 0, 2)
    facets = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for k in range(3):
        np.add.at(total, triangles[:, k], facets)
    made: Float = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return made


def _matt(color: Rgb) -> dict[str, Any]:
    return {"type": "twosided", "inside": {"type": "diffuse", "reflectance": _rgb(color)}}


def _lamp(*color: float, often: float = 1.0) -> dict[str, Any]:
    """often: how much more often than a usual lamp a surface looks whether it is lit by this one."""
    return {"type": "area", "radiance": _rgb(color), "sampling_weight": often}


def _rgb(color: Any) -> dict[str, Any]:
    return {"type": "rgb", "value": [float(channel) for channel in color]}
