"""Processes, sizes and mounts: what the command line must know of printing.

Walls, holes and margins: see docs/printing.md, which has the sources.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from services.errors import BadInput
from services.words import nearest

Size = tuple[float, float, float]


@dataclass(frozen=True)
class Process:
    """One way of printing.

    wall_mm: what we take if nobody says otherwise; least_wall_mm: what the process can hold. bed_mm: of the
    machine named. density_g_cm3: of the finished part. overhang: whether overhangs need supports.
    full_color: whether a mask's own colors come out.
    """

    name: str
    wall_mm: float
    least_wall_mm: float
    bed_mm: Size
    machine: str
    material: str
    density_g_cm3: float
    color_srgb: tuple[int, int, int]
    overhang: bool
    full_color: bool = False


PROCESSES = {
    p.name: p
    for p in (
        Process(
            "sls", 2.0, 1.0, (340.0, 340.0, 600.0), "EOS P 396", "nylon PA12", 0.95, (236, 234, 228), False
        ),
        Process(
            "fdm", 2.8, 1.6, (250.0, 210.0, 220.0), "Prusa MK4", "PLA, solid", 1.24, (228, 226, 220), True
        ),
        Process(
            "color", 3.0, 2.0, (254.0, 381.0, 203.0), "ProJet CJP 660", "gypsum", 1.6, (240, 238, 232), False,
            full_color=True,
        ),
    )
}  # fmt: skip

CLOSED, HOLLOW, OPEN = "closed", "hollow", "open"
EYES = (CLOSED, HOLLOW, OPEN)
# Widths of heads, cheek to cheek; the others are the largest within a frame, "exhibition" as he showed his.
SIZES_MM = {"S": 130.0, "M": 140.0, "L": 150.0}
EXHIBITION_MM = (180.0, 260.0)
FRAMES_MM = {"exhibition": EXHIBITION_MM, "60cm": (415.0, 600.0)}
LARGE_MM, LARGE_WALL_MM = (
    300.0,
    4.0,
)  # from this width on a wall is at least so thick, unless somebody says so
VOXEL_MM, LARGE_VOXEL_MM = 0.5, 1.0
MOUNTS = ("wear", "wall", "stand", "none")
LEAST_WIDTH_MM, MOST_WIDTH_MM = 40.0, 600.0
MOST_WALL_MM = 12.0
ELSEWHERE = "print-elsewhere.json"  # beside a mask in its run: the report of a print that lies elsewhere
BRIDGE_MM = 4.0  # the least width of material that an opening may leave


@dataclass(frozen=True)
class Order:
    """What is to be printed. height_mm: the most it may measure, or None. edition: (number, of) or None.

    eyes: of :data:`services.printing.eyes.EYES`. parts: whether it is cut where it is larger than the bed.
    """

    process: Process
    width_mm: float
    height_mm: float | None
    wall_mm: float
    mount: str
    bed_mm: Size
    edition: tuple[int, int] | None = None
    eyes: str = CLOSED
    parts: bool = False


def make_order(
    process: str | None = None,
    width_mm: float | None = None,
    size: str | None = None,
    wall_mm: float | None = None,
    mount: str = "wear",
    bed_mm: str | None = None,
    edition: str | None = None,
    eyes: str = CLOSED,
    parts: bool = False,
) -> Order:
    """Check what was asked for.

    :param process: of :data:`PROCESSES`; None: sls. size: S, M, L, exhibition or 60cm, in place of
        ``width_mm``; without either, exhibition.
    :param bed_mm: "WIDTHxDEPTHxHEIGHT". edition: "NUMBER/OF". eyes, parts: as of an order.
    :raises BadInput: naming the option, what was expected and how to mend it.
    """
    process = "sls" if process is None else process
    made = PROCESSES.get(process)
    if made is None:
        raise BadInput(f"--process {process}: unknown{nearest(process, list(PROCESSES))}")
    if mount not in MOUNTS:
        raise BadInput(f"--mount {mount}: unknown{nearest(mount, list(MOUNTS))}")
    width, height = _size(width_mm, size)
    if eyes not in EYES:
        raise BadInput(f"--eyes {eyes}: unknown{nearest(eyes, list(EYES))}")
    usual = max(made.wall_mm, LARGE_WALL_MM) if width >= LARGE_MM else made.wall_mm
    wall = usual if wall_mm is None else wall_mm
    if not math.isfinite(wall) or not made.least_wall_mm <= wall <= MOST_WALL_MM:
        raise BadInput(
            f"--wall-mm {wall:g}: {process} holds walls from {made.least_wall_mm:g} mm, and more than "
            f"{MOST_WALL_MM:g} mm is no wall; leave it out for {usual:g} mm"
        )
    if wall * 2 >= width:
        raise BadInput(
            f"--wall-mm {wall:g}: thicker than half the width of {width:g} mm; print it larger or thinner"
        )
    bed = made.bed_mm if bed_mm is None else _bed(bed_mm)
    return Order(made, width, height, wall, mount, bed, _edition(edition), eyes, parts)


def voxel_mm_for(order: Order) -> float:
    """The resolution that an order is made with if nobody says otherwise: a large one coarser."""
    return LARGE_VOXEL_MM if order.width_mm >= LARGE_MM else VOXEL_MM


def _size(width_mm: float | None, size: str | None) -> tuple[float, float | None]:
    if width_mm is not None and size is not None:
        raise BadInput("--width-mm and --size: give one of them")
    if width_mm is not None:
        if not math.isfinite(width_mm) or not LEAST_WIDTH_MM <= width_mm <= MOST_WIDTH_MM:
            raise BadInput(
                f"--width-mm {width_mm:g}: expected {LEAST_WIDTH_MM:g} to {MOST_WIDTH_MM:g}; "
                "heads are 130 to 150 mm wide"
            )
        return width_mm, None
    if size is None:
        return EXHIBITION_MM
    if size.lower() in FRAMES_MM:
        return FRAMES_MM[size.lower()]
    if size.upper() not in SIZES_MM:
        raise BadInput(f"--size {size}: unknown{nearest(size, [*SIZES_MM, *FRAMES_MM])}")
    return SIZES_MM[size.upper()], None


def _bed(text: str) -> Size:
    numbers = re.fullmatch(r"(\d+(?:\.\d+)?)[x×,](\d+(?:\.\d+)?)[x×,](\d+(?:\.\d+)?)", text.strip().lower())
    if numbers is None or not all(float(n) > 0 for n in numbers.groups()):
        raise BadInput(f"--bed-mm {text}: expected WIDTHxDEPTHxHEIGHT, e.g. 250x210x220")
    width, depth, height = (float(n) for n in numbers.groups())
    return width, depth, height


def _edition(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise BadInput(f"--edition {text}: expected NUMBER/OF, e.g. 2/5")
    return int(found[1]), int(found[2])
