"""The table of a spec that says what stands on the labels of its masks. Nothing that scores asks it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from coordinator.spec.tables import Table
from services.exhibition.credits import checked


def _checked(value: Any, info: ValidationInfo) -> str:
    return checked(str(info.field_name), value)


Said = Annotated[str | None, BeforeValidator(_checked)]


class ExhibitionSpec(Table):
    """Presentation alone: whoever goes on with a run may change it. What is not said is left to the pack."""

    title: Said = None
    artist: Said = None
    year: Said = None
    statement: Said = None
    edition: Said = None
    venue: Said = None
    medium: Said = None
