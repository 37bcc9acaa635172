"""Beauty shots: one mask as an object, under studio light, on a dark ground.

The lamps are those of :mod:`services.rendering.rig`; the key casts soft shadows where OpenGL is at hand.
Not for scoring: these pictures
are for people, and may differ in bytes from one graphics driver to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.errors import BadInput, Unavailable
from services.rendering.camera import CENTER_M, Cameras, Point, rotations
from services.rendering.normals import Triple, vertex_faces_of, vertex_normals
from services.rendering.opengl import load_pyrender, offscreen
from services.rendering.opengl_renderer import light_pose
from services.rendering.rig import LIGHTS, NYLON, SKY, Material
from services.rendering.shading import attribute, lambert_and_highlight, rasterize, surface
from services.srgb import linear_to_srgb, srgb_to_linear

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Corners = NDArray[np.integer[Any]]

_SUPERSAMPLING = 3
DISTANCE_M = 1.2
# Display values of the ground, in the middle and in the corners.
_GROUND = (0.13, 0.035)


@dataclass(frozen=True)
class Shot:
    """How a mask is photographed. field_mm: width of the picture at the mask. yaw_deg > 0 turns it toward +X.

    material: nylon, plaster, or colors of its own. (A mirror needs a studio to reflect: exhibition's has
    one.) center_m: what the camera looks at, the basis's center.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    size_px: int = 1024
    field_mm: float = 245.0
    material: Material = NYLON
    center_m: Point = CENTER_M


def beauty_shot(
    vertices: Floats, triangles: Corners, shot: Shot | None = None, colors: Floats | None = None
) -> Image:
    """A picture (S, S, 3) of one mask, by OpenGL, or by the torch rasterizer where OpenGL is missing.

    ``vertices`` (V, 3) in meters, ``triangles`` (T, 3), ``colors`` (V, 3) display values in 0 to 1 in place
    of the material's. Raises :class:`BadInput` for arrays that do not fit.
    """
    try:
        return opengl_shot(vertices, triangles, shot, colors)
    except Unavailable:
        return torch_shot(vertices, triangles, shot, colors)


def torch_shot(
    vertices: Floats, triangles: Corners, shot: Shot | None = None, colors: Floats | None = None
) -> Image:
    """As :func:`beauty_shot`, by the torch rasterizer, 3 x 3 samples a pixel; without cast shadows."""
    shot = shot or Shot()
    vertices, linear = _checked(vertices, triangles, colors)
    camera = _camera(shot, shot.size_px * _SUPERSAMPLING)
    with torch.inference_mode():
        corners = torch.from_numpy(np.asarray(triangles, dtype=np.int64))
        canvas = _drawn(vertices, corners, linear, camera, shot)
    return _reduced(canvas.numpy())


def opengl_shot(
    vertices: Floats, triangles: Corners, shot: Shot | None = None, colors: Floats | None = None
) -> Image:
    """As :func:`beauty_shot`, by OpenGL with a shadow of the key light. Raises :class:`Unavailable` without
    it.
    """
    shot = shot or Shot()
    vertices, linear = _checked(vertices, triangles, colors)
    pyrender = load_pyrender()
    # Drawn large and averaged down: pyrender's own four samples a pixel leave visible steps on thin edges.
    factor = 2 if shot.size_px <= 2048 else 1
    size = shot.size_px * factor
    camera = _camera(shot, size)
    scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=list(SKY))
    pose = np.eye(4)
    pose[:3, :3] = camera.rotation[0]
    pose[:3, 3] = -(camera.rotation[0].astype(np.float64) @ np.array(shot.center_m))
    scene.add(_two_sided(vertices, np.asarray(triangles, dtype=np.int64), linear, shot.material), pose=pose)
    focal = float(camera.focal_px[0])
    lens = pyrender.IntrinsicsCamera(focal, focal, size / 2, size / 2, znear=0.1, zfar=10.0)
    stand = np.eye(4)
    stand[2, 3] = DISTANCE_M
    scene.add(lens, pose=stand)
    for lamp in LIGHTS:
        # pyrender divides diffuse light by pi, and takes about a tenth for reflection.
        strength = max(lamp.power)
        tint = [channel / strength for channel in lamp.power]
        light = pyrender.DirectionalLight(color=tint, intensity=strength * np.pi * 1.1)
        scene.add(light, pose=light_pose(lamp.direction))
    flags = pyrender.RenderFlags.RGBA | pyrender.RenderFlags.SHADOWS_DIRECTIONAL
    with offscreen(size, _soft_shadow_shaders()) as target:
        picture, _ = target.render(scene, flags=flags)
    # pyrender encodes by a plain power of 2.2; alpha is the share of a pixel's samples that hit.
    light = (np.asarray(picture)[..., :3] / 255.0) ** 2.2
    share = np.asarray(picture)[..., 3:] / 255.0
    return _reduced((light + (1 - share) * _ground(size)).astype(np.float32), factor)


def _soft_shadow_shaders() -> dict[str, str]:
    """pyrender's shaders with a shadow that suits a mask of some 4,000 triangles.

    Its own bias, 0.25 to 2.5 mm at this scale, lets flat triangles under a smooth normal shadow themselves in
    patches; its filter of 3 x 3 texels draws hard edges.
    """
    folder = Path(load_pyrender().__file__ or "").parent / "shaders"
    kinds = {".vert", ".frag", ".geom"}
    shaders = {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.suffix in kinds}
    text = shaders["mesh.frag"]
    for old, new in (
        (
            "float bias = max(0.001 * (1.0 - nl), 0.0001) / proj_coords.w;",
            "float bias = mix(0.006, 0.0016, nl);",
        ),
        ("for(int x=-1; x<=1; x++){", "for(int x=-3; x<=3; x++){"),
        ("for(int y=-1; y<=1; y++){", "for(int y=-3; y<=3; y++){"),
        ("vec2 off = vec2(x,y)/size;", "vec2 off = 2.5*vec2(x,y)/size;"),
        ("return result/9.0;", "return result/49.0;"),
    ):
        if old not in text:
            raise Unavailable("pyrender's mesh.frag is not that of version 0.1.45: install pyrender==0.1.45")
        text = text.replace(old, new)
    return {**shaders, "mesh.frag": text}


def _drawn(vertices: Floats, triangles: Tensor, linear: Floats | None, camera: Cameras, shot: Shot) -> Tensor:
    """Linear picture (S, S, 3) of the torch rasterizer."""
    size = camera.size_px
    turned = (vertices - np.array(shot.center_m, dtype=np.float32)) @ camera.rotation[0].T
    x, y, z = torch.from_numpy(np.ascontiguousarray(turned.T))[:, :, None]
    normals: Triple = vertex_normals((x, y, z), triangles, vertex_faces_of(triangles, len(vertices)))
    focal = float(camera.focal_px[0])
    fragments = rasterize(x * focal, -y * focal, DISTANCE_M - z, triangles, size)
    seen = surface(normals, triangles, fragments, torch.tensor([1.0 / focal]))
    light = torch.tensor(SKY).repeat(len(fragments.x), 1)
    shine = torch.zeros(len(fragments.x), 3)
    for lamp in LIGHTS:
        lambert, highlight = lambert_and_highlight(seen, torch.from_numpy(lamp.direction)[None])
        power = torch.tensor(lamp.power)
        light += lambert[:, None] * power
        shine += (highlight * shot.material.finish.gloss)[:, None] * power
    if linear is None:
        albedo = torch.tensor(shot.material.albedo)
    else:
        columns = torch.from_numpy(np.ascontiguousarray(linear.T))[:, :, None]
        planes = [attribute(c, triangles, fragments.corners, fragments.special) for c in columns]
        over = [plane.over_depth(fragments.visible, fragments.x, fragments.y) for plane in planes]
        albedo = torch.stack([o / fragments.visible.inverse_depth for o in over], dim=-1)
    canvas = torch.from_numpy(_ground(size).astype(np.float32)).repeat(1, 1, 3).reshape(-1, 3)
    canvas[fragments.visible.pixel] = light * albedo + shine
    return canvas.view(size, size, 3)


def _two_sided(
    vertices: Floats, triangles: NDArray[np.int64], linear: Floats | None, material: Material
) -> Any:
    """The mesh and its inside-out twin: pyrender lights one side only, and culling shows each its own."""
    pyrender = load_pyrender()
    faces = torch.from_numpy(triangles)
    x, y, z = torch.from_numpy(np.ascontiguousarray(vertices.T))[:, :, None]
    normals = torch.cat(
        vertex_normals((x, y, z), faces, vertex_faces_of(faces, len(vertices))), dim=1
    ).numpy()
    plain, white = np.array([*material.albedo, 1.0]), np.ones(4)
    roughness = 0.9 if material.finish.gloss < 0.05 else 0.55
    primitive = pyrender.Primitive(
        positions=np.concatenate([vertices, vertices]),
        normals=np.concatenate([normals, -normals]),
        indices=np.concatenate([triangles, triangles[:, ::-1] + len(vertices)]).astype(np.uint32),
        color_0=None if linear is None else np.concatenate([linear, linear]),
        material=pyrender.MetallicRoughnessMaterial(
            baseColorFactor=plain if linear is None else white, metallicFactor=0.0, roughnessFactor=roughness
        ),
    )
    return pyrender.Mesh(primitives=[primitive])


def _checked(
    vertices: Floats, triangles: NDArray[np.integer[Any]], colors: Floats | None
) -> tuple[Floats, Floats | None]:
    points = np.array(vertices, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise BadInput(f"vertices: expected finite numbers of shape (V, 3), got shape {points.shape}")
    corners = np.asarray(triangles)
    if corners.ndim != 2 or corners.shape[1] != 3 or corners.min() < 0 or corners.max() >= len(points):
        raise BadInput(f"triangles: expected vertex indices of shape (T, 3), got shape {corners.shape}")
    if colors is None:
        return points, None
    tint = np.asarray(colors, dtype=np.float32)
    if tint.shape != points.shape:
        raise BadInput(f"colors: expected shape {points.shape}, got {tint.shape}")
    return points, srgb_to_linear(np.clip(tint, 0, 1)).astype(np.float32)


def _camera(shot: Shot, size_px: int) -> Cameras:
    one = [np.array([value], dtype=np.float32) for value in (shot.yaw_deg, shot.pitch_deg, 0.0)]
    focal = np.array([size_px * DISTANCE_M / (shot.field_mm * 1e-3)], dtype=np.float32)
    return Cameras(rotations(*one), np.array([DISTANCE_M], dtype=np.float32), focal, size_px)


def _ground(size: int) -> NDArray[np.float64]:
    """Linear gray (S, S, 1) that falls off from behind the mask to the corners."""
    at = (np.arange(size) + 0.5) / size * 2 - 1
    distance = np.minimum(np.hypot(at[None], at[:, None]) / np.sqrt(2), 1.0)
    middle, corner = _GROUND
    fall = 0.5 + 0.5 * np.cos(np.pi * distance)
    return srgb_to_linear(corner + (middle - corner) * fall)[..., None]


def _reduced(linear: NDArray[np.float32], factor: int = _SUPERSAMPLING) -> Image:
    """Average blocks of ``factor`` squared samples in linear light, then encode."""
    size = linear.shape[0] // factor
    blocks = np.minimum(linear, 1.0).reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    return (linear_to_srgb(blocks) * 255 + 0.5).astype(np.uint8)
