"""The sheet: what a facet was shaded as becomes its shape."""

from __future__ import annotations

import numpy as np
import torch

from services.printing.surface import RELIEF_MM, make_sheet, vertex_normals
from services.shape.basis import load_basis
from services.shape.decode import Decoder

BASIS = load_basis("makehuman-mask-1")


def test_a_coarse_ball_becomes_rounder():
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)], float)
    corners = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    corners *= 3.0 / np.linalg.norm(corners[0])
    side = np.linalg.norm(corners[0] - corners, axis=1)
    side = side[side > 0].min()
    triples = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if max(np.linalg.norm(corners[[a, b, c]] - corners[[b, c, a]], axis=1)) < side + 1e-6
    ]
    triangles = np.array(
        [t if np.linalg.det(corners[list(t)]) > 0 else (t[0], t[2], t[1]) for t in triples], np.int64
    )
    assert len(triangles) == 20
    radius = np.linalg.norm(make_sheet(corners, triangles).points, axis=1)
    flat = 3.0 * 0.795  # the radius of an icosahedron's inner ball
    assert radius.max() - radius.min() < 0.5 * (3.0 - flat)


def test_the_shape_has_the_normals_that_machines_were_shown():
    genome = np.random.default_rng(3).normal(0, 1.5, (1, len(BASIS.gene_names))).astype(np.float32)
    vertices = Decoder(BASIS).decode(torch.from_numpy(genome))[0].numpy().astype(np.float64)
    vertices *= 180 / np.ptp(vertices[:, 0])
    triangles = np.asarray(BASIS.triangles, np.int64)
    sheet = make_sheet(vertices, triangles)
    shown, _ = vertex_normals(vertices, triangles)
    shown = (sheet.corner @ shown[triangles[sheet.part]]).mean(axis=1)
    shown /= np.linalg.norm(shown, axis=1, keepdims=True)
    flat = (sheet.corner @ vertices[triangles[sheet.part]]).reshape(-1, 3)
    points = np.zeros_like(sheet.points)
    points[sheet.triangles.reshape(-1)] = flat

    def off_deg(of):
        a, b, c = of[sheet.triangles].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        return np.degrees(np.arccos(np.clip((normal * shown).sum(axis=1), -1, 1))).mean()

    assert off_deg(sheet.points) < 0.75 * off_deg(points)  # folds that must not move keep theirs
    assert np.linalg.norm(sheet.points - points, axis=1).max() <= RELIEF_MM + 1e-9
