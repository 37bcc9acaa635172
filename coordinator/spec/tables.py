"""What every table of a spec has in common: unknown keys and values that are no number are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticUndefined


class Table(BaseModel):
    """One table of a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


@dataclass(frozen=True)
class Before:
    """Beside a key's type: what was done before the key existed, where that is not what its default does."""

    value: Any


def completed(recorded: Mapping[str, Any], table: type[BaseModel]) -> dict[str, Any]:
    """A recorded table with the keys that have come since: each stands for what was done before it existed.

    :param recorded: plain TOML values, as an earlier version filled them in. table: what they are a table of.
    """
    found = dict(recorded)
    for key, field in table.model_fields.items():
        inner = next(_tables(field.annotation), None)
        if key not in found:
            before = next((m.value for m in field.metadata if isinstance(m, Before)), field.default)
            if isinstance(before, BaseModel):
                before = before.model_dump(mode="python", exclude_none=True)
            if before is not PydanticUndefined and before is not None:
                found[key] = before
        elif inner is not None and isinstance(found[key], Mapping):
            found[key] = completed(found[key], inner)
        elif inner is not None and isinstance(found[key], list):
            found[key] = [completed(row, inner) if isinstance(row, Mapping) else row for row in found[key]]
    for key, value in getattr(table, "usual", dict)().items():  # keys that are no fields of their own
        found.setdefault(key, value)
    return found


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The tables that a key's type speaks of: itself, or those of its list or of its "or nothing"."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not dict:  # whose keys are names that users give
        for argument in get_args(annotation):
            yield from _tables(argument)


def searched(table: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's table without what only labels are told."""
    return {key: value for key, value in table.items() if key != "exhibition"}
