"""The basis file: a deterministic, pickle-free ``.npz`` with sparse, quantized displacements.

Members (all little-endian):

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

FORMAT = 1
STEP_M = 2e-5  # rounding is off by at most half a step: 0.01 mm along an axis, 0.0174 mm in length

_MEMBERS: dict[str, str] = {
    "header": "<u1",
    "neutral": "<f4",
    "triangles": "<u2",
    "landmarks": "<u2",
    "sides": "<i2",
    "starts": "<u4",
    "vertex": "<u2",
    "steps": "<i2",
}


@dataclass(frozen=True)
class PackedBasis:
    """What a basis file holds, see the module's table. ``header`` is plain JSON data."""

    header: dict[str, Any]
    neutral: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.uint16]
    landmarks: npt.NDArray[np.uint16]
    sides: npt.NDArray[np.int16]
    starts: npt.NDArray[np.uint32]
    vertex: npt.NDArray[np.uint16]
    steps: npt.NDArray[np.int16]


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
        for name, dtype in _MEMBERS.items():
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
            arrays = {name: members[name] for name in _MEMBERS}
        header = json.loads(arrays.pop("header").tobytes())
        found = header["format"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CorruptData(f"{where} is not a basis file ({error}); install datamask again") from error
    if found != FORMAT:
        raise CorruptData(f"{where} has format {found}, expected {FORMAT}; install datamask again")
    return PackedBasis(header, **arrays)


def dense(basis: PackedBasis, target: int) -> npt.NDArray[np.float32]:
    """Displacements of one target, ``(V, 3)`` float32 in meters."""
    span = slice(int(basis.starts[target]), int(basis.starts[target + 1]))
    result = np.zeros(basis.neutral.shape, np.float32)
    result[basis.vertex[span]] = basis.steps[span] * np.float32(basis.header["step_m"])
    return result
