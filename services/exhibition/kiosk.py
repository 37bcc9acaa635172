"""The page for a screen in the room: full screen, by touch, without a link; left alone it shows all masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.exhibition.wording import Wording

if TYPE_CHECKING:  # the command line asks this module for its bounds, and sets no type
    from services.exhibition.labels import Label

KIOSK = "kiosk.html"
IDLE_S = 60  # without a touch, until it goes from mask to mask by itself
LEAST_IDLE_S, MOST_IDLE_S = 5, 3600
_SCRIPTS = ("vendor.js", "text.js", "viewer.js", "kiosk.js")
_PARTS = ("previous", "next", "grow", "about", "close", "hint", "view", "generation", "no_view")


@dataclass(frozen=True)
class Stand:
    """What a kiosk shows. title: of all works. about: paragraphs.

    idle_s: without a touch, until it goes from mask to mask; then each stays for hold_s and takes change_s to
    become the next.
    """

    title: str
    labels: Sequence[Label]
    about: Sequence[str]
    idle_s: float = IDLE_S
    hold_s: float = 9.0
    change_s: float = 7.0


def kiosk_page(facts: Mapping[str, Any], stand: Stand, words: Wording) -> bytes:
    """The page as UTF-8 HTML: one file that holds its shapes and its programs and asks nobody for more.

    :param facts: of the run's page, with shapes. Of them it takes the masks' and their ancestors' alone.
    """
    from services.exhibition.page import alone, asset  # templates: not for a command that asks for bounds

    labels = {label.mask: label for label in stand.labels}
    masks = []
    for mask in facts["masks"]:
        label = labels[mask["id"]]
        line = _line(facts, mask)
        masks.append(
            {
                "id": mask["id"],
                "mesh": mask["mesh"],
                "colors": mask.get("colors"),
                "front": mask.get("front"),
                "artist": label.artist,
                "title": label.title,
                "year": label.year,
                "facts": label.facts,
                "text": label.text,
                "line": line,
            }
        )
    used = {node["id"] for mask in masks for node in mask["line"]}
    kept = {
        "mesh": facts["mesh"],
        "masks": masks,
        "shapes": {name: shape for name, shape in facts["shapes"].items() if name in used},
        "idle_ms": 1000 * stand.idle_s,
        "hold_ms": 1000 * stand.hold_s,
        "change_ms": 1000 * stand.change_s,
        "words": {name: words.words[f"kiosk.{name}"] for name in _PARTS},
    }
    values = {"words": kept["words"], "title": stand.title, "about": stand.about}
    return alone(
        "kiosk.html.j2", asset("kiosk.css"), _SCRIPTS, kept, **values, language=words.words["language"]
    )


def _line(facts: Mapping[str, Any], mask: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A mask's line from noise to itself, as far as the page holds the shapes: of the best the film's."""
    story = facts["story"]
    if len(story) > 1 and story[-1]["id"] == mask["id"]:
        line = list(story)
    else:
        line = [node for node in mask.get("lineage", ()) if node["trunk"]][::-1]
    held = {other["id"] for other in facts["masks"]} | {k for k, shape in facts["shapes"].items() if shape}
    found = [{"id": node["id"], "generation": node["generation"]} for node in line if node["id"] in held]
    return found if len(found) > 1 and found[-1]["id"] == mask["id"] else []
