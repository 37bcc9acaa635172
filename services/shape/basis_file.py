"""The basis file: a deterministic, pickle-free ``.npz`` of one of two formats.

Targets (format 1): sparse, quantized displacements, two sides a gene. Members (all little-endian):

==================  =====================  ==============================================================
``header``          uint8 ``(B,)``         JSON in UTF-8: id, format, gene and landmark names, step_m, source
``neutral``         float32 ``(V, 3)``     meters
``triangles``       uint16 ``(T, 3)``      counter-clockwise seen from outside
``landmarks``       uint16 ``(L,)``        vertex of each landmark name
``sides``           int16 ``(G, 2)``       target of a gene's positive and negative side; -1: the mirror
``starts``          uint32 ``(S + 1,)``    slice of target s in ``vertex`` and ``steps``
``vertex``          uint16 ``(N,)``        vertices that a target moves
``steps``           int16 ``(N, 3)``       their displacements in units of ``step_m``
==================  =====================  ==============================================================

Waves (format 2): each gene moves each vertex along the vertex's one direction. ``header``, ``neutral``,
``triangles`` and ``landmarks`` as above, and

==================  =====================  ==============================================================
``toward``          float32 ``(V, 3)``     unit vectors, where a vertex goes
``inward``          float32 ``(V,)``       0 at the rim, 1 from where the relief stands in full
``heights``         int16 ``(G, V)``       how far at weight 1, in units of ``step_m``
==================  =====================  ==============================================================

The header of format 2 holds ``facts`` (services/shape/facts.py); those of a format 1 file may.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.errors import CorruptData
from services.words import shown

TARGETS, WAVES = 1, 2
STEP_M = 2e-5  # rounding is off by at most half a step: 0.01 mm along an axis, 0.0174 mm in length

_SHARED = {"header": "<u1", "neutral": "<f4", "triangles": "<u2", "landmarks": "<u2"}
_MEMBERS: dict[int, dict[str, str]] = {
    TARGETS: {**_SHARED, "sides": "<i2", "starts": "<u4", "vertex": "<u2", "steps": "<i2"},
    WAVES: {**_SHARED, "toward": "<f4", "inward": "<f4", "heights": "<i2"},
}
Displacements = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class PackedBasis:
    """What every basis file holds, see the module's table. ``header`` is plain JSON data."""

    header: dict[str, Any]
    neutral: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.uint16]
    landmarks: npt.NDArray[np.uint16]

    def sides_m(self, edge: float) -> Displacements:
        """Displacements (G, V, 3) in meters at weight +1 and at weight -1.

        edge: share of the relief that is left at the rim, where a file knows one.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class PackedTargets(PackedBasis):
    """A file of format 1."""

    sides: npt.NDArray[np.int16]
    starts: npt.NDArray[np.uint32]
    vertex: npt.NDArray[np.uint16]
    steps: npt.NDArray[np.int16]

    def sides_m(self, edge: float) -> Displacements:
        shape = (len(self.sides), *self.neutral.shape)
        positive, negative = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for gene, (up, down) in enumerate(self.sides.tolist()):
            positive[gene] = self._target(up)
            negative[gene] = self._target(down) if down >= 0 else -positive[gene]
        return positive, negative

    def _target(self, target: int) -> npt.NDArray[np.float32]:
        """Displacements of one target, ``(V, 3)`` float32 in meters."""
        span = slice(int(self.starts[target]), int(self.starts[target + 1]))
        result = np.zeros(self.neutral.shape, np.float32)
        result[self.vertex[span]] = self.steps[span] * np.float32(self.header["step_m"])
        return result


@dataclass(frozen=True)
class PackedWaves(PackedBasis):
    """A file of format 2."""

    toward: npt.NDArray[np.float32]
    inward: npt.NDArray[np.float32]
    heights: npt.NDArray[np.int16]

    def sides_m(self, edge: float) -> Displacements:
        left = np.float32(edge) + np.float32(1 - edge) * self.inward
        heights = self.heights * np.float32(self.header["step_m"]) * left
        positive = heights[:, :, None] * self.toward
        return positive, -positive


_KINDS: dict[int, type[PackedBasis]] = {TARGETS: PackedTargets, WAVES: PackedWaves}


def quantize(
    displacements: list[npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.int16], float]:
    """Round displacements, each ``(V, 3)`` in meters, to steps of ``STEP_M`` and drop the vertices at rest.

    Returns starts, vertex, steps (see the module's table) and the greatest error in meters (length of the
    difference vector).
    """
    starts, vertex, steps, error = [0], [], [], 0.0
    for displacement in displacements:
        rounded = np.rint(displacement / STEP_M)
        error = max(error, float(np.linalg.norm(rounded * STEP_M - displacement, axis=1).max()))
        moved = np.flatnonzero(rounded.any(axis=1))
        vertex.append(moved.astype(np.uint16))
        steps.append(rounded[moved].astype(np.int16))
        starts.append(starts[-1] + len(moved))
    return np.array(starts, np.uint32), np.concatenate(vertex), np.concatenate(steps), error


def pack(basis: PackedBasis) -> bytes:
    """Encode; the same content gives the same bytes (fixed dates and order) under one version of zlib."""
    header = json.dumps(basis.header, sort_keys=True, separators=(",", ":")).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, dtype in _MEMBERS[basis.header["format"]].items():
            data = np.frombuffer(header, np.uint8) if name == "header" else getattr(basis, name)
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(data, dtype), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def unpack(data: bytes, where: str) -> PackedBasis:
    """Decode. Raises CorruptData, naming ``where``, for anything that is not a basis of this format."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as members:
            header = json.loads(members["header"].tobytes())
            found = header["format"]
            names = _MEMBERS.get(found, _SHARED)
            arrays = {name: members[name] for name in names if name != "header"}
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CorruptData(f"{where} is not a basis file ({error}); install datamask again") from error
    if found not in _KINDS:
        known = " or ".join(map(str, _KINDS))
        raise CorruptData(f"{where} has format {shown(found)}, expected {known}; install datamask again")
    for array in arrays.values():
        array.setflags(write=False)
    return _KINDS[found](header, **arrays)
