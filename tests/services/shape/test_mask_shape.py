"""Facts of the neutral mask: its size, its topology and where its landmarks lie."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

LEFT_RIGHT = (
    ("left_eye_outer", "right_eye_outer"),
    ("left_eye_inner", "right_eye_inner"),
    ("left_pupil", "right_pupil"),
    ("left_nostril", "right_nostril"),
    ("mouth_left", "mouth_right"),
    ("brow_left", "brow_right"),
    ("strap_left", "strap_right"),
)


def half_edges(triangles):
    return [tuple(edge) for edge in triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()]


def components(triangles):
    """Sets of triangle indices that hang together by edges."""
    across = defaultdict(list)
    for index, edge in enumerate(half_edges(triangles)):
        across[frozenset(edge)].append(index // 3)
    neighbors = defaultdict(set)
    for pair in across.values():
        for face in pair:
            neighbors[face].update(pair)
    left, parts = set(range(len(triangles))), []
    while left:
        part, queue = set(), [left.pop()]
        while queue:
            face = queue.pop()
            part.add(face)
            fresh = neighbors[face] & left
            left -= fresh
            queue.extend(fresh)
        parts.append(part)
    return sorted(parts, key=len, reverse=True)


def boundary_loops(triangles):
    """Vertex lists of the closed loops of edges that have one face only."""
    edges = set(half_edges(triangles))
    follow = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while follow:
        start, vertex = follow.popitem()
        loop = [start]
        while vertex != start:
            loop.append(vertex)
            vertex = follow.pop(vertex)
        loops.append(loop)
    return sorted(loops, key=len, reverse=True)


def test_neutral_measures_are_those_of_a_face(basis):
    left, right = (basis.neutral[basis.landmarks[f"{side}_pupil"]] for side in ("left", "right"))
    assert np.linalg.norm(right - left) == pytest.approx(0.063, abs=1e-6)
    assert (left + right) / 2 == pytest.approx([0, 0, 0], abs=1e-6)
    width, height, depth = np.ptp(basis.neutral, axis=0)
    assert 0.135 < width < 0.150
    assert 0.180 < height < 0.190
    assert 0.08 < depth < 0.10


def test_one_open_surface_and_two_eye_caps(basis):
    skin, *eyes = components(basis.triangles)
    assert [len(eye) for eye in eyes] == [len(eyes[0])] * 2
    assert len(skin) > 10 * len(eyes[0])
    pupils = {basis.landmarks["left_pupil"], basis.landmarks["right_pupil"]}
    for eye in eyes:
        assert len(pupils & set(basis.triangles[list(eye)].reshape(-1).tolist())) == 1
    # The skin is a disk with two eye openings (Euler characteristic 1 - 2): mouth and nostrils are closed.
    faces = basis.triangles[list(skin)]
    edges = {frozenset(edge) for edge in half_edges(faces)}
    assert len(np.unique(faces)) - len(edges) + len(faces) == -1
    assert len(boundary_loops(faces)) == 3
    for eye in eyes:
        assert len(boundary_loops(basis.triangles[list(eye)])) == 1


def test_every_edge_is_used_once_in_each_sense(basis):
    assert max(Counter(half_edges(basis.triangles)).values()) == 1
    assert np.array_equal(np.unique(basis.triangles), np.arange(len(basis.neutral)))


def test_triangles_are_wound_outward_and_none_is_degenerate(basis):
    a, b, c = basis.neutral.astype(np.float64)[basis.triangles].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a) / 2
    area = np.linalg.norm(normals, axis=1)
    assert area.min() > 1e-8  # 0.01 mm2
    # Seen from inside the head, behind the face's middle, the outside is away from the eye: most of a convex
    # shell's area; what is not (lids' inner rims, under the nose, between the lips) is small.
    outward = ((a + b + c) / 3 - (0.0, -0.02, -0.09)) * normals
    assert area[outward.sum(axis=1) > 0].sum() / area.sum() > 0.95


def test_no_gap_between_lids_and_eyeballs(basis):
    skin, *_ = components(basis.triangles)
    rims = boundary_loops(basis.triangles[list(skin)])[1:]
    for side in ("left", "right"):
        pupil = basis.neutral[basis.landmarks[f"{side}_pupil"]]
        center = pupil - (0.0, 0.0, 0.015)  # the eyeball's radius is 15 mm
        rim = min(rims, key=lambda loop: np.linalg.norm(basis.neutral[loop].mean(axis=0) - pupil))
        assert np.linalg.norm(basis.neutral[rim] - center, axis=1).max() < 0.0131


def test_the_neutral_mask_is_its_own_mirror_image(basis, mirror):
    present = {frozenset(triangle) for triangle in basis.triangles.tolist()}
    assert {frozenset(triangle) for triangle in mirror[basis.triangles].tolist()} == present
    for left, right in LEFT_RIGHT:
        assert mirror[basis.landmarks[left]] == basis.landmarks[right]
        assert basis.neutral[basis.landmarks[left], 0] < 0  # "left" is the viewer's


def test_landmarks_lie_in_the_order_of_a_face(basis):
    x, y, z = (
        {name: float(basis.neutral[i, axis]) for name, i in basis.landmarks.items()} for axis in range(3)
    )
    outward = ["left_eye_outer", "left_pupil", "left_eye_inner"]
    outward += ["right_eye_inner", "right_pupil", "right_eye_outer"]
    assert sorted(outward, key=x.__getitem__) == outward
    downward = ["brow_left", "left_pupil", "nose_tip", "nose_base", "mouth_left", "chin"]
    assert sorted(downward, key=lambda name: -y[name]) == downward
    assert max(z, key=z.__getitem__) == "nose_tip"
    assert basis.neutral[:, 2].max() == pytest.approx(z["nose_tip"])
    assert z["nose_base"] < z["nose_tip"] - 0.01
    # Straps sit where slots of 4 x 12 mm with a margin fit: over 8 mm from the rim.
    rim = basis.neutral[boundary_loops(basis.triangles)[0]]
    for side in ("left", "right"):
        strap = basis.neutral[basis.landmarks[f"strap_{side}"]]
        assert np.linalg.norm(rim - strap, axis=1).min() > 0.008
