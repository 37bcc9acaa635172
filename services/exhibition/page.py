"""The report page: one file that holds its pictures, its numbers and its programs, and asks nobody for more.

The frame is a Jinja2 template with autoescape; everything that came from a run travels as JSON in a script
element that is not executed, and the page's own program writes it as text. A Content-Security-Policy allows
exactly the inlined programs, by their hashes, and no request: a name with HTML in it shows as a name.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

LIVE_FILE = "data.json"  # what a page that is served asks for again, beside itself
# In this order: each uses what stands before it.
_SCRIPTS = (
    *("vendor.js", "text.js", "viewer.js", "charts.js", "matrix.js", "files.js", "kinds.js", "lineage.js"),
    "page.js",
)


@cache
def asset(name: str) -> str:
    """A file of the package's assets."""
    return (resources.files("services.exhibition") / "assets" / name).read_text(encoding="utf-8")


def page(facts: Mapping[str, Any], *, live: bool = False) -> bytes:
    """The page as UTF-8 HTML.

    :param facts: JSON values, see docs/exhibition.md. live: the page asks its own server for newer facts.
    """
    style = asset("uplot.css") + asset("page.css")
    return alone("page.html.j2", style, _SCRIPTS, facts, asks="'self'" if live else "'none'", live=live)


def alone(
    template: str, style: str, programs: Sequence[str], facts: Any, *, asks: str = "'none'", **values: Any
) -> bytes:
    """A page of one file as UTF-8 HTML, whose policy allows its own programs and no request.

    :param template: name of the asset. programs: names of assets, in their order. facts: JSON values that the
        programs read. asks: whom they may ask. values: for the template, besides.
    """
    scripts = [asset(name) for name in programs]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(_hash(script) for script in scripts),
        "style-src": _hash(style),
        "img-src": "data:",
        "media-src": "data:",
        "connect-src": asks,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(asset(template)).render(
        facts=facts,
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        data=Markup(json_text(facts)),
        **values,
    )
    return text.encode()


def json_text(facts: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element that holds it, nor open a comment in it."""
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, escaped)
    return text


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
