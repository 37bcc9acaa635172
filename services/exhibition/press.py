"""What a gallery asks for: wall captions, plates with stated DPI, a press sheet. Every number comes from
the record.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition.controls import Counts, controls_of_facts, in_words
from services.exhibition.hung import hung
from services.exhibition.lineup import shared_field_mm
from services.exhibition.palette import Image
from services.exhibition.questions import answer
from services.exhibition.studio import LitMask, Pose
from services.rendering.rig import NYLON, Material

PLATE_MM = (180.0, 260.0)  # as wide and high as the artist showed his
PLATE_DPI = 300
_POSE = Pose(9.0, -3.0)  # turned away from the lamp, so that it grazes the face


@dataclass(frozen=True)
class WallCaption:
    """What hangs beside a mask. size_mm: width, height, depth. machines: one line each, with its numbers."""

    title: str
    year: str
    medium: str
    size_mm: tuple[float, float, float]
    machines: tuple[str, ...]

    @property
    def dimensions(self) -> str:
        """``14.1 × 19.0 × 9.2 cm``."""
        return " × ".join(f"{length / 10:.1f}" for length in self.size_mm) + " cm"

    @property
    def text(self) -> str:
        """The caption as plain lines."""
        return "\n".join([f"{self.title}, {self.year}", self.medium, self.dimensions, *self.machines])


def wall_caption(
    facts: Mapping[str, Any], mask: Mapping[str, Any], vertices: NDArray[np.float32]
) -> WallCaption:
    """The caption of one mask of a run, vertices float32 (V, 3) in meters."""
    extent = np.ptp(vertices.astype(np.float64), axis=0) * 1e3
    started = str(facts["manifest"].get("started") or "")
    return WallCaption(
        title=f"{facts['run']}, {mask['id']}",
        year=started[:4] or "undated",
        medium=_medium(facts["files"], mask["id"]),
        size_mm=(float(extent[0]), float(extent[1]), float(extent[2])),
        machines=tuple(_machines(facts, mask)),
    )


def _medium(files: Sequence[str], mask: str) -> str:
    own = [key for key in files if key.startswith(f"masks/{mask}/")]
    if any(key.endswith((".stl", ".3mf")) for key in own):
        return "Evolved mask; solid for a 3D printer"
    return "Evolved mask; mesh, not yet printed"


def _machines(facts: Mapping[str, Any], mask: Mapping[str, Any]) -> list[str]:
    lines = []
    for asked in facts["asked"]["objectives"]:
        value = mask["values"].get(asked["label"])
        if value is not None:
            said = answer(asked["kind"], value > 0)
            lines.append(f"{asked['model']} {said}: {value:+.2f} from its threshold, on the ranking views")
    audit = mask.get("audit")
    if audit:
        count, told = audit["views"], controls_of_facts(facts)
        lines.append(
            f"dlib's own pipeline sees a face in {round(audit['hog_rate'] * count)} of {count} unused views"
            f"{_beside(told.get('audit'))}"
        )
        for name, rate in (audit.get("critics") or {}).items():
            lines.append(
                f"{name}, which took no part, in {round(rate * count)} of {count}{_beside(told.get(name))}"
            )
        if not told:
            lines.append("there are no controls in this run, so nothing says what noise would get")
    return lines


def _beside(counts: Counts | None) -> str:
    return f" ({in_words(counts)})" if counts else ""


def plate(
    mask: LitMask,
    *,
    size_mm: tuple[float, float] = PLATE_MM,
    dpi: int = PLATE_DPI,
    material: Material = NYLON,
) -> Image:
    """A picture uint8 (H, W, 3) of a mask on the wall, large enough to print at ``dpi``; all to one scale.

    :param size_mm: width and height.
    :raises BadInput: where a side would have fewer than 64 or more than 8192 pixels.
    """
    width, height = (round(length / 25.4 * dpi) for length in size_mm)
    if not all(64 <= side <= 8192 for side in (width, height)):
        wanted = " x ".join(f"{length:g}" for length in size_mm)
        raise BadInput(
            f"plate: {wanted} mm at {dpi} dpi are {width} x {height} pixels; expected 64 to 8192 a side"
        )
    return hung(mask, _POSE, (width, height), shared_field_mm([mask], [_POSE]), material)


def plate_png(picture: Image, dpi: int = PLATE_DPI) -> bytes:
    """PNG bytes that say at how many dots per inch they are meant."""
    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG", dpi=(dpi, dpi), compress_level=6)
    return buffer.getvalue()


def captions_page(captions: Sequence[WallCaption]) -> bytes:
    """All captions as one HTML page to print and cut."""
    return _rendered("captions.html.j2", captions=captions)


def press_sheet(facts: Mapping[str, Any], captions: Sequence[WallCaption]) -> bytes:
    """One HTML page for the press: what it is, how it was made, how sure it is, whose work it stands on."""
    return _rendered(
        "press.html.j2", facts=facts, captions=captions, models=facts["manifest"].get("models", {})
    )


def _rendered(name: str, **values: Any) -> bytes:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return (
        environment.from_string(_template(name))
        .render(style=Markup(_template("print.css")), **values)
        .encode()
    )


@lru_cache(maxsize=4)
def _template(name: str) -> str:
    return (resources.files("services.exhibition") / "assets" / name).read_text(encoding="utf-8")
