"""``python -m bench.drawing``: what decoding and drawing a view costs, of each basis and beside the head's.

Noise masks of every basis under the same views, a batch of each in turn, in processor time of one thread, so
that whoever else is at work on the machine changes the ratio little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import marks
from bench.outcome import circumstances, write
from bench.running import at_least_one
from bench.stopwatch import Spread
from services.rendering.views import ViewRanges, sample_views
from services.shape.catalog import BASES, DEFAULT_BASIS, basis_info, facts_of
from worker.eye import Eye

RESULT = Path(__file__).parent / "results" / "drawing.json"
FIRST_MARK, LAST_MARK = "<!-- drawing -->", "<!-- end of drawing -->"
MASKS, VIEWS = 16, 3
ROUNDS = 40
GOAL = 1.3  # of the head's at most


def measured(rounds: int, bases: Sequence[str] = tuple(sorted(BASES))) -> dict[str, Any]:
    """Milliseconds a view by basis, and their ratios to the head's, round by round."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    eyes = {basis: Eye(basis) for basis in bases}
    masks = {
        basis: (rng.normal(0, facts_of(basis).spread, (MASKS, len(basis_info(basis).gene_names))))
        .clip(-facts_of(basis).limit, facts_of(basis).limit)
        .astype(np.float32)
        for basis in bases
    }
    ms: dict[str, list[float]] = {basis: [] for basis in bases}
    for k in range(rounds + 1):
        views = sample_views(ViewRanges(), VIEWS, k)
        for basis, eye in eyes.items():
            began = time.process_time()
            eye.every(masks[basis], views)
            spent = time.process_time() - began
            if k:  # the first round compiles
                ms[basis].append(1000 * spent / (MASKS * VIEWS))
    head = np.array(ms[DEFAULT_BASIS])
    return {
        "rounds": rounds,
        "masks": MASKS,
        "views": VIEWS,
        "bases": {
            basis: {
                "ms_a_view": Spread.of(values).as_json(),
                "ratio": Spread.of((np.array(values) / head).tolist()).as_json(),
            }
            for basis, values in ms.items()
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """As Markdown."""
    lines = marks.head("basis", "milliseconds a view", "of the head's")
    for basis, row in result["bases"].items():
        lines.append(
            marks.row(f"`{basis}`", f"{row['ms_a_view']['median']:.2f}", f"{row['ratio']['median']:.2f}")
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("python -m bench.drawing", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page")
    options = parser.parse_args(argv)
    result = {**measured(options.rounds), "machine": circumstances()}
    write(result, options.out)
    print(table(result))
    if options.page:
        marks.write_between(options.page, FIRST_MARK, LAST_MARK, table(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
