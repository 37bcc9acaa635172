"""Write a mask as binary glTF 2.0 (``mask.glb``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import trimesh

from services.errors import BadInput
from services.shape.catalog import basis_info
from services.srgb import srgb_to_linear

LICENCE = "CC0-1.0"  # of every shipped basis; ``extras`` say the basis's own, see notes_of
_SKIN_SRGB = (199, 158, 133)


def notes_of(basis_id: str) -> dict[str, str]:
    """What the ``extras`` of a mask say of its basis. :raises BadInput: where there is no such basis."""
    return {"basis": basis_id, "licence": basis_info(basis_id).licence}


def smooth_normals(vertices: npt.ArrayLike, triangles: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Area-weighted unit normals per vertex, ``(V, 3)``; +Z where the faces around a vertex cancel out."""
    points = np.asarray(vertices, np.float64)
    corners = np.asarray(triangles, np.int64)
    a, b, c = points[corners].transpose(1, 0, 2)
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    np.add.at(normals, corners.reshape(-1), np.repeat(faces, 3, axis=0))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-20, normals / np.maximum(length, 1e-20), (0.0, 0.0, 1.0)).astype(np.float32)


def _linear_rgba(srgb: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """sRGB 0..255, ``(n, 3)`` or ``(n, 4)``, to glTF's linear RGBA 0..1, ``(n, 4)``."""
    value = np.atleast_2d(np.asarray(srgb, np.float64)) / 255
    rgb = srgb_to_linear(value)[:, :3]
    alpha = value[:, 3:] if value.shape[1] == 4 else np.ones((len(value), 1))
    return np.concatenate([rgb, alpha], axis=1)


def write_glb(
    vertices: npt.NDArray[np.floating[Any]],
    triangles: npt.NDArray[np.integer[Any]],
    colors: npt.NDArray[np.uint8] | None = None,
    name: str = "mask",
    extras: Mapping[str, Any] | None = None,
) -> bytes:
    """Encode one mask as glTF 2.0, binary; the same arguments give the same bytes.

    vertices: ``(V, 3)`` in meters, +Y up, the face looks along +Z, which is glTF's own frame. triangles:
    ``(T, 3)``. colors: ``(V, 3)`` or ``(V, 4)`` uint8 sRGB (written as linear RGBA, as glTF asks), or None
    for one skin color. name: of node and mesh. extras: plain JSON data for ``asset.extras`` (mask id,
    basis ...); ``name`` and ``licence`` are filled in if absent. Normals are smooth, the material is
    two-sided. Raises BadInput where a vertex is not finite or the arrays have other shapes.
    """
    points = np.asarray(vertices, np.float32)
    corners = np.asarray(triangles)
    if points.ndim != 2 or points.shape[1] != 3 or corners.ndim != 2 or corners.shape[1] != 3:
        raise BadInput(
            f"mask {name!r}: vertices have shape {points.shape} and triangles {corners.shape}, "
            "expected (V, 3) and (T, 3): one mask at a time"
        )
    if not np.isfinite(points).all():
        raise BadInput(f"mask {name!r} has vertices that are not finite: its genome has no shape to export")
    if colors is not None and len(colors) != len(points):
        raise BadInput(f"mask {name!r}: {len(colors)} colors for {len(points)} vertices, expected one each")

    skin = [1.0, 1.0, 1.0, 1.0] if colors is not None else _linear_rgba(_SKIN_SRGB)[0].round(4).tolist()
    material = trimesh.visual.material.PBRMaterial(
        name="mask", baseColorFactor=skin, metallicFactor=0.0, roughnessFactor=0.7, doubleSided=True
    )
    mesh = trimesh.Trimesh(
        points, corners, vertex_normals=smooth_normals(points, corners), process=False, validate=False
    )
    mesh.visual = trimesh.visual.TextureVisuals(material=material)
    if colors is not None:
        mesh.visual.vertex_attributes["color"] = np.rint(_linear_rgba(colors) * 255).astype(np.uint8)
    scene = trimesh.Scene()
    scene.add_geometry(mesh, node_name=name, geom_name=name)
    notes = {"name": name, "licence": LICENCE, **(extras or {})}

    def annotate(tree: dict[str, Any]) -> None:
        tree["asset"]["extras"] = notes

    data: bytes = trimesh.exchange.gltf.export_glb(scene, include_normals=True, tree_postprocessor=annotate)
    return data
