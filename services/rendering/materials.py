"""What a mask without colors of its own is shown in: named colors, where they come from, and own ones.

A material here is an albedo, the share of light that is thrown back, and no more: highlights are of the views
(``specular``), and nothing is reflected.
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
class Shown:
    """A color that masks are shown in. srgb: display values from 0 to 1. source: whose numbers they are."""

    name: str
    srgb: Srgb
    source: str


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
MATERIALS: Mapping[str, Shown] = {
    shown.name: shown
    for shown in (
        # A detector trained on photographs expects something like it.
        Shown(DEFAULT, (0.86, 0.72, 0.64), f"a light skin, {_ASSUMED}"),
        # As it comes out of the printer.
        Shown("nylon", (0.93, 0.92, 0.89), f"white sintered polyamide, {_ASSUMED}"),
        Shown("plaster", (0.926, 0.921, 0.911), f"the studio's plaster, {_ASSUMED}"),
        Shown("grey", (0.461, 0.461, 0.461), "throws back 18% of the light, as photographers' gray cards do"),
        Shown(
            "mirror-dark", (0.19, 0.19, 0.20), f"a mirror in a dark room, without its reflections, {_ASSUMED}"
        ),
        Shown("wood", (0.76, 0.60, 0.42), f"light beech, {_ASSUMED}"),
        *(Shown(f"monk-{k}", _of_hex(tone), _MONK) for k, tone in enumerate(_MONK_TONES, start=1)),
    )
}
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
