"""What people write today: one image after the other, with trimesh, pyrender and dlib.

As a careful user would write it: morph targets as one NumPy product, the OpenGL context, the scene and all
models made once, only the mesh, camera and light changed. It does the work that datamask's loop does: every
image is blurred and gets its noise, and every image is embedded, at the detected box or, where no detector
found a face, at the mask's own, since fitness needs a number for every view.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import dlib
import numpy as np
import trimesh
from numpy.typing import NDArray

from bench.stopwatch import Stopwatch
from services.recognition import catalog
from services.rendering.camera import CENTER_M, NEAR_M, Cameras, cameras, light_directions
from services.rendering.opengl import load_pyrender, offscreen
from services.rendering.opengl_renderer import light_pose
from services.rendering.views import Views
from services.shape.basis import Basis

STAGES = ("decode", "render", "hog", "mmod", "align", "resnet")

_SKIN = (0.86, 0.72, 0.64, 1.0)
# pyrender's lights are physical: a surface that faces one of strength pi shows its own color.
_STRENGTH = np.pi


@dataclass(frozen=True)
class Seen:
    """What the loop found in one image: whether each detector reported a face, and the embedding."""

    image: NDArray[np.uint8]
    hog: bool
    mmod: bool
    embedding: NDArray[np.float64]


class UsualLoop:
    """Renders and scores masks one view at a time. Use :func:`usual_loop` to make one."""

    def __init__(self, basis: Basis, views: Views, target: Any) -> None:
        self._pyrender = load_pyrender()
        self._target = target
        self._rng = np.random.default_rng(0)
        self._neutral = basis.neutral.reshape(-1)
        self._deltas = np.concatenate([basis.positive, basis.negative]).reshape(-1, self._neutral.size)
        self._triangles = basis.triangles
        self._cameras, self._views = cameras(views), views
        self._toward_light = light_directions(views)
        self._scenes = self._empty_scene()
        self._material = self._pyrender.MetallicRoughnessMaterial(
            baseColorFactor=_SKIN, metallicFactor=0.0, roughnessFactor=0.8, doubleSided=True
        )
        self._hog = dlib.get_frontal_face_detector()
        self._mmod = dlib.cnn_face_detection_model_v1(_file("dlib-mmod"))
        self._predictor = dlib.shape_predictor(_file("dlib-landmarks-5"))
        self._resnet = dlib.face_recognition_model_v1(_file("dlib-resnet"))

    def run(self, genomes: NDArray[np.float32], watch: Stopwatch) -> list[Seen]:
        """Every mask of genomes float32 (n, d) under every view, in that order."""
        seen = []
        for genome in genomes:
            with watch.stage("decode"):
                mesh = self._mesh(genome)
            node = self._scenes.scene.add(mesh)
            for view in range(len(self._views)):
                with watch.stage("render"):
                    image, own_box = self._render(node, view)
                seen.append(self._look(image, own_box, watch))
            self._scenes.scene.remove_node(node)
        return seen

    def _mesh(self, genome: NDArray[np.float32]) -> Any:
        weights = np.concatenate([np.maximum(genome, 0), np.maximum(-genome, 0)])
        vertices = (self._neutral + weights @ self._deltas).reshape(-1, 3)
        shape = trimesh.Trimesh(vertices, self._triangles, process=False)
        return self._pyrender.Mesh.from_trimesh(shape, material=self._material, smooth=True)

    def _look(self, image: NDArray[np.uint8], own_box: Any, watch: Stopwatch) -> Seen:
        with watch.stage("hog"):
            boxes, scores, _ = self._hog.run(image, 0, 0.0)
        with watch.stage("mmod"):
            found = self._mmod(image, 0)
        if boxes:
            box = boxes[int(np.argmax(scores))]
        elif found:
            box = max(found, key=lambda hit: hit.confidence).rect
        else:
            box = own_box
        with watch.stage("align"):
            chip = dlib.get_face_chip(image, self._predictor(image, box), size=150, padding=0.25)
        with watch.stage("resnet"):
            embedding = np.array(self._resnet.compute_face_descriptor(chip))
        return Seen(image, bool(boxes), bool(found), embedding)

    def _empty_scene(self) -> _Scenes:
        pyrender, size = self._pyrender, self._cameras.size_px
        scene = pyrender.Scene()
        middle = size / 2
        camera = pyrender.IntrinsicsCamera(1.0, 1.0, middle, middle, znear=NEAR_M, zfar=100.0)
        light = pyrender.DirectionalLight(color=np.ones(3))
        return _Scenes(scene, scene.add(camera), scene.add(light))

    def _render(self, mesh_node: Any, view: int) -> tuple[NDArray[np.uint8], Any]:
        """The picture, and dlib's rectangle around the mask in it."""
        scene, camera, light = self._scenes.scene, self._scenes.camera, self._scenes.light
        exposure = float(self._views.exposure[view])
        scene.bg_color = [float(self._views.background[view])] * 3 + [1.0]
        scene.ambient_light = [float(self._views.ambient[view]) * exposure] * 3
        camera.camera.fx = camera.camera.fy = float(self._cameras.focal_px[view])
        stand = np.eye(4)
        stand[2, 3] = float(self._cameras.distance_m[view])
        scene.set_pose(camera, stand)
        light.light.intensity = float(self._views.light[view]) * exposure * _STRENGTH
        scene.set_pose(light, light_pose(self._toward_light[view]))
        scene.set_pose(mesh_node, _mask_pose(self._cameras, view))
        color, depth = self._target.render(scene)
        rows, columns = np.nonzero(depth.any(axis=1))[0], np.nonzero(depth.any(axis=0))[0]
        edges = (columns[0], rows[0], columns[-1], rows[-1]) if len(rows) else (0, 0, *depth.shape)
        return self._sensor(color, view), dlib.rectangle(*map(int, edges))

    def _sensor(self, color: NDArray[np.uint8], view: int) -> NDArray[np.uint8]:
        blur, noise = float(self._views.blur_px[view]), 255.0 * float(self._views.noise[view])
        soft = cv2.GaussianBlur(color, (0, 0), blur) if blur > 0 else color
        grainy = soft + self._rng.normal(0.0, noise, color.shape)
        return np.clip(np.rint(grainy), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Scenes:
    """pyrender's scene and the nodes of its camera and light."""

    scene: Any
    camera: Any
    light: Any


@contextmanager
def usual_loop(basis: Basis, views: Views) -> Iterator[UsualLoop]:
    """The loop with its OpenGL context. :raises Unavailable: where OpenGL or a weights file is missing."""
    with offscreen(views.size_px) as target:
        yield UsualLoop(basis, views, target)


def _mask_pose(cams: Cameras, view: int) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = cams.rotation[view]
    pose[:3, 3] = -(pose[:3, :3] @ np.array(CENTER_M))
    return pose


def _file(name: str) -> str:
    return str(catalog.verify(catalog.model_info(name)))
