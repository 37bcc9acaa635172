"""The page of a gallery of machines: its poster, the matrix with its intervals, and the way to each run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from services.exhibition.inline import picture_uri
from services.exhibition.palette import Image
from services.exhibition.paper import Share


def gallery_page(told: Mapping[str, Any], shares: Mapping[tuple[str, str], Share], poster: Image) -> bytes:
    """UTF-8 HTML that holds its picture and asks nobody for more.

    :param told: the gallery's record, see :func:`coordinator.gallery.matrix`. shares: with their intervals,
        by subject (a machine that a mask was bred for, a control in brackets) and machine that was asked.
        poster: uint8 (H, W, 3).
    """
    folder = resources.files("services.exhibition") / "assets"
    style, template = ((folder / n).read_text(encoding="utf-8") for n in ("page.css", "gallery.html.j2"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    machines = told["machines"]
    rows = [
        {**row, "cells": [_cell(shares.get((row["bred_for"], name))) for name in machines]}
        for row in told["rows"]
    ]
    controls = [
        (subject, [_cell(shares.get((f"({subject})", name))) for name in machines])
        for subject in told["controls"]
    ]
    text = environment.from_string(template).render(
        told=told,
        rows=rows,
        controls=controls,
        poster=picture_uri(poster, quality=85),
        style=Markup(style),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'",
    )
    return text.encode()


def _cell(share: Share | None) -> str:
    if share is None:
        return "–"
    middle, low, high = share
    return f"{middle:.0%} ({low * 100:.0f}–{high * 100:.0f})"
