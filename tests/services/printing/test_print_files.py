"""Files as others read them: lib3mf, trimesh, and admesh where it is there."""

from __future__ import annotations

import io
import os
import shutil
import subprocess

import numpy as np
import pytest
import trimesh
from manifold3d import Manifold

from services.errors import BadInput, CorruptData
from services.printing import files
from services.printing.colors import carried, glb_colors, parse_color
from services.printing.solid import arrays
from services.shape.export import write_glb

NOTES = {"Title": "A <mask> & more", "LicenseTerms": "CC0-1.0", "mask": "i00-g0001-002"}


def part(colored):
    points, triangles = arrays(Manifold.sphere(20.0, 32) - Manifold.cube((30, 8, 8), True))
    colors = np.random.default_rng(1).integers(0, 256, points.shape).astype(np.uint8) if colored else None
    return files.Part("test", points - points.min(axis=0), triangles, (200, 100, 50), colors, NOTES)


@pytest.mark.parametrize("colored", [False, True])
def test_lib3mf_reads_the_3mf_without_a_warning(colored):
    lib3mf = pytest.importorskip("lib3mf", reason="lib3mf has no build for this machine")
    made = part(colored)
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromBuffer(files.three_mf(made))
    assert reader.GetWarningCount() == 0
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    objects = model.GetMeshObjects()
    assert objects.MoveNext()
    mesh = objects.GetCurrentMeshObject()
    assert (mesh.GetVertexCount(), mesh.GetTriangleCount()) == (len(made.points), len(made.triangles))
    assert mesh.IsManifoldAndOriented()
    assert model.GetMetaDataGroup().GetMetaDataByKey("", "Title").GetValue() == NOTES["Title"]
    assert model.GetColorGroups().Count() == int(colored)


def test_every_format_holds_the_same_solid():
    made = part(True)
    volume = trimesh.Trimesh(made.points, made.triangles).volume
    for kind, data in (("stl", files.stl(made)), ("ply", files.ply(made)), ("obj", files.obj(made, "a.mtl"))):
        read = trimesh.load(io.BytesIO(data), file_type=kind)
        assert read.volume == pytest.approx(volume, rel=1e-4), kind
        assert read.is_watertight, kind
    ply = trimesh.load(io.BytesIO(files.ply(made)), file_type="ply", process=False)
    np.testing.assert_array_equal(ply.visual.vertex_colors[:, :3], made.colors)


def test_the_same_part_gives_the_same_bytes():
    for make in (files.three_mf, files.stl, files.ply):
        assert make(part(True)) == make(part(True))


def test_admesh_finds_nothing_to_repair(tmp_path):
    if shutil.which("admesh") is None:
        if os.environ.get("CI"):
            pytest.fail("admesh is missing: apt-get install admesh")
        pytest.skip("admesh is missing: apt-get install admesh")
    path = tmp_path / "part.stl"
    path.write_bytes(files.stl(part(False)))
    # It prints the header of 80 bytes and whatever comes after it in its memory.
    done = subprocess.run(["admesh", str(path)], capture_output=True, check=True)
    said = done.stdout.decode("utf-8", errors="replace")
    for line in ("Degenerate facets", "Edges fixed", "Facets removed", "Facets added", "Facets reversed"):
        (found,) = [row for row in said.splitlines() if line in row]
        assert found.split(line)[1].split(":")[1].split()[0] == "0", found


def test_colors_travel_from_a_gaze_map_to_the_solid():
    vertices = np.array([(0, 0, 0), (10, 0, 0), (0, 10, 0)], float)
    triangles = np.array([(0, 1, 2)])
    colors = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    data = write_glb(vertices, triangles, colors)
    read = glb_colors(data, 3, "gaze.glb")
    assert np.abs(read.astype(int) - colors).max() <= 2
    near = np.array([(0.1, 0.1, 2.0), (9.9, 0.0, -1.0), (0.0, 9.9, 0.5)])
    assert np.abs(carried(near, vertices, triangles, colors).astype(int) - colors).max() <= 17
    with pytest.raises(BadInput, match="no color"):
        glb_colors(write_glb(vertices, triangles), 3, "gaze.glb")
    with pytest.raises(CorruptData, match=r"gaze\.glb"):
        glb_colors(b"nothing", 3, "gaze.glb")


def test_a_color_is_six_digits():
    assert parse_color("#0a7Fff") == (10, 127, 255)
    with pytest.raises(BadInput, match="rrggbb"):
        parse_color("red")
