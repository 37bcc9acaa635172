"""Runs side by side: what was asked differently, how they went, what machines say of their elites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamask.charts import FORMATS, verified_bars, write
from datamask.run import Run
from datamask.run import open as open_run
from services.errors import BadInput
from services.exhibition.paper import Format, curves_chart, rates_chart
from services.numbers import finite
from services.recognition.statistics.rates import wilson_rate
from services.wire.page_plan import read_json
from services.words import shown

MOMENTS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Rate:
    """What one machine says of a run's elites, over all their views; those of one mask are not independent.

    :param asked: `detect`, `match ...` or `correlate`, as in a verification; `audit` where there is none.
    :param share, low, high: of the views, with Wilson's 95% interval.
    """

    machine: str
    asked: str
    share: float
    low: float
    high: float
    views: int


@dataclass(frozen=True)
class Told:
    """One run of a comparison.

    :param best: by quarter of its generations, the best fitness until then; None where no mask was scored.
    :param elites: id, fitness and values of each. rates: empty where nobody has asked yet.
    """

    run: str
    done: bool
    generations: int
    masks: int
    best: tuple[float | None, ...]
    elites: tuple[Mapping[str, Any], ...]
    rates: tuple[Rate, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. differences: by key of the spec, what each run has, where they do not agree."""

    runs: tuple[Told, ...]
    differences: Mapping[str, tuple[Any, ...]]
    opened: tuple[Run, ...]

    def facts(self) -> dict[str, Any]:
        """The same as JSON values."""
        told = {key: list(values) for key, values in self.differences.items()}
        return {"runs": [asdict(run) for run in self.runs], "differences": told}

    def figures(self, folder: str | Path, formats: Sequence[Format] = ("svg", "pdf")) -> list[Path]:
        """Write the runs' curves and rates as figures, with CSV; see :func:`datamask.figures`."""
        wrong = [kind for kind in formats if kind not in FORMATS]
        if wrong or not formats:
            raise BadInput(f"formats {shown(list(formats))}: expected some of {', '.join(FORMATS)}")
        lines = {}
        for run, told in zip(self.opened, self.runs, strict=True):
            curves = run.curves
            best = np.where(np.isnan(curves.best), -np.inf, curves.best).max(axis=0, initial=-np.inf)
            middle = [_median(column) for column in curves.median.T]
            lines[told.run] = [finite(v) for v in np.maximum.accumulate(best).tolist()], middle
        made = [curves_chart(lines)]
        bars = [
            (told.run, f"{rate.machine}, {rate.asked}", (rate.share, rate.low, rate.high), rate.views)
            for told in self.runs
            for rate in told.rates
        ]
        if bars:
            made.append(rates_chart(bars, "rates", "what machines say of the elites"))
        return write(made, Path(folder), formats)


def compare(runs: Sequence[Run | str | Path]) -> Comparison:
    """Set runs side by side.

    :param runs: two or more: runs, their paths or URLs.
    :raises BadInput: for fewer, for the same run twice, or where there is no run.
    """
    runs = [runs] if isinstance(runs, (Run, str, Path)) else runs
    opened = tuple(run if isinstance(run, Run) else open_run(run) for run in runs)
    if len(opened) < 2:
        raise BadInput(f"compare: expected two runs or more, got {len(opened)}")
    if len({run.url for run in opened}) < len(opened):
        raise BadInput("compare: one run is named twice")
    names = _names(opened)
    return Comparison(
        tuple(_told(run, name) for run, name in zip(opened, names, strict=True)),
        _differences([run.spec for run in opened]),
        opened,
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """What to call runs: their names, or their URLs where two have one name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [run.url for run in runs]


def _told(run: Run, name: str) -> Told:
    best = np.where(np.isnan(run.curves.best), -np.inf, run.curves.best).max(axis=0, initial=-np.inf)
    reached = np.maximum.accumulate(best)
    count = len(reached)
    moments = [float(reached[max(1, round(m * count)) - 1]) if count else -np.inf for m in MOMENTS]
    elites = tuple(
        {"id": m.id, "fitness": m.fitness, "accepted": m.accepted, "values": dict(m.values)}
        for m in run.elites
    )
    return Told(
        *(name, run.done, run.generation, len(run.masks)),
        tuple(finite(moment) for moment in moments),
        elites,
        tuple(_rates(run)),
    )


def _rates(run: Run) -> Iterator[Rate]:
    """The verification's rates over all elites or, where there is none, the audit's at the run's end."""
    elites = {mask.id for mask in run.elites}
    if run.verification is not None:
        for name, _, bars in verified_bars(run.verification):
            for machine in dict.fromkeys(machine for _, machine, *_ in bars):
                own = [(share[0], views) for s, m, share, views in bars if m == machine and s in elites]
                hits, views = round(sum(share * count for share, count in own)), sum(v for _, v in own)
                if views:
                    yield _rate(machine, name.replace("match-", "match "), hits, views)
        return
    found = read_json(run.record.store, "audit.json") or {}
    audits = [audit for audit in found.get("masks", ()) if audit["id"] in elites]
    views = sum(audit["views"] for audit in audits)
    if views:
        yield _rate("dlib HOG", "audit", round(sum(a["hog_rate"] * a["views"] for a in audits)), views)
        for critic in audits[0]["critics"]:
            yield _rate(critic, "audit", round(sum(a["critics"][critic] * a["views"] for a in audits)), views)


def _rate(machine: str, asked: str, hits: int, views: int) -> Rate:
    found = wilson_rate(hits, views)
    return Rate(machine, asked, found.share, found.low, found.high, views)


def _differences(specs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    flat = [dict(_flat(spec)) for spec in specs]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    found = {key: tuple(one.get(key) for one in flat) for key in keys}
    return {key: values for key, values in found.items() if any(v != values[0] for v in values)}


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a spec by its dotted key; objectives are counted from 0, as `--set` counts them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{key}.{number}")
    else:
        yield key, value


def _median(column: Any) -> float | None:
    known = column[np.isfinite(column)]
    return float(np.median(known)) if len(known) else None
