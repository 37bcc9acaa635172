"""Photographs of prints, taken as docs/photograph.md says: their folder, and what machines see in them.

A folder holds PRINT/CAMERA-LIGHT/POSE.jpg, such as elite/camera-1-window/07.jpg.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import BadInput
from services.recognition.model import ModelInfo
from services.recognition.photos import SUFFIXES, UNREAD

FORMAT = 1
# What is photographed. Nobody's background is empty of what a detector may take for a face.
PRINTS: Mapping[str, str] = {
    "elite": "the mask that machines accept",
    "twin": "its genes with random signs: as much relief, as fine",
    "noise": "a mask as the search begins",
    "empty": "the place and the card without a print",
}
CAMERAS: Mapping[str, str] = {
    "camera-1": "a telephone's main camera, as it comes",
    "camera-2": "another maker's, or a camera with a lens of 50 to 85 mm (full frame)",
}
LIGHTS: Mapping[str, str] = {
    "window": "daylight from one side and above, no sun, no other light",
    "lamp": "one lamp, 45 degrees to the left of the camera and 45 above, the room dark",
}
# Turned about the vertical, then up or down, then rolled; in degrees, > 0 to the right of the picture, up,
# and counter-clockwise.
POSES: Mapping[str, tuple[int, int, int]] = {
    "01": (0, 0, 0),
    "02": (-15, 0, 0),
    "03": (15, 0, 0),
    "04": (-30, 0, 0),
    "05": (30, 0, 0),
    "06": (-45, 0, 0),
    "07": (45, 0, 0),
    "08": (0, 15, 0),
    "09": (0, -15, 0),
    "10": (-20, 10, 0),
    "11": (20, -10, 0),
    "12": (0, 0, 15),
}
NOT_YET = "not yet photographed"
RESULTS = ("results.json", "results.csv", "results.md")
LISTS = ("prints.csv", "shots.csv")


@dataclass(frozen=True, order=True)
class Shot:
    """One photograph that the protocol asks for."""

    print: str
    camera: str
    light: str
    pose: str

    @property
    def place(self) -> str:
        """Where it lies in the folder, without its ending."""
        return f"{self.print}/{self.camera}-{self.light}/{self.pose}"


def shots() -> Iterator[Shot]:
    """All that are asked for; of the empty place one with each camera and light."""
    for name, camera, light in itertools.product(PRINTS, CAMERAS, LIGHTS):
        for pose in POSES if name != "empty" else ("01",):
            yield Shot(name, camera, light, pose)


def read_folder(folder: Path) -> tuple[dict[Shot, Path], list[str]]:
    """The photographs that are there, and a line for each file that is none of the protocol's.

    :raises BadInput: where there is no such folder, or nothing in it is the protocol's.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; begin one with datamask photograph {folder} --start RUN")
    wanted = {shot.place: shot for shot in shots()}
    found: dict[Shot, Path] = {}
    strange: list[str] = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if len(inside.parts) == 1 or path.is_dir() or any(part.startswith(".") for part in inside.parts):
            continue
        if path.suffix.lower() not in (*SUFFIXES, *UNREAD):
            continue
        shot = wanted.get(inside.with_suffix("").as_posix())
        if shot is None:
            strange.append(
                f"{path}: expected PRINT/CAMERA-LIGHT/POSE.jpg, such as elite/camera-1-window/07.jpg"
            )
        elif shot in found:
            strange.append(f"{path}: the same photograph as {found[shot]}; keep one")
        else:
            found[shot] = path
    if not found and not any((folder / name).is_file() for name in LISTS):
        raise BadInput(
            f"{folder}: no folder of photographs, with neither shots.csv nor elite/camera-1-window/07.jpg in "
            "it; begin a new one with datamask photograph NEW-FOLDER --start RUN"
        )
    return found, strange


def check_results(folder: Path) -> None:
    """:raises BadInput: where files of the results' names are there that are no results."""
    there = [folder / name for name in RESULTS if (folder / name).exists()]
    try:
        ours = not there or {"thresholds", "prints"} <= set(json.loads((folder / RESULTS[0]).read_bytes()))
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise BadInput(
            f"{there[0]}: would be replaced, and is not datamask photograph's; move it to another folder"
        )


def results_of(
    rows: Sequence[Mapping[str, Any]], infos: Sequence[ModelInfo], left_out: Sequence[str]
) -> dict[str, Any]:
    """Everything, as JSON values: counts by print, and every photograph."""
    asked = list(shots())
    prints = {}
    for name in PRINTS:
        own = [row for row in rows if row["print"] == name]
        prints[name] = {
            "photographs": len(own),
            "of": sum(shot.print == name for shot in asked),
            "card_seen": sum(row["card"] for row in own),
            "overexposed": sum(bool(row["overexposed"]) for row in own),
            "face": {info.name: sum(row["machines"][info.name]["face"] for row in own) for info in infos},
        }
    thresholds = {info.name: info.threshold for info in infos}
    return {
        "format": FORMAT,
        "thresholds": thresholds,
        "prints": prints,
        "photographs": list(rows),
        "left_out": list(left_out),
    }


def table(results: Mapping[str, Any] | None) -> str:
    """Markdown: in how many photographs of each print each machine sees a face."""
    lines = [f"| machine | {' | '.join(PRINTS)} |", "|---|" + "---|" * len(PRINTS)]
    prints = {} if results is None else results["prints"]
    machines = [] if results is None else list(results["thresholds"])
    if not any(own["photographs"] for own in prints.values()):
        machines = []
    for machine in machines:
        cells = []
        for name in PRINTS:
            own = prints[name]
            cells.append(f"{own['face'][machine]} of {own['photographs']}" if own["photographs"] else NOT_YET)
        lines.append(f"| `{machine}` | {' | '.join(cells)} |")
    if not machines:
        lines.append(f"| every machine | {' | '.join([NOT_YET] * len(PRINTS))} |")
    lacking = [
        f"{own['of'] - own['photographs']} of {own['of']} {name}"
        for name, own in prints.items()
        if 0 < own["photographs"] < own["of"]
    ]
    if lacking:
        lines += ["", f"Not yet photographed: {', '.join(lacking)}."]
    return "\n".join(lines)


def as_csv(results: Mapping[str, Any]) -> str:
    """A line for each photograph and machine."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["print", "camera", "light", "pose", "yaw_deg", "pitch_deg", "roll_deg"]
    writer.writerow([*header, "machine", "score", "threshold", "face", "px_per_mm", "overexposed"])
    for row in results["photographs"]:
        for name, said in row["machines"].items():
            head = [row["print"], row["camera"], row["light"], row["pose"], *POSES[row["pose"]]]
            seen = [name, said["score"], results["thresholds"][name], "yes" if said["face"] else "no"]
            writer.writerow([*head, *seen, row["px_per_mm"], row["overexposed"]])
    return text.getvalue()


def begun(mask: str, run: str) -> dict[str, str]:
    """The texts of a new folder, by name: what to print, what to photograph, and what to do."""
    return {**dict(zip(LISTS, (_prints(mask, run), _shots()), strict=True)), "README.txt": _README}


def _prints(mask: str, run: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["print", "what", "command"])
    usual = f"datamask print {shlex.quote(run)} --mask {mask} --mount wall --out prints"
    controls = {"elite": "", "twin": " --control twin", "noise": " --control noise"}
    writer.writerows([name, PRINTS[name], usual + more] for name, more in controls.items())
    return text.getvalue()


def _shots() -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "print", "camera", "light", "pose", "yaw_deg", "pitch_deg", "roll_deg", "done"])
    writer.writerows(
        [f"{s.place}.jpg", s.print, s.camera, s.light, s.pose, *POSES[s.pose], ""] for s in shots()
    )
    return text.getvalue()


_README = """The way to a photograph: docs/photograph.md has the whole protocol.

1. Make the three prints of prints.csv, alike in size, process, material and color, and do not paint them.
2. Print card.pdf at 100% and measure its ruler. The card stands in every picture, beside the print.
3. Take the pictures of shots.csv and put each where the file says, such as elite/camera-1-window/07.jpg.
4. Then: datamask photograph THIS-FOLDER

Nobody's face in any picture, on no screen, poster or shirt: each machine looks at the whole picture.
"""
