"""The files that a print service takes. Same solid, same bytes: no dates, no random ids.

Lengths are in millimeters, the mask lies face up (+Z), its bounding box begins at the origin.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from services.printing.surface import Float, Ints

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>'
    "</Types>"
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)

Colors = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """What is written. points: ``(n, 3)`` mm. triangles: ``(m, 3)``. color: of the whole, sRGB. colors: of
    each point, uint8 sRGB ``(n, 3)``, or None. notes: metadata; Title, LicenseTerms ... as 3MF names them.
    """

    name: str
    points: Float
    triangles: Ints
    color: tuple[int, int, int]
    colors: Colors | None
    notes: Mapping[str, str]


def three_mf(part: Part) -> bytes:
    """3MF: core specification 1.3, with the materials extension where points have colors."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<model unit="millimeter" xml:lang="en-US" xmlns="{_CORE}" xmlns:m="{_MATERIAL}"'
        ' xmlns:datamask="https://github.com/datamask">',
    ]
    for key, value in part.notes.items():
        name = key if key in _KNOWN else f"datamask:{key}"
        lines.append(f"<metadata name={quoteattr(name)}>{escape(value)}</metadata>")
    lines.append("<resources>")
    corners = None
    if part.colors is None:
        lines.append(
            f'<basematerials id="1"><base name="material" displaycolor="{_hex(part.color)}"/></basematerials>'
        )
    else:
        palette, index = np.unique(part.colors, axis=0, return_inverse=True)
        lines.append('<m:colorgroup id="1">')
        lines += [f'<m:color color="{_hex(color)}"/>' for color in palette.tolist()]
        lines.append("</m:colorgroup>")
        corners = index.reshape(-1)[part.triangles]
    lines.append(
        f'<object id="2" type="model" pid="1" pindex="0" name={quoteattr(part.name)}><mesh><vertices>'
    )
    lines += [f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>' for x, y, z in _exact(part.points).tolist()]
    lines.append("</vertices><triangles>")
    if corners is None:
        lines += [f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in part.triangles.tolist()]
    else:
        lines += [
            f'<triangle v1="{a}" v2="{b}" v3="{c}" pid="1" p1="{p}" p2="{q}" p3="{r}"/>'
            for (a, b, c), (p, q, r) in zip(part.triangles.tolist(), corners.tolist(), strict=True)
        ]
    lines.append('</triangles></mesh></object></resources><build><item objectid="2"/></build></model>')
    return zipped(
        {
            "[Content_Types].xml": _TYPES.encode(),
            "_rels/.rels": _RELATIONS.encode(),
            "3D/3dmodel.model": "\n".join(lines).encode(),
        }
    )


# Names that the 3MF core specification gives; all others need a namespace.
_KNOWN = (
    "Title",
    "Designer",
    "Description",
    "Copyright",
    "LicenseTerms",
    "Rating",
    "CreationDate",
    "Application",
)


def _exact(points: Float) -> Float:
    """Rounded as every file holds them, so that STL and 3MF are one mesh."""
    return np.asarray(points, np.float32).astype(np.float64)


def _hex(color: tuple[int, int, int] | list[int]) -> str:
    return "#" + "".join(f"{int(c):02X}" for c in color) + "FF"


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of files, in their order; the same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=6)
    return buffer.getvalue()


def stl(part: Part) -> bytes:
    """Binary STL, millimeters."""
    at = np.asarray(part.points, np.float32)[part.triangles]
    cross = np.cross((at[:, 1] - at[:, 0]).astype(np.float64), (at[:, 2] - at[:, 0]).astype(np.float64))
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    rows = np.zeros(len(at), [("normal", "<f4", 3), ("at", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["normal"] = cross / np.maximum(length, 1e-30)
    rows["at"] = at
    header = f"datamask {part.name}, mm".encode()[:80].ljust(80)
    return header + np.uint32(len(at)).tobytes() + rows.tobytes()


def ply(part: Part) -> bytes:
    """Binary PLY with a color for each point."""
    rows = np.zeros(len(part.points), [("at", "<f4", 3), ("color", "u1", 3)])
    rows["at"], rows["color"] = part.points, point_colors(part)
    faces = np.zeros(len(part.triangles), [("count", "u1"), ("at", "<i4", 3)])
    faces["count"], faces["at"] = 3, part.triangles
    notes = "".join(f"comment {key}: {' '.join(value.split())}\n" for key, value in part.notes.items())
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment millimeters\n{notes}element vertex {len(rows)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    return header.encode() + rows.tobytes() + faces.tobytes()


def obj(part: Part, material_file: str) -> bytes:
    """OBJ; points carry their color behind their place, as most programs read it."""
    lines = [f"# {key}: {' '.join(value.split())}" for key, value in part.notes.items()]
    lines += ["# millimeters", f"mtllib {material_file}", f"o {part.name}", "usemtl material"]
    colors = point_colors(part) / 255.0
    lines += [
        f"v {x:.9g} {y:.9g} {z:.9g} {r:.4f} {g:.4f} {b:.4f}"
        for (x, y, z), (r, g, b) in zip(_exact(part.points).tolist(), colors.tolist(), strict=True)
    ]
    lines += [f"f {a} {b} {c}" for a, b, c in (part.triangles + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def mtl(part: Part) -> bytes:
    """The material that goes with the OBJ."""
    r, g, b = (value / 255.0 for value in part.color)
    return f"newmtl material\nKd {r:.4f} {g:.4f} {b:.4f}\nKs 0 0 0\nd 1\nillum 1\n".encode()


def point_colors(part: Part) -> Colors:
    """A color for every point, uint8 ``(n, 3)``."""
    if part.colors is not None:
        return part.colors
    return np.broadcast_to(np.array(part.color, np.uint8), (len(part.points), 3))
