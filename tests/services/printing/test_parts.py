"""Parts of a solid that is larger than the bed, where it hangs, tongues that stand out too far, and eyes."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import igl
import numpy as np
import pytest
import trimesh
from manifold3d import Manifold

from services.errors import BadInput
from services.printing import parts as parts_module
from services.printing.catalog import make_order, voxel_mm_for
from services.printing.checks import BLADE, longest_blade_mm
from services.printing.eyes import with_eyes
from services.printing.fittings import _hangs, add_fittings
from services.printing.intersections import self_intersections
from services.printing.openings import Fitted, ray
from services.printing.parts import apart, way_to_lie
from services.printing.solid import arrays, make_wall
from services.printing.surface import make_sheet
from services.shape.basis import load_basis

BASIS = load_basis("makehuman-mask-1")
ORDER = make_order(width_mm=130.0, wall_mm=3.0, mount="none", bed_mm="110x110x120", parts=True)


@pytest.fixture(scope="module")
def wall():
    return make_wall(np.array(BASIS.neutral), BASIS.triangles, ORDER, 1.0)


@pytest.fixture(scope="module")
def pieces(wall):
    return apart(wall.body, ORDER)


def test_every_part_is_closed_one_body_and_fits_the_bed(wall, pieces):
    assert not way_to_lie(tuple(np.ptp(arrays(wall.body)[0], axis=0)), ORDER)
    assert len(pieces) > 1
    assert len({piece.name for piece in pieces}) == len(pieces)
    for piece in pieces:
        points, triangles = arrays(piece.body)
        mesh = trimesh.Trimesh(points, triangles, process=False)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.body_count == 1
        assert way_to_lie(piece.size_mm, ORDER), piece.size_mm
        np.testing.assert_allclose(piece.size_mm, np.ptp(points, axis=0), atol=1e-3)


def test_pegs_have_holes_and_together_the_parts_are_the_whole(wall, pieces):
    assert sum(piece.pegs for piece in pieces) == sum(piece.holes for piece in pieces) > 1
    assert all(piece.pegs + piece.holes for piece in pieces)
    for one, other in combinations(pieces, 2):
        assert (one.body ^ other.body).volume() < 1e-3  # a peg stands free in its hole
    whole = pieces[0].body
    for piece in pieces[1:]:
        whole = whole + piece.body
    assert (wall.body - whole).volume() < 0.002 * wall.body.volume()
    # Nothing stands out at the front, not even a skin, and no faces cross.
    assert [self_intersections(*arrays(piece.body)) for piece in pieces] == [0] * len(pieces)
    corners = np.concatenate([arrays(piece.body)[0] for piece in pieces])
    far = np.sqrt(igl.point_mesh_squared_distance(corners, *arrays(wall.body))[0])
    looks = [ray(wall.body, corner, np.array((0.0, 0.0, 1.0)), 1000.0) for corner in corners[far > 0.1]]
    assert len(looks) > 100
    assert all(looks)
    # What was added is on the inside: from the front the face is the same.
    moved = []
    for x, y in product(range(-50, 51, 10), range(-60, 61, 10)):
        start = np.array((x, y, 300.0))
        first = [ray(body, start, np.array((0.0, 0.0, -1.0)), 1000.0) for body in (wall.body, whole)]
        if first[0] and first[1]:
            moved.append(abs(first[0][0] - first[1][0]))
    assert len(moved) > 60
    assert np.quantile(moved, 0.9) < 0.01  # but for the gap of a cut


def test_what_fits_is_left_whole_and_what_is_too_deep_is_refused(wall):
    (whole,) = apart(wall.body, make_order(width_mm=130.0, mount="none", parts=True))
    assert whole.body.volume() == pytest.approx(wall.body.volume())
    with pytest.raises(BadInput, match=r"--parts: the solid is \d+ mm deep"):
        apart(wall.body, make_order(width_mm=130.0, mount="none", bed_mm="40x40x40"))


def test_a_boss_in_sight_is_not_made(wall):
    high = wall.body.bounding_box()
    before = Manifold.sphere(7.0).translate((0.0, 20.0, high[5]))
    assert not parts_module._unseen(wall.body, before - wall.body)


def test_a_boss_does_not_come_out_at_the_front_not_even_a_little():
    plate = Manifold.cube((200.0, 200.0, 3.0)).translate((-100.0, -100.0, 0.0))
    cut = parts_module._Cut(0, 0.0)
    rod = parts_module._rod(cut, np.array((0.0, 0.0, -3.5)), 7.0, -11.0, 11.0)
    bump = (rod - plate).split_by_plane((0.0, 0.0, 1.0), 3.0)[0]
    assert 20 < bump.volume() < parts_module.CRUMB_MM3
    around = parts_module._rod(cut, np.array((0.0, 0.0, -3.5)), 7.5, -11.5, 11.5)
    boss = parts_module._hidden(plate, rod, around, cut)
    assert boss.bounding_box()[5] == pytest.approx(3.0, abs=1e-4)
    assert boss.volume() == pytest.approx(rod.volume() - bump.volume())


def half_pipe(x):
    ring = Manifold.cylinder(110.0, 40.0, circular_segments=96) - Manifold.cylinder(110.0, 37.0)
    return ring.rotate((-90.0, 0.0, 0.0)).trim_by_plane((0.0, 0.0, 1.0), 0.0).translate((x, 0.0, 0.0))


def test_pegs_and_holes_are_told_of_the_piece_that_has_them():
    bridge = Manifold.cube((100.0, 20.0, 3.0)).translate((-50.0, 90.0, 37.0))
    order = make_order(width_mm=180.0, mount="none", bed_mm="200x85x60", parts=True)
    pieces = {piece.name: piece for piece in apart(half_pipe(-50.0) + half_pipe(50.0) + bridge, order)}
    assert sorted(pieces) == ["1-1a", "1-1b", "2-1"]
    cut = pieces["2-1"].body.bounding_box()[1]
    for name in ("1-1a", "1-1b"):
        standing = pieces[name].body.split_by_plane((0.0, 1.0, 0.0), cut + 0.1)[0].decompose()
        assert pieces[name].pegs == len(standing) > 0
        assert pieces[name].holes == 0
    assert pieces["2-1"].holes == sum(pieces[name].pegs for name in ("1-1a", "1-1b"))


def test_cuts_and_bosses_keep_clear_of_fittings_or_are_refused():
    fitting = Manifold.cube((14.0, 14.0, 10.0)).translate((-7.0, 48.0, 28.0))
    body = half_pipe(0.0) + fitting
    clear = [(-7.0, 48.0, 0.0, 7.0, 62.0, 38.0)]
    order = make_order(width_mm=80.0, mount="none", bed_mm="95x85x60", parts=True)
    pieces = apart(body, order, clear)
    assert len(pieces) == 2
    cut = pieces[1].body.bounding_box()[1]
    assert not 48.0 - 4.0 < cut < 62.0 + 4.0
    assert all(way_to_lie(piece.size_mm, order) for piece in pieces)
    assert pieces[0].pegs == pieces[1].holes > 0
    free = Manifold.cube((14.0, 14.0, 36.0)).translate((-7.0, 48.0, 0.0))
    kept = [(piece.body ^ free).volume() for piece in pieces]
    assert kept == pytest.approx([0.0, (body ^ free).volume()], abs=0.1)
    with pytest.raises(BadInput, match=r"no cut across y .* at most 85 mm keeps clear of lug or socket"):
        apart(body, order, [(-40.0, 0.0, 0.0, 40.0, 110.0, 40.0)])


def test_60cm_is_a_size_with_a_wall_and_a_resolution_of_its_own():
    large = make_order(size="60cm", mount="wall")
    assert (large.width_mm, large.height_mm, large.wall_mm) == (415.0, 600.0, 4.0)
    assert voxel_mm_for(large) == 1.0
    usual = make_order()
    assert (usual.width_mm, usual.height_mm, voxel_mm_for(usual)) == (180.0, 260.0, 0.5)
    with pytest.raises(BadInput, match="did you mean '60cm'"):
        make_order(size="60c")


def test_a_lug_is_above_the_center_of_mass_and_says_how_the_mask_hangs(wall):
    work = Fitted(wall.body)
    add_fittings(work, wall, replace(ORDER, mount="wall"), None)
    (clear,) = work.clear
    assert (clear[0] + clear[3]) / 2 == pytest.approx(wall_mass(wall)[0], abs=0.1)
    assert clear[2] == wall.body.bounding_box()[2]  # its nail's way is clear, too
    around = Manifold.cube(np.subtract(clear[3:], clear[:3])).translate(clear[:3])
    joined = work.body - wall.body
    assert (joined ^ around).volume() == pytest.approx(joined.volume(), abs=1.0)
    (note,) = work.notes
    assert note.startswith("hanging lug: hole at x ")
    assert note.endswith("hangs straight")
    assert _hangs((-12.0, 36.5), np.array((0.0, -22.1, 0.0))) == "hangs 11.6° clockwise"
    assert _hangs((12.0, 36.5), np.array((0.0, -22.1, 0.0))) == "hangs 11.6° counterclockwise"


def wall_mass(wall):
    return trimesh.Trimesh(*arrays(wall.body), process=False).center_mass


def strip(width_mm, long_mm):
    """A square plate of 80 mm with a tongue: points (n, 3), triangles (m, 3)."""
    step = 2.0
    x, y = np.meshgrid(np.arange(0, 80 + step, step), np.arange(0, 80 + long_mm + step, step), indexing="ij")
    inside = (y <= 80) | (np.abs(x - 40) <= width_mm / 2)
    index = np.full(x.shape, -1)
    index[inside] = np.arange(inside.sum())
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    whole = (np.stack([a, b, c, d]) >= 0).all(axis=0)
    quads = [part[whole] for part in (a, b, c, d)]
    triangles = np.concatenate(
        [np.stack([quads[k] for k in (0, 1, 2)], 1), np.stack([quads[k] for k in (0, 2, 3)], 1)]
    )
    points = np.stack([x[inside], y[inside], np.zeros(inside.sum())], axis=1)
    used = np.unique(triangles)
    return points[used], np.searchsorted(used, triangles)


@pytest.mark.parametrize(
    ("width_mm", "long_mm", "low", "high"), [(8, 40, 34, 44), (8, 10, 4, 14), (32, 40, 0, 8)]
)
def test_a_tongue_is_as_long_as_it_stands_out(width_mm, long_mm, low, high):
    blade = longest_blade_mm(make_sheet(*strip(width_mm, long_mm)), 2.0)
    assert low <= blade <= high
    assert (blade > BLADE * 2.0) == (width_mm == 8 and long_mm == 40)


def front(vertices, triangles, name):
    """How far forward a ray along -Z from before a landmark first meets the mask, or None."""
    at = np.array(BASIS.neutral[BASIS.landmarks[name]], float)
    corners = np.asarray(vertices, float)[triangles]
    u, v, w = (corners[:, k, :2] - at[:2] for k in range(3))
    parts = np.stack([p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((v, w), (w, u), (u, v))], 1)
    area = parts.sum(axis=1)
    inside = (parts * np.sign(area)[:, None] >= 0).all(axis=1) & (np.abs(area) > 1e-12)
    depths = (parts[inside] / area[inside, None] * corners[inside, :, 2]).sum(axis=1)
    return depths.max() if len(depths) else None


def test_eyes_are_closed_hollow_or_open():
    neutral = np.array(BASIS.neutral)
    closed = with_eyes(neutral, BASIS.triangles, BASIS.landmarks, "closed")
    np.testing.assert_array_equal(closed[0], neutral)
    assert len(closed[1]) == len(BASIS.triangles)
    hollow = with_eyes(neutral, BASIS.triangles, BASIS.landmarks, "hollow")
    opened = with_eyes(neutral, BASIS.triangles, BASIS.landmarks, "open")
    for name in ("left_pupil", "right_pupil"):
        was = front(neutral, BASIS.triangles, name)
        assert 0.004 < was - front(*hollow, name) < 0.03
        assert front(*opened, name) is None
    nose = BASIS.landmarks["nose_tip"]
    np.testing.assert_array_equal(hollow[0][nose], neutral[nose])
    assert len(opened[1]) == len(BASIS.triangles) - 2 * 288
    blank = load_basis("blank-oval-1")
    for eyes in ("hollow", "open"):
        with pytest.raises(BadInput, match="no eyes of its own"):
            with_eyes(blank.neutral, blank.triangles, blank.landmarks, eyes)
    with pytest.raises(BadInput, match="--eyes hollov"):
        make_order(eyes="hollov")
