"""A card that stands beside a print when it is photographed: a ruler, a row of grays, marks to find it by.

The marks are ArUco's 4 x 4 (Garrido-Jurado et al. 2014), numbers 0 to 3, so that programs find the card and
know how large a millimeter is in a photograph.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.exhibition.paper import Format
from services.srgb import linear_to_srgb

Pixels = NDArray[np.uint8]
Places = NDArray[np.float64]

WIDTH_MM, HEIGHT_MM = 200.0, 90.0
RULER_MM = 150
MARK_MM = 18.0
# Left and bottom edges of the marks 0 to 3: from the upper left, clockwise.
MARKS_MM = ((6.0, 66.0), (176.0, 66.0), (176.0, 6.0), (6.0, 6.0))
GRAYS = (0.90, 0.59, 0.36, 0.18, 0.09, 0.03)  # linear, nominal: what a printer makes of them is its own
PATCH_MM = 20.0
_PATCHES_AT_MM = (40.0, 54.0)
_RULER_AT_MM = (25.0, 30.0)
_LEAST_MARKS = 3  # of four, that a card is told by


@dataclass(frozen=True)
class Found:
    """A card in a photograph. px_per_mm: at the card. grays: the mean display value, 0 to 255, of each patch,
    from the lightest on.
    """

    px_per_mm: float
    grays: tuple[float, ...]

    @property
    def overexposed(self) -> bool:
        """Whether the lightest patch has lost its detail."""
        return self.grays[0] >= 250


def scale_card(kind: Format) -> bytes:
    """The card as a file. It must be printed at 100%, and measured."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "datamask", "pdf.fonttype": 42}
    undated: dict[str, dict[str, Any]] = {
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
        "png": {"Software": None},
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(WIDTH_MM / 25.4, HEIGHT_MM / 25.4))
        FigureCanvasAgg(figure)
        axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axis.set_axis_off()
        axis.set_xlim(0, WIDTH_MM)
        axis.set_ylim(0, HEIGHT_MM)
        box: dict[str, Any] = {"linewidth": 0, "antialiased": False}
        axis.add_patch(Rectangle((0, 0), WIDTH_MM, HEIGHT_MM, facecolor="white", **box))
        axis.add_patch(
            Rectangle((0.3, 0.3), WIDTH_MM - 0.6, HEIGHT_MM - 0.6, fill=False, edgecolor="0.6", linewidth=0.5)
        )
        for number, at in enumerate(MARKS_MM):
            cells = _mark(number)
            cell = MARK_MM / len(cells)
            for row, column in np.argwhere(cells == 0).tolist():
                place = (at[0] + column * cell, at[1] + (len(cells) - 1 - row) * cell)
                axis.add_patch(Rectangle(place, cell, cell, facecolor="black", **box))
        for k, gray in enumerate(GRAYS):
            left, bottom = _PATCHES_AT_MM[0] + k * PATCH_MM, _PATCHES_AT_MM[1]
            level = f"{float(linear_to_srgb(np.array(gray))):.4f}"
            axis.add_patch(Rectangle((left, bottom), PATCH_MM, PATCH_MM, facecolor=level, **box))
            axis.text(left + PATCH_MM / 2, bottom - 3.6, f"{gray:.2f}", fontsize=7, ha="center")
        left, bottom = _RULER_AT_MM
        axis.plot([left, left + RULER_MM], [bottom, bottom], color="black", linewidth=0.6)
        for mm in range(RULER_MM + 1):
            tall = 6.0 if mm % 10 == 0 else 4.2 if mm % 5 == 0 else 2.6
            axis.plot([left + mm] * 2, [bottom, bottom + tall], color="black", linewidth=0.35)
            if mm % 10 == 0:
                axis.text(left + mm, bottom + 7, str(mm), fontsize=7, ha="center")
        words = f"datamask: print at 100%, the ruler is {RULER_MM} mm long; grays are nominal"
        axis.text(WIDTH_MM / 2, 20, words, fontsize=8, ha="center")
        axis.text(
            WIDTH_MM / 2,
            13,
            "print ________   camera ________   light ________   pose ____",
            fontsize=9,
            ha="center",
        )
        file = io.BytesIO()
        figure.savefig(file, format=kind, dpi=300, metadata=undated[kind])
    return file.getvalue()


def find_card(photo: Pixels) -> Found | None:
    """The card in a photograph uint8 (H, W, 3); None where it is not seen."""
    import cv2

    book = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    corners, numbers, _ = cv2.aruco.ArucoDetector(book).detectMarkers(
        cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY)
    )
    marks = {} if numbers is None else dict(zip(numbers.ravel().tolist(), corners, strict=True))
    known = [number for number in range(len(MARKS_MM)) if number in marks]
    if len(known) < _LEAST_MARKS:
        return None
    on_card = np.concatenate([_corners_mm(number) for number in known])
    in_photo = np.concatenate([marks[number].reshape(4, 2) for number in known])
    to_photo, _ = cv2.findHomography(on_card.astype(np.float32), in_photo.astype(np.float32))
    if to_photo is None:
        return None
    ends = _moved(to_photo, np.array([[0.0, HEIGHT_MM / 2], [WIDTH_MM, HEIGHT_MM / 2]]))
    grays = tuple(_level(photo, to_photo, k) for k in range(len(GRAYS)))
    return Found(float(np.linalg.norm(ends[1] - ends[0]) / WIDTH_MM), grays)


def _level(photo: Pixels, to_photo: Places, patch: int) -> float:
    """The mean display value of the middle of a patch."""
    step = PATCH_MM * np.linspace(0.3, 0.7, 5)
    across, up = np.meshgrid(_PATCHES_AT_MM[0] + patch * PATCH_MM + step, _PATCHES_AT_MM[1] + step)
    places = _moved(to_photo, np.stack([across.ravel(), up.ravel()], axis=1))
    x = np.clip(places[:, 0].astype(int), 0, photo.shape[1] - 1)
    y = np.clip(places[:, 1].astype(int), 0, photo.shape[0] - 1)
    return float(photo[y, x].mean())


def _moved(homography: Places, points: Places) -> Places:
    whole = np.column_stack([points, np.ones(len(points))]) @ homography.T
    moved: Places = whole[:, :2] / whole[:, 2:]
    return moved


def _corners_mm(number: int) -> Places:
    """A mark's corners as ArUco counts them, from the upper left, clockwise."""
    left, bottom = MARKS_MM[number]
    right, top = left + MARK_MM, bottom + MARK_MM
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _mark(number: int) -> Pixels:
    """A mark's cells (6, 6), 0 for black, its black rim among them."""
    import cv2

    book = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    return np.asarray(cv2.aruco.generateImageMarker(book, number, 6), np.uint8)
