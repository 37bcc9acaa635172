"""The same pictures from OpenGL (pyrender on EGL): another rasterizer to hold the fast one against.

Projection, visibility and interpolation are OpenGL's. The light model cannot be pyrender's own, which is
physically based and one-sided, so a small shader hands out the diffuse and the highlight factor of each
pixel, and the sensor that follows is the torch renderer's. One picture at a time: for comparison, not for the
search.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.rendering.camera import CENTER_M, NEAR_M, Point, cameras, light_directions
from services.rendering.normals import vertex_normals
from services.rendering.opengl import load_pyrender, offscreen
from services.rendering.renderer import Rendered
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import Views

_FAR_M = 2000.0

_VERTEX = """#version 330 core
layout(location = 0) in vec3 position;
layout(location = NORMAL_LOC) in vec3 normal;
layout(location = INST_M_LOC) in mat4 inst_m;
uniform mat4 M;
uniform mat4 V;
uniform mat4 P;
out vec3 at;
out vec3 across;
void main() {
    vec4 world = M * inst_m * vec4(position, 1.0);
    at = world.xyz;
    across = mat3(M * inst_m) * normal;
    gl_Position = P * V * world;
}
"""

# Red: max(n.l, 0). Green: max(n.h, 0)^16. Blue: the mask is here.
_FRAGMENT = """#version 330 core
struct DirectionalLight { vec3 color; float intensity; vec3 direction; };
uniform DirectionalLight directional_lights[MAX_DIRECTIONAL_LIGHTS];
uniform vec3 cam_pos;
in vec3 at;
in vec3 across;
out vec4 color;
void main() {
    vec3 n = normalize(across) * (gl_FrontFacing ? 1.0 : -1.0);
    vec3 l = normalize(-directional_lights[0].direction);
    vec3 v = normalize(cam_pos - at);
    float lambert = dot(n, l);
    float half_way = lambert > 0.0 ? max(dot(n, normalize(l + v)), 0.0) : 0.0;
    color = vec4(max(lambert, 0.0), pow(half_way, 16.0), 1.0, 1.0);
}
"""


class OpenGLRenderer:
    """Renders masks of one topology; implements :class:`services.rendering.renderer.Renderer`.

    ``triangles`` int64 (T, 3); ``center_m``: what the cameras look at, the basis's center. Raises
    :class:`services.errors.Unavailable` where OpenGL is missing.
    """

    def __init__(
        self, triangles: Tensor, vertex_count: int | None = None, center_m: Point = CENTER_M
    ) -> None:
        load_pyrender()
        self._center = center_m
        self._torch = TorchRenderer(triangles.cpu(), vertex_count=vertex_count, center_m=center_m)

    def render(self, vertices: Tensor, views: Views, landmarks: Tensor) -> Rendered:
        """Render every mask under every view; arguments and result as for the torch renderer."""
        vertices = self._torch.checked(vertices)
        usable = self._torch.usable(vertices)
        factors = np.zeros((len(vertices), len(views), views.size_px, views.size_px, 3), dtype=np.uint8)
        with offscreen(views.size_px, {"mesh.vert": _VERTEX, "mesh.frag": _FRAGMENT}) as target:
            for index in usable.nonzero()[:, 0].tolist():
                for number in range(len(views)):
                    scene = self._scene(vertices[index], views.take(slice(number, number + 1)))
                    factors[index, number] = target.render(scene)[0]
        return self._torch.develop(vertices, views, landmarks, *_unpacked(factors))

    def _scene(self, vertices: Tensor, view: Views) -> Any:
        pyrender = load_pyrender()
        cams = cameras(view)
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=[0.0, 0.0, 0.0])
        pose = np.eye(4)
        pose[:3, :3] = cams.rotation[0]
        pose[:3, 3] = -(cams.rotation[0].astype(np.float64) @ np.array(self._center))
        scene.add(self._mesh(vertices), pose=pose)
        focal, middle = float(cams.focal_px[0]), view.size_px / 2
        camera = pyrender.IntrinsicsCamera(focal, focal, middle, middle, znear=NEAR_M, zfar=_FAR_M)
        stand = np.eye(4)
        stand[2, 3] = float(cams.distance_m[0])
        scene.add(camera, pose=stand)
        scene.add(pyrender.DirectionalLight(), pose=light_pose(light_directions(view)[0]))
        return scene

    def _mesh(self, vertices: Tensor) -> Any:
        pyrender = load_pyrender()
        x, y, z = vertices.T[:, :, None].contiguous()
        normals = vertex_normals((x, y, z), self._torch.triangles, self._torch.vertex_faces)
        primitive = pyrender.Primitive(
            positions=vertices.numpy(),
            normals=torch.cat(normals, dim=1).numpy(),
            indices=self._torch.triangles.numpy().astype(np.uint32),
            material=pyrender.MetallicRoughnessMaterial(doubleSided=True),
        )
        return pyrender.Mesh(primitives=[primitive])


def light_pose(toward: NDArray[np.floating]) -> NDArray[np.float64]:
    """A pose (4, 4) whose +Z points toward the light: OpenGL lights shine along their own -Z."""
    axis = np.asarray(toward, dtype=np.float64)
    axis = axis / np.linalg.norm(axis)
    aside = np.cross([0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0], axis)
    aside /= np.linalg.norm(aside)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = aside, np.cross(axis, aside), axis
    return pose


def _unpacked(factors: NDArray[np.uint8]) -> tuple[Tensor, Tensor, Tensor]:
    """Diffuse and highlight factors float32 and the covered pixels bool, each (n, v, S, S).

    pyrender averages four samples a pixel: a pixel counts as covered from half on, and its factors are those
    of the samples that hit.
    """
    channels = torch.from_numpy(factors).float()
    share = channels[..., 2]
    scale = 1.0 / share.clamp(min=1.0)
    return channels[..., 0] * scale, channels[..., 1] * scale, share >= 127.5
