"""The drawing sheet (front, side, section, dimensions) and the caption card, as PDF with fixed bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from manifold3d import Manifold
from numpy.typing import NDArray
from PIL import Image
from reportlab.lib.pagesizes import A4, A6, landscape
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from services.printing.parts import PrintPart
from services.printing.solid import arrays
from services.printing.surface import Float
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import frontal_view

_MM = 72 / 25.4
_PICTURE_PX = 720
_FAR_M = 30.0  # from here perspective is half a percent
_TOP_MM = 186.0
GAP_MM = 16.0  # between parts that are pulled apart: their pegs are seen
_ROW_MM, _ROW_LETTERS = 4.0, 88  # of the table
_FACE, _LEAST_TYPE_MM = "Helvetica", 2.0
_CARD_TOP_MM, _CARD_FOOT_MM, _CARD_EDGE_MM = 90.0, 8.0, 10.0  # of a card: its first and last line, its margin


@dataclass(frozen=True)
class Caption:
    """What a caption card says. models: name, threshold, source and licence of each that took part."""

    title: str
    date: str
    mask: str
    report: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]]


def drawing_sheet(
    body: Manifold,
    report: Mapping[str, Any],
    color: tuple[int, int, int],
    parts: Sequence[PrintPart] = (),
) -> bytes:
    """A4, landscape. body: the solid in millimeters. parts: what it is cut into, on a page of their own."""
    points, triangles = arrays(body)
    low, high = points.min(axis=0), points.max(axis=0)
    width, height, depth = high - low
    times = _round_times(max(2.0, width / 75, height / 100, depth / 75))
    scale = 1 / times
    buffer = io.BytesIO()
    page = Canvas(buffer, pagesize=landscape(A4), invariant=1)
    page.setTitle(f"{report['title']}: {report['id']}")
    page.scale(_MM, _MM)  # millimeters from here on
    page.setLineWidth(0.15)
    _text(page, 15, 195, f"{report['title']}   {report['id']}", 5.0)
    _text(page, 15, 189, f"scale 1 : {times:g}, dimensions in mm", 3.0)
    left = 22.0
    base = _TOP_MM - 12 - height * scale
    views = (("front", 0.0, (0, 1)), ("side", 90.0, (2, 1)))
    for name, yaw, (across, _) in views:
        wide = (high - low)[across] * scale
        picture = ImageReader(_picture(points, triangles, yaw, color))
        page.drawImage(picture, left, base, wide, height * scale)
        _text(page, left, base + height * scale + 4, name, 3.2)
        _dimension(page, (left, base - 6), (left + wide, base - 6), f"{(high - low)[across]:.1f}")
        left += wide + 18
    _dimension(page, (14.0, base), (14.0, base + height * scale), f"{height:.1f}")
    middle = float(low[0] + high[0]) / 2
    _section(page, body, middle, low, left, base, scale)
    _text(page, left, base + height * scale + 4, f"section at x = {middle:.1f}", 3.2)
    _table(page, report, 15.0, base - 18)
    page.showPage()
    if len(parts) > 1:
        _parts(page, report, color, parts)
    page.save()
    return buffer.getvalue()


def _round_times(least: float) -> float:
    """How many times smaller than the solid it is drawn: no less, and a number of one decimal, for rulers."""
    return float(np.ceil(round(10 * least, 6))) / 10


def _parts(
    page: Canvas, report: Mapping[str, Any], color: tuple[int, int, int], parts: Sequence[PrintPart]
) -> None:
    """A page with the parts pulled apart, from the front and from the back, and what each is."""
    page.scale(_MM, _MM)
    _text(page, 15, 195, f"{report['title']}   {report['id']}   {len(parts)} parts", 5.0)
    pulled = [part.body.translate((GAP_MM * part.place[0], GAP_MM * part.place[1], 0.0)) for part in parts]
    points, triangles = arrays(Manifold.compose(pulled))
    low, high = points.min(axis=0), points.max(axis=0)
    scale = min(0.5, 85 / (high[0] - low[0]), 110 / (high[1] - low[1]))
    wide, tall = (float(side) * scale for side in (high - low)[:2])
    for left, name, turned in ((15.0, "front", 1.0), (15.0 + wide + 12, "back", -1.0)):
        seen = points * (turned, 1.0, turned)
        page.drawImage(ImageReader(_picture(seen, triangles, 0.0, color)), left, 175 - tall, wide, tall)
        _text(page, left, 178, name, 3.2)
        for part, body in zip(parts, pulled, strict=True):
            box = body.bounding_box()
            x = turned * (box[0] + box[3]) / 2 - float(seen[:, 0].min())
            y = (box[1] + box[4]) / 2 - float(low[1])
            _text(page, left + x * scale - 2, 175 - tall + y * scale, part.name, 3.2)
    for k, told in enumerate(report["parts"]):
        size = " x ".join(f"{side:.1f}" for side in told["size_mm"])
        words = (
            f"{told['name']}: {size} mm, {told['weight_g']:.0f} g, {told['pegs']} pegs, {told['holes']} holes"
        )
        _text(page, 15.0 + 125 * (k % 2), 175 - tall - 10 - _ROW_MM * (k // 2), words, 2.8)
    page.showPage()


def _one(value: float) -> NDArray[np.float32]:
    return np.array([value], np.float32)


def _picture(points: Float, triangles: NDArray[Any], yaw: float, color: tuple[int, int, int]) -> Image.Image:
    """An almost orthographic picture, cut to the solid."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    field = 1.02 * float((high - low).max())
    view = replace(
        frontal_view(_PICTURE_PX),
        yaw_deg=_one(yaw),
        distance_m=_one(_FAR_M),
        field_mm=_one(field),
        light_yaw_deg=_one(-35.0),
        light_pitch_deg=_one(40.0),
        light=_one(0.75),
        specular=_one(0.0),
        background=_one(1.0),
    )
    x, y, z = (float(v) / 1000 for v in middle)
    renderer = TorchRenderer(torch.from_numpy(triangles), vertex_count=len(points), center_m=(x, y, z))
    paint = torch.tensor([v / 255 for v in color]).expand(1, len(points), 3)
    vertices = torch.from_numpy((points / 1000).astype(np.float32))[None]
    shot = renderer.render(vertices, view, torch.zeros(0, dtype=torch.int64), paint).images[0, 0].numpy()
    # Yaw 90 turns +Z to the right of the picture.
    across = 0 if yaw == 0 else 2
    per_mm = _PICTURE_PX / field
    box = (
        _PICTURE_PX / 2 + (low[across] - middle[across]) * per_mm,
        _PICTURE_PX / 2 - (high[1] - middle[1]) * per_mm,
        _PICTURE_PX / 2 + (high[across] - middle[across]) * per_mm,
        _PICTURE_PX / 2 - (low[1] - middle[1]) * per_mm,
    )
    return Image.fromarray(shot).crop(tuple(round(edge) for edge in box))


def _section(
    page: Canvas, body: Manifold, at: float, low: Float, left: float, base: float, scale: float
) -> None:
    """The cut through the plane x = ``at``, seen from the side: filled outlines."""
    turned = body.rotate((0, -90, 0))  # (x, y, z) to (-z, y, x): the cut plane is level now
    path = page.beginPath()
    for outline in turned.slice(at).to_polygons():
        for k, (minus_z, y) in enumerate(outline):
            x, y = left + (-minus_z - low[2]) * scale, base + (y - low[1]) * scale
            (path.lineTo if k else path.moveTo)(x, y)
        path.close()
    page.setFillGray(0.25)
    page.drawPath(path, fill=1, stroke=0, fillMode=0)
    page.setFillGray(0)


def _dimension(page: Canvas, start: tuple[float, float], end: tuple[float, float], words: str) -> None:
    page.line(*start, *end)
    level = start[1] == end[1]
    for x, y in (start, end):
        page.line(*((x, y - 1.5, x, y + 1.5) if level else (x - 1.5, y, x + 1.5, y)))
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if level:
        page.setFont(_FACE, 3)
        page.drawCentredString(middle[0], middle[1] - 4, words)
        return
    page.saveState()
    page.translate(middle[0] - 1.5, middle[1])
    page.rotate(90)
    page.setFont(_FACE, 3)
    page.drawCentredString(0, 0, words)
    page.restoreState()


def _table(page: Canvas, report: Mapping[str, Any], x: float, y: float) -> None:
    size, pieces = report["size_mm"], report.get("parts_weight_g")
    in_parts = "" if pieces is None else f"; {pieces:.0f} g in parts, with bosses and pegs"
    rows = [
        f"{report['process']}: {report['material']}, wall {report['wall_mm']:g} mm, mount {report['mount']}",
        f"{size[0]:.1f} wide, {size[1]:.1f} high, {size[2]:.1f} deep; print height face up {size[2]:.1f} mm",
        f"volume {report['volume_cm3']:.1f} cm3, weight {report['weight_g']:.0f} g{in_parts}",
        f"outer face to evolved surface: median {report['from_evolved_surface_mm']['median_mm']:.2f}, "
        f"at most {report['from_evolved_surface_mm']['max_mm']:.2f} mm; "
        f"{report['from_evolved_surface_mm']['within_1mm']:.1%} of it within 1 mm",
        *report["openings"],
        *report["not_made"],
    ]
    pieces = [piece for row in rows for piece in textwrap.wrap(row, _ROW_LETTERS)]
    for k, piece in enumerate(pieces):
        _text(page, x, y - _ROW_MM * k, piece, 2.8)
    for k, line in enumerate(report["checks"]):
        verdict = {True: "ok", False: "FAILED", None: ""}[line["passed"]]
        _text(page, x + 125, y - _ROW_MM * k, f"{line['name']}: {line['figure']}  {verdict}", 2.8)


def caption_card(caption: Caption) -> bytes:
    """A6, landscape: title, date, which machines it satisfies by what threshold, licences. What one card does
    not hold stands on another.
    """
    buffer = io.BytesIO()
    page = Canvas(buffer, pagesize=landscape(A6), invariant=1)
    page.setTitle(caption.title)
    page.scale(_MM, _MM)
    report, card = caption.report, _Card(page, f"mask {caption.mask}, continued")
    card.line(caption.title, 5.5, 6.0)
    card.line(f"{caption.date[:10]}   {report['material']}   mask {caption.mask}", 3.2, 9.0)
    made_of = report.get("made_of")  # None where it is printed in colors of its own
    seen, of = (report["after"], "") if made_of is None else (made_of, f" in {made_of['material']}")
    for model in caption.models:
        share = seen["accepted"].get(model["name"])
        if share is None:
            card.line(f"{model['name']} (threshold {model['threshold']:g}) took part", 2.9)
            continue
        beside = report.get("controls", {}).get(model["name"])
        card.line(
            f"{model['name']} (threshold {model['threshold']:g}) sees a face in {share:.0%} of "
            f"{report['views']['count']} held-out views of this solid{of}",
            2.9,
            4.0 if beside else 4.6,
        )
        if beside:
            card.line(f"of the run's controls, as meshes: {beside}", 2.4, left=14.0)
    if report.get("gaze") is not None:
        _gaze(card, report["gaze"])
    if report["sites"] is not None:
        card.line(f"Eyes: {report['sites']['words']}", 2.4)
    card.y -= 2
    card.line(f"Shape: {report['licence']}", 2.9)
    for model in caption.models:
        card.line(f"{model['name']}: {model['licence']}", 2.4)
    page.showPage()
    page.save()
    return buffer.getvalue()


@dataclass
class _Card:
    """Lines on a card, from its top down. y: where the next one stands, in mm. head: of further cards."""

    page: Canvas
    head: str
    y: float = _CARD_TOP_MM

    def need(self, height_mm: float = 0.0) -> None:
        """Another card where lines so far below the next one do not fit on this one."""
        if self.y - height_mm < _CARD_FOOT_MM:
            self.page.showPage()
            self.page.scale(_MM, _MM)
            self.y = _CARD_TOP_MM
            self.line(self.head, 3.2, 6.0)

    def line(self, words: str, size: float, after: float = 4.6, left: float = _CARD_EDGE_MM) -> None:
        """One line as wide as the card: smaller where it is too long, then cut with an ellipsis."""
        self.need()
        room = landscape(A6)[0] / _MM - _CARD_EDGE_MM - left
        least = max(0.7 * size, _LEAST_TYPE_MM)
        size = max(least, min(size, size * room / max(self.page.stringWidth(words, _FACE, size), 1e-6)))
        if self.page.stringWidth(words, _FACE, size) > room + 1e-6:
            while self.page.stringWidth(words + "...", _FACE, size) > room:
                words = words[:-1]
            words += "..."
        _text(self.page, left, self.y, words, size)
        self.y -= after


def _gaze(card: _Card, gaze: Mapping[str, Any]) -> None:
    """What the solid's colors mean."""
    card.need(5.2)
    card.line(f"Colors: where {gaze['machine']} looks, {gaze['views']} held-out views", 2.9, 5.2)
    page, y, ramp, ends = card.page, card.y, gaze["ramp"], gaze["ends"]
    start = 11 + page.stringWidth(ends[0], _FACE, 2.4)
    _text(page, 10, y, ends[0], 2.4)
    for k, (red, green, blue) in enumerate(ramp):
        page.setFillColorRGB(red / 255, green / 255, blue / 255)
        page.rect(start + k * 30 / len(ramp), y - 0.4, 30 / len(ramp) + 0.05, 2.6, stroke=0, fill=1)
    page.setFillGray(0)
    card.line(f"{ends[1]} of the score, if this place is not seen", 2.4, left=start + 31)


def _text(page: Canvas, x: float, y: float, words: str, size: float) -> None:
    page.setFont(_FACE, size)
    page.drawString(x, y, words)
