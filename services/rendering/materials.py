"""What a mask without colors of its own is shown in: the one list of materials, and where they come from.

To a machine a material is an albedo, the share of light that is thrown back, and no more: highlights are of
the views (``specular``), and nothing is reflected. Pictures for people show some of them as things, with a
finish: the studios of :mod:`services.rendering.rig`, and the page's 3D view (:func:`looks`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from services.errors import BadInput
from services.words import nearest

Srgb = tuple[float, float, float]


@dataclass(frozen=True)
class Finish:
    """How a surface shines. gloss: strength of highlights, gloss_power: how small they are (Blinn 1977).

    roughness: of microfacets, from 0 to 1. sheen: of dust and fibers, from 0 to 1. mirror: share of the light
    that comes back as a reflection. grain: share by which sintered grains differ in brightness.
    """

    gloss: float
    gloss_power: float
    roughness: float
    sheen: float = 0.0
    mirror: float = 0.0
    grain: float = 0.0


@dataclass(frozen=True)
class Shown:
    """A color that masks are shown in. srgb: display values from 0 to 1. source: whose numbers they are.

    finish: how it shines in pictures for people; None: those do not show it. scored: whether machines do.
    """

    name: str
    srgb: Srgb
    source: str
    finish: Finish | None = None
    scored: bool = True


_MONK = "Monk Skin Tone Scale, Ellis Monk 2022, CC BY 4.0, skintone.google"
_ASSUMED = "assumed, not measured"
# The ten tones as published, from the lightest to the darkest.
_MONK_TONES = (
    *("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420"),
)


def _of_hex(digits: str) -> Srgb:
    red, green, blue = (int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4))
    return red, green, blue


DEFAULT = "skin"
_ALL = (
    # A detector trained on photographs expects something like it.
    Shown(DEFAULT, (0.86, 0.72, 0.64), f"a light skin, {_ASSUMED}"),
    # As it comes out of the printer.
    Shown(
        "nylon",
        (0.93, 0.92, 0.89),
        f"white sintered polyamide, {_ASSUMED}",
        Finish(0.10, 22.0, 0.72, sheen=0.25, grain=0.05),
    ),
    Shown("plaster", (0.926, 0.921, 0.911), f"the studio's plaster, {_ASSUMED}", Finish(0.015, 8.0, 1.0)),
    Shown("grey", (0.461, 0.461, 0.461), "throws back 18% of the light, as photographers' gray cards do"),
    Shown("mirror-dark", (0.19, 0.19, 0.20), f"a mirror in a dark room, without its reflections, {_ASSUMED}"),
    Shown("wood", (0.76, 0.60, 0.42), f"light beech, {_ASSUMED}"),
    *(Shown(f"monk-{k}", _of_hex(tone), _MONK) for k, tone in enumerate(_MONK_TONES, start=1)),
    # What machines are not shown: a mirror has no color of its own, and a mask's own colors are its genes'.
    Shown(
        "mirror",
        (0.968, 0.963, 0.954),
        f"silver on polished polyamide, {_ASSUMED}",
        Finish(0.5, 240.0, 0.24, mirror=0.94),
        scored=False,
    ),
    Shown("color", (1.0, 1.0, 1.0), "the mask's own colors", Finish(0.05, 18.0, 0.72, 0.25), scored=False),
)
MATERIALS: Mapping[str, Shown] = {shown.name: shown for shown in _ALL if shown.scored}
FINISHED: Mapping[str, Shown] = {shown.name: shown for shown in _ALL if shown.finish is not None}
EXPECTED = (
    f"expected {', '.join(n for n in MATERIALS if not n.startswith('monk'))}, monk-1 to monk-10 or #rrggbb"
)


@cache
def material(name: str) -> Shown:
    """What a mask is shown in under that name; ``#rrggbb`` is a color of one's own.

    :raises BadInput: for an unknown name.
    """
    if name in MATERIALS:
        return MATERIALS[name]
    if re.fullmatch(r"#[0-9a-fA-F]{6}", name):
        return Shown(name.lower(), _of_hex(name[1:]), "a color of its own")
    raise BadInput(f"views.material {name!r}: {EXPECTED}{nearest(name, list(MATERIALS))}")


def materials(given: object) -> tuple[str, ...]:
    """Names of materials, each checked: one name, or a list of them.

    :raises BadInput: for anything else, an empty list, or a name that is in it twice.
    """
    names = (given,) if isinstance(given, str) else given
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
    ):
        raise BadInput(
            f"views.material: expected a name, or a list of different ones, got {given!r}; {EXPECTED}"
        )
    return tuple(material(name).name for name in names)


def looks() -> dict[str, dict[str, object]]:
    """What the page's 3D view must know of the materials that people are shown, by name."""
    told: dict[str, dict[str, object]] = {}
    for shown in FINISHED.values():
        if (finish := shown.finish) is not None:
            red, green, blue = (round(255 * channel) for channel in shown.srgb)
            told[shown.name] = {
                "color": f"#{red:02x}{green:02x}{blue:02x}",
                "roughness": finish.roughness,
                "sheen": finish.sheen,
                "metalness": round(finish.mirror),
            }
    return told
