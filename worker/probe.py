"""Ask a fresh interpreter what this machine can do: who is to fork must not load torch or a GL driver.

``python -m worker.probe torch|opengl|imports`` prints one JSON object; a driver that crashes takes only the
probe with it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

TIMEOUT_S = 120


def probe(what: str) -> dict[str, Any]:
    """The probe's answer; ``{"error": "one line"}`` where it failed or crashed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "worker.probe", what], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT_S} s"}
    except OSError as error:
        return {"error": f"{error}"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"the probe ended with status {done.returncode}"}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _torch() -> dict[str, Any]:
    import torch

    from worker.passes import room

    cuda = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "cuda": cuda,
        "hardware": torch.cuda.get_device_name() if cuda else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "pictures": room("cuda" if cuda else "cpu"),
    }


def _opengl() -> dict[str, Any]:
    """Render one triangle off screen; it must cover part of the picture."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    import numpy as np
    import pyrender
    import trimesh

    corners = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], float)
    scene = pyrender.Scene(bg_color=[0, 0, 0, 1], ambient_light=[1, 1, 1])
    triangle = trimesh.Trimesh(corners, [[0, 1, 2]], process=False)
    scene.add(pyrender.Mesh.from_trimesh(triangle, smooth=False))
    pose = np.eye(4)
    pose[2, 3] = 3.0
    scene.add(pyrender.PerspectiveCamera(yfov=1.0), pose=pose)
    renderer = pyrender.OffscreenRenderer(32, 32)
    try:
        from OpenGL import GL

        color, depth = renderer.render(scene)
        driver = GL.glGetString(GL.GL_RENDERER)
    finally:
        renderer.delete()
    covered = float((depth > 0).mean())
    if not (0.05 < covered < 0.95 and color[16, 16].max() > 0):
        raise RuntimeError(f"a test triangle covered {covered:.0%} of the picture")
    name = driver.decode() if isinstance(driver, bytes) else "unknown"
    return {"platform": os.environ["PYOPENGL_PLATFORM"], "renderer": name}


def _imports() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("cv2", "dlib", "pyarrow", "trimesh"):
        try:
            importlib.import_module(name)
            found[name] = None
        except Exception as error:
            found[name] = " ".join(f"{error}".split()) or type(error).__name__
    return found


PROBES = {"torch": _torch, "opengl": _opengl, "imports": _imports}

if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]]()))
