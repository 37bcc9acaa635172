"""Several batches in one object, and their scores in another one.

A stack is written, sent, answered and removed as a batch is: under the hash of its content, with an "s" in
front. Nothing ever counts against a stack. Whatever goes wrong with one, its batches are sent one by one, so
that the one that is at fault is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from services.errors import BadInput, CorruptData
from services.storage.codec import decode, encode
from services.wire.plan import FORMAT, Batch, Plan, Scores, batch_id, joined_scores, scores_of

KIND = "stack"
MOST_BATCHES = 256  # in one stack
PICTURE_PX = 160  # the side of the pictures that a worker's room is told in
_MARK = "s"


def is_stack(name: str) -> bool:
    """Whether a name is a stack's, not a batch's."""
    return name.startswith(_MARK)


def stack_id(data: bytes) -> str:
    """The id of an encoded stack."""
    return _MARK + batch_id(data)


def encode_stack(batches: Mapping[str, Batch]) -> bytes:
    """The immutable object of batches by id, all of one plan and one number of views."""
    works = list(batches.values())
    rows = [[name, len(work.genomes), work.view_seed] for name, work in batches.items()]
    meta = {
        "format": FORMAT,
        "kind": KIND,
        "plan": works[0].plan.meta(),
        "view_count": works[0].view_count,
        "rows": rows,
    }
    return encode({"genomes": np.concatenate([work.genomes for work in works])}, meta)


def decode_stack(data: bytes, where: str) -> dict[str, Batch]:
    """The batches by id, in order.

    :raises CorruptData: for damaged bytes; :raises BadInput: for a stack of another format.
    """
    arrays, meta = decode(data, where)
    if meta.get("format") != FORMAT or meta.get("kind") != KIND:
        raise BadInput(
            f"{where}: not a stack of batches, format {FORMAT}; "
            "run the same datamask version on coordinator and workers"
        )
    try:
        plan, genomes, count = Plan.from_meta(meta["plan"], where), arrays["genomes"], int(meta["view_count"])
        spans = _spans([(name, n) for name, n, _ in meta["rows"]], len(genomes))
        seeds = [int(seed) for _, _, seed in meta["rows"]]
        return {
            name: Batch(plan, genomes[span], seed, count)
            for (name, span), seed in zip(spans.items(), seeds, strict=True)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"{where}: the stack cannot be read ({error!r}); remove the object") from None


def encode_stacked(scores: Mapping[str, Scores], meta: Mapping[str, Any]) -> bytes:
    """The scores of a stack's batches by id, as one object."""
    rows = [[name, len(one.status)] for name, one in scores.items()]
    return joined_scores(list(scores.values())).encoded({**meta, "kind": KIND, "rows": rows})


def decode_stacked(data: bytes, where: str) -> dict[str, Scores]:
    """Each batch's scores, by id. :raises CorruptData: for damaged bytes."""
    arrays, meta = decode(data, where)
    try:
        whole = scores_of(arrays)
        spans = _spans(meta["rows"], len(whole.status))
        return {name: whole.rows(span) for name, span in spans.items()}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CorruptData(
            f"{where}: the scores cannot be read ({error!r}); remove the object and resume the run"
        ) from None


def _spans(counts: Any, total: int) -> dict[str, slice]:
    """Which rows are whose. Raises ValueError where they are not all of them, or a name is there twice."""
    spans: dict[str, slice] = {}
    end = 0
    for name, count in counts:
        if type(count) is not int or count < 0 or not isinstance(name, str) or name in spans:
            raise ValueError("rows")
        spans[name] = slice(end, end + count)
        end += count
    if end != total:
        raise ValueError("rows")
    return spans
