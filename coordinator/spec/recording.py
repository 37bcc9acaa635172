"""The table of a spec that says which masks have a row in the record."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from coordinator.spec.tables import Table

_ONE_IN = re.compile(r"1 in ([1-9]\d{0,8})")


def one_in(text: str) -> int | None:
    """N of ``1 in N``, or None where the text says something else."""
    found = _ONE_IN.fullmatch(text)
    return None if found is None else int(found[1])


def _known(text: str) -> str:
    if text not in ("all", "accepted") and one_in(text) is None:
        raise ValueError("expected 'all', 'accepted' or '1 in N', such as '1 in 20'")
    return text


class RecordSpec(Table):
    """Which masks the evaluations table has a row of.

    ``all``; ``accepted``: those that every objective accepts; ``1 in N``: one of every N. Whatever a run is
    told by has its row none the less, see coordinator/record/thinning.py.
    """

    evaluations: Annotated[str, AfterValidator(_known)] = "all"
