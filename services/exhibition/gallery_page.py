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
from services.recognition.statistics.rates import wilson_rate


def gallery_page(told: Mapping[str, Any], poster: Image) -> bytes:
    """UTF-8 HTML that holds its picture and asks nobody for more.

    :param told: the gallery's record, see :func:`coordinator.gallery.matrix`. poster: uint8 (H, W, 3).
    """
    folder = resources.files("services.exhibition") / "assets"
    style, template = ((folder / n).read_text(encoding="utf-8") for n in ("page.css", "gallery.html.j2"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    views = told["views"]
    rows = [
        {**row, "cells": [_cell(row["hits"].get(m), views) for m in told["machines"]]} for row in told["rows"]
    ]
    controls = [
        (subject, [_cell(said[m]["hits"], said[m]["of"]) if m in said else "–" for m in told["machines"]])
        for subject, said in told["controls"].items()
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


def _cell(hits: int | None, of: int) -> str:
    if hits is None:
        return "–"
    rate = wilson_rate(hits, of)
    return f"{rate.share:.0%} ({rate.low * 100:.0f}–{rate.high * 100:.0f})"
