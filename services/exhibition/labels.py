"""What hangs beside a mask: labels with crop marks, and the text on the wall at the door."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.errors import BadInput
from services.exhibition.credits import Credits
from services.exhibition.telling import Told, names_of, result_of
from services.exhibition.typesetting import (
    A4_MM,
    BOLD,
    GRAY,
    ITALIC,
    MM,
    Page,
    Piece,
    Rule,
    broken,
    check_letters,
    set_lines,
)
from services.exhibition.wording import Wording

LABEL_MM = (150.0, 100.0)
INSIDE_MM = 10.0  # from the trimmed edge to the type
_GAP_MM = 20.0  # between two labels on a sheet
_CROP_MM = (3.0, 8.0)  # from the corner: where a crop mark begins and ends
# Of artist and title, of medium and size, of the text: the largest that fit.
_SIZES_PT = (
    (18.0, 13.0, 13.0),
    (18.0, 13.0, 12.0),
    (18.0, 13.0, 11.0),
    (15.0, 11.5, 11.0),
    (14.0, 11.0, 10.5),
)
_NUMBERED = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Print:
    """A solid of a mask. size_mm: width, height, depth. medium: a key of the wording's [medium].

    edition: ``2/5`` as it is raised on the solid, or None. report: what ``datamask print`` said of it.
    """

    size_mm: tuple[float, float, float]
    medium: str
    material: str
    edition: str | None
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Label:
    """What a label says, line by line, and the short text below."""

    mask: str
    artist: str | None
    title: str
    year: str
    medium: str
    dimensions: str
    edition: str | None
    text: str

    @property
    def facts(self) -> list[str]:
        """Medium, dimensions and edition."""
        return [line for line in (self.medium, self.dimensions, self.edition) if line]

    @property
    def lines(self) -> list[str]:
        """All of it as plain lines."""
        head = [self.artist] if self.artist else []
        return [*head, f"{self.title}, {self.year}", *self.facts, self.text]


def labels_of(
    facts: Mapping[str, Any],
    credits: Credits,
    words: Wording,
    story: Told,
    prints: Mapping[str, Print],
) -> list[Label]:
    """A label for each mask of a run.

    :param facts: of the run's page. prints: by mask, of those that were printed.
    :raises BadInput: where the type has no shape for a letter.
    """
    masks = facts["masks"]
    title = title_of(facts, credits, words)
    year = year_of(facts, credits, words)
    labels = []
    for k, mask in enumerate(masks):
        name = words.say("label.numbered", title=title, number=k + 1) if len(masks) > 1 else title
        made = prints.get(mask["id"])
        text = credits.statement or " ".join([story.short, result_of(facts, mask, words)]).strip()
        labels.append(
            Label(
                mask=mask["id"],
                artist=credits.artist,
                title=name,
                year=year,
                medium=credits.medium or _medium(made, words),
                dimensions=_dimensions(made, words),
                edition=_edition(credits.edition, made, words),
                text=text,
            )
        )
    check_letters(line for label in labels for line in label.lines)
    return labels


def title_of(facts: Mapping[str, Any], credits: Credits, words: Wording) -> str:
    """The run's title: as given, or ``Untitled`` with the machines that it was bred for."""
    machines = words.words["separator"].join(names_of(facts, words))
    return credits.title or words.say("label.untitled", machines=machines)


def year_of(facts: Mapping[str, Any], credits: Credits, words: Wording) -> str:
    """As given, or when the run was started."""
    started = str(facts["manifest"].get("started") or "")
    return credits.year or started[:4] or words.say("label.undated")


def _medium(made: Print | None, words: Wording) -> str:
    if made is None:
        return words.say("medium.digital")
    key = f"medium.{made.medium}"
    return words.say(key if key in words.words else "medium.other", material=made.material)


def _dimensions(made: Print | None, words: Wording) -> str:
    """Height, width and depth of the printed solid, as museums give them; a model on a screen has none."""
    if made is None:
        return words.say("label.no_dimensions")
    width, height, depth = (words.length(side / 10) for side in made.size_mm)
    return words.say("label.dimensions", height=height, width=width, depth=depth)


def _edition(said: str | None, made: Print | None, words: Wording) -> str | None:
    """As it is raised on the solid, else as given."""
    text = (made.edition if made is not None else None) or said
    found = _NUMBERED.fullmatch(text or "")
    return words.say("label.edition", number=found[1], of=found[2]) if found else text


def label_sheets(labels: Sequence[Label]) -> list[Page]:
    """A4 sheets with two labels of 150 x 100 mm each, between crop marks.

    :raises BadInput: where a label does not hold its text in the smallest type.
    """
    pages: list[Page] = []
    left = (A4_MM[0] - LABEL_MM[0]) / 2
    first = (A4_MM[1] - 2 * LABEL_MM[1] - _GAP_MM) / 2
    for k, label in enumerate(labels):
        if k % 2 == 0:
            pages.append(Page(A4_MM))
        top = first + (k % 2) * (LABEL_MM[1] + _GAP_MM)
        _crop_marks(pages[-1], left, top)
        _set_label(pages[-1], label, left + INSIDE_MM, top + INSIDE_MM)
    return pages


def _set_label(page: Page, label: Label, left: float, top: float) -> None:
    for sizes in _SIZES_PT:
        tried = Page(page.size_mm)
        if _laid_out(tried, label, left, top, sizes) <= top + LABEL_MM[1] - 2 * INSIDE_MM:
            page.items += tried.items
            return
    raise BadInput(
        f"labels: the text beside {label.title!r} ({len(label.text)} letters) does not fit its label of "
        "15 x 10 cm; shorten title or statement"
    )


def _laid_out(page: Page, label: Label, left: float, top: float, sizes: tuple[float, float, float]) -> float:
    """Set a label in type of such sizes; returns its last baseline."""
    head, plain, small = sizes
    room = LABEL_MM[0] - 2 * INSIDE_MM
    y = top + 0.75 * head / MM
    if label.artist:
        y = set_lines(page, [Piece(label.artist, BOLD)], head, (left, y), room, leading=1.22)
    title = [Piece(f"{label.title},", ITALIC), Piece(label.year)]
    y = set_lines(page, title, head, (left, y), room, leading=1.22)
    y -= 0.05 * head / MM
    for line in label.facts:
        y = set_lines(page, [Piece(line)], plain, (left, y), room, leading=1.28)
    leading = 1.34
    after = set_lines(page, [Piece(label.text)], small, (left, y + 3.2), room, leading=leading)
    return after - leading * small / MM


def _crop_marks(page: Page, left: float, top: float) -> None:
    near, far = _CROP_MM
    for x, out in ((left, -1), (left + LABEL_MM[0], 1)):
        for y, down in ((top, -1), (top + LABEL_MM[1], 1)):
            page.items.append(Rule((x + out * near, y), (x + out * far, y), 0.25))
            page.items.append(Rule((x, y + down * near), (x, y + down * far), 0.25))


def wall_text(title: str, credits: Credits, story: Told, year: str) -> Page:
    """One A4 page for the wall at the door: artist, title, the statement, and what was done.

    :raises BadInput: where it does not fit.
    """
    page = Page(A4_MM)
    left, room, bottom = 25.0, A4_MM[0] - 55.0, A4_MM[1] - 28.0
    y = 38.0
    if credits.artist:
        y = set_lines(page, [Piece(credits.artist, BOLD)], 26, (left, y), room, leading=1.2)
    head = [Piece(f"{title},", ITALIC), Piece(year)]
    y = set_lines(page, head, 26, (left, y), room, leading=1.2) + 10.0
    for size in (18.0, 17.0, 16.0, 15.0, 14.0):
        texts = [text for text in (credits.statement, story.medium) if text]
        count = sum(len(broken([Piece(text)], size, room)) for text in texts)
        if y + ((count - 1) * 1.42 + (len(texts) - 1) * 0.8) * size / MM <= bottom - 8.0:
            for text in texts:
                y = set_lines(page, [Piece(text)], size, (left, y), room, leading=1.42) + 0.8 * size / MM
            break
    else:
        raise BadInput("wall text: title and texts do not fit one A4 page; shorten title or statement")
    if credits.venue:
        set_lines(page, [Piece(credits.venue)], 13, (left, bottom), room, color=GRAY)
    check_letters(run.text for run in page.runs())
    return page
