"""The words of an exhibition, from one file a language: assets/words.en.toml, and translations of it."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from services.errors import BadInput, reason_of
from services.text_file import decode_text
from services.words import nearest

ENGLISH = "en"
# Names of what a user may add, so that a file need not have each: what is not in it is called as in the run.
_OPEN = ("machines", "shapes")

Flat = Mapping[str, str]


@dataclass(frozen=True)
class Wording:
    """Words by their key, ``label.untitled``; one of a count has ``.one`` and ``.other``."""

    words: Flat

    def say(self, key: str, **values: object) -> str:
        """A sentence with its values filled in. A key or a value that nobody has is a mistake of ours."""
        return self.words[key].format_map(values)

    def count(self, key: str, number: int) -> str:
        """``1 view``, ``6,720 views``, which no line divides."""
        return self.say(f"count.{key}.{_form(number)}", number=self.number(number)).replace(" ", "\u00a0")

    def number(self, number: int) -> str:
        """With its thousands apart."""
        return f"{number:,}".replace(",", self.words["thousands"])

    def length(self, centimeters: float) -> str:
        """With one decimal."""
        return f"{centimeters:.1f}".replace(".", self.words["decimal"])

    def listed(self, words: str | Sequence[str]) -> str:
        """``HOG, MMOD and YuNet``; one alone may stand without a list."""
        if isinstance(words, str) or len(words) < 2:
            return "".join(words)
        return self.words["separator"].join(words[:-1]) + self.words["last_separator"] + words[-1]

    def form(self, key: str, number: int, **values: object) -> str:
        """The form of a sentence that fits a count."""
        return self.say(f"{key}.{_form(number)}", **values)

    def name(self, kind: str, known_as: str, fallback: str) -> str:
        """What a machine or shape is called."""
        return self.words.get(f"{kind}.{known_as}", fallback)


def _form(number: int) -> str:
    return "one" if number == 1 else "other"


@lru_cache(maxsize=1)
def english() -> Wording:
    """The words that come with datamask."""
    text = (resources.files("services.exhibition") / "assets" / "words.en.toml").read_text(encoding="utf-8")
    return Wording(dict(_flat(tomllib.loads(text))))


def load_wording(language: str) -> Wording:
    """``en``, or a translation: a copy of assets/words.en.toml with every value in another language.

    :param language: "en", or the path of a TOML file.
    :raises BadInput: where the file cannot be read, lacks a key, has one more, or has other braces.
    """
    if language == ENGLISH:
        return english()
    try:
        table = tomllib.loads(decode_text(Path(language).read_bytes()))
        found = dict(_flat(table))
    except FileNotFoundError:
        raise BadInput(
            f"--language {language}: no such file; expected en, or a translation of "
            "services/exhibition/assets/words.en.toml"
        ) from None
    except (OSError, ValueError) as error:
        raise BadInput(f"--language {language}: cannot be read: {reason_of(error)}") from None
    known = english().words
    for key in known:
        if key not in found and not key.startswith(_OPEN):
            raise BadInput(f"--language {language}: lacks '{key}' ({known[key][:40]!r} in English); add it")
    for key, words in found.items():
        if key not in known and not key.startswith(_OPEN):
            raise BadInput(f"--language {language}: unknown key '{key}'{nearest(key, known)}")
        if key in known and not _braces(words) <= _braces(known[key]):
            extra = ", ".join(sorted(_braces(words) - _braces(known[key])))
            allowed = ", ".join(sorted(_braces(known[key]))) or "none"
            raise BadInput(
                f"--language {language}: '{key}' has {{{extra}}} in braces; it may have: {allowed}"
            )
    return Wording(found)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            _braces(value)
            yield f"{prefix}{key}", value
        else:
            raise ValueError(f"'{prefix}{key}' is no text in quotes")


def _braces(words: str) -> frozenset[str]:
    """What stands in braces. :raises ValueError: where a brace is not closed, or holds more than a name."""
    found = [part for part in string.Formatter().parse(words) if part[1] is not None]
    for _, name, layout, conversion in found:
        if layout or conversion:
            raise ValueError(f"{{{name}}} stands in braces with more than its name: {words[:60]!r}")
    return frozenset(str(name) for _, name, _, _ in found)
