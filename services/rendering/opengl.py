"""The one place that imports pyrender: EGL without a display, and what pyrender 0.1.45 needs mended."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from services.errors import Unavailable

# pyrender imports a viewer that nobody opens here, hence the two libraries of X.
_HELP = (
    "OpenGL without a display is missing; on Debian or Ubuntu: "
    "apt-get install libegl1 libgl1 libgl1-mesa-dri libxrender1"
)


@cache
def load_pyrender() -> ModuleType:
    """pyrender, ready to draw without a display. Raises :class:`Unavailable` where OpenGL is missing."""
    if (
        not os.environ.get("DISPLAY")
        and "PYOPENGL_PLATFORM" not in os.environ
        and "OpenGL" not in sys.modules
    ):
        # PyOpenGL reads this once, when it is first imported; without it, it looks for an X server.
        os.environ["PYOPENGL_PLATFORM"] = "egl"
    if not hasattr(np, "infty"):
        # pyrender measures a mesh's bounds (for shadows) with a name that NumPy 2 dropped.
        setattr(np, "infty", np.inf)  # noqa: B010
    try:
        import pyrender
    except (
        Exception
    ) as error:  # PyOpenGL raises AttributeError, ImportError and others where a library is missing
        raise Unavailable(f"{_HELP} ({type(error).__name__}: {error})") from error
    module: ModuleType = pyrender
    return module


@contextmanager
def offscreen(size_px: int, shaders: Mapping[str, str] | None = None) -> Iterator[Any]:
    """A pyrender ``OffscreenRenderer`` of ``size_px`` squared, freed at the end.

    ``shaders`` maps file names (``mesh.vert``, ``mesh.frag``) to the GLSL that stands in for pyrender's own.
    Raises :class:`Unavailable` where no OpenGL context can be had.
    """
    pyrender = load_pyrender()
    try:
        renderer = pyrender.OffscreenRenderer(size_px, size_px)
    except Exception as error:
        raise Unavailable(f"{_HELP} ({type(error).__name__}: {error})") from error
    with tempfile.TemporaryDirectory(prefix="datamask-glsl-") as folder:
        if shaders is not None:
            for name, text in shaders.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            cache_type = type(renderer._renderer._program_cache)
            renderer._renderer._program_cache = cache_type(shader_dir=folder)
        try:
            yield renderer
        finally:
            renderer.delete()
