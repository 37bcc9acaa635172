"""GLB files, read back by trimesh as any other program would."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import trimesh

from services.errors import BadInput
from services.shape.export import smooth_normals, write_glb


def header(data):
    magic, version, length, size, kind = struct.unpack("<5I", data[:20])
    assert (magic, version, length, kind) == (0x46546C67, 2, len(data), 0x4E4F534A)
    return json.loads(data[20 : 20 + size])


def read(data):
    return trimesh.load(io.BytesIO(data), file_type="glb", process=False)


def test_round_trip_in_meters_with_the_names(basis):
    data = write_glb(basis.neutral, basis.triangles, name="i03-g0041-007", extras={"basis": basis.id})
    scene = read(data)
    assert list(scene.geometry) == ["i03-g0041-007"]
    mesh = scene.geometry["i03-g0041-007"]
    assert np.array_equal(mesh.faces, basis.triangles)
    np.testing.assert_array_equal(mesh.vertices.astype(np.float32), basis.neutral)
    np.testing.assert_allclose(scene.bounds, [basis.neutral.min(axis=0), basis.neutral.max(axis=0)])
    left, right = (mesh.vertices[basis.landmarks[f"{side}_pupil"]] for side in ("left", "right"))
    assert right - left == pytest.approx([0.063, 0, 0], abs=1e-6)
    assert (left + right) / 2 == pytest.approx([0, 0, 0], abs=1e-6)
    assert mesh.vertices[basis.landmarks["nose_tip"], 2] > 0.02  # the face looks along +Z
    assert mesh.vertices[basis.landmarks["chin"], 1] < 0 < mesh.vertices[basis.landmarks["brow_left"], 1]


def test_the_file_says_what_it_is(basis):
    extras = {"basis": basis.id, "run": "portrait"}
    tree = header(write_glb(basis.neutral, basis.triangles, name="i00-g0001-002", extras=extras))
    assert tree["asset"]["version"] == "2.0"
    assert tree["asset"]["extras"] == {"name": "i00-g0001-002", "licence": "CC0-1.0", **extras}
    assert [material["doubleSided"] for material in tree["materials"]] == [True]
    assert set(tree["meshes"][0]["primitives"][0]["attributes"]) == {"POSITION", "NORMAL"}
    assert [set(node) <= {"name", "mesh", "children"} for node in tree["nodes"]] == [True] * len(
        tree["nodes"]
    )


def test_the_same_mask_gives_the_same_bytes(basis):
    one, two = (write_glb(basis.neutral.copy(), basis.triangles, name="a") for _ in range(2))
    assert one == two
    assert one != write_glb(basis.neutral * np.float32(1.001), basis.triangles, name="a")


def test_normals_are_smooth_and_point_to_the_viewer_at_the_nose(basis):
    normals = smooth_normals(basis.neutral, basis.triangles)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert normals[basis.landmarks["left_pupil"]] == pytest.approx([0, 0, 1], abs=0.01)
    mesh = read(write_glb(basis.neutral, basis.triangles)).geometry["mask"]
    np.testing.assert_allclose(mesh.vertex_normals, normals, atol=1e-5)


def test_colors_are_written_as_linear_light(basis):
    colors = np.zeros((len(basis.neutral), 3), np.uint8)
    colors[:, 0], colors[:, 1] = 255, 188
    tree_data = write_glb(basis.neutral, basis.triangles, colors=colors)
    assert "COLOR_0" in header(tree_data)["meshes"][0]["primitives"][0]["attributes"]
    mesh = read(tree_data).geometry["mask"]
    found = (
        mesh.visual.vertex_attributes["color"] if mesh.visual.kind == "texture" else mesh.visual.vertex_colors
    )
    assert np.asarray(found)[0].tolist() == [255, 128, 0, 255]  # sRGB 188 is half the light of 255


@pytest.mark.parametrize("spoil", ["nan", "batch", "colors"])
def test_what_cannot_be_exported_is_refused(basis, spoil):
    vertices, colors = basis.neutral.copy(), None
    if spoil == "nan":
        vertices[3, 1] = np.nan
    elif spoil == "batch":
        vertices = vertices[None]
    else:
        colors = np.zeros((3, 3), np.uint8)
    with pytest.raises(BadInput, match="mask 'i00'"):
        write_glb(vertices, basis.triangles, colors=colors, name="i00")
