"""``datamask show``: where a run stands, from its record alone."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.report import print_controls
from coordinator.cli.terminal import print_json
from coordinator.record.evaluations import measured, read_rows, statuses_of, unscored, views_of
from coordinator.record.rankings import Rankings
from coordinator.record.record import BEAT_EVERY_S, Head, Record, checkpoint_key
from coordinator.search.archive import coverage, grid_of, placed, read_archive
from coordinator.search.elites import choose_elites
from coordinator.search.niches import Niches
from coordinator.search.pareto import aims_of, front
from coordinator.spec.objectives import recorded_labels
from services.errors import CorruptData
from services.numbers import finite
from services.storage.open import open_store
from services.storage.store import ObjectMissing, Store
from services.wire.mask import decode_masks
from services.wire.objects import failure_trace, failures, given_up, newest
from services.wire.page_plan import controls_of


def show(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
) -> None:
    """Show a run's progress, the best mask of each island and the elites.

    Values are margins: 0 at a model's threshold, positive beyond it. Only what is committed is read, so a
    running run can be looked at any time.
    """
    facts = read_run(Record(open_store(run)))
    if as_json:
        print_json(facts)
    else:
        _print(Console(), facts)


def read_run(record: Record) -> dict[str, Any]:
    """What the record says of a run, as JSON values (None where a number is not finite).

    :raises BadInput: where there is no run; :raises CorruptData: if a committed object is gone or changed.
    """
    spec, head = record.spec_table(), record.head()
    try:
        search, generation = spec["search"], head.generation(spec)
        objectives = recorded_labels(spec)
        generations, name, seed = search["generations"], spec["name"], spec["seed"]
    except (KeyError, TypeError) as error:
        raise CorruptData(
            f"{record.url}/run.toml: it lacks {error}; restore it from a copy of the run"
        ) from None
    columns = ["island", "generation", "id", "fitness", "status", *(f"value {o}" for o in objectives)]
    table = read_rows(record, [*columns, f"scores {objectives[0]}"])
    every: list[dict[str, Any]] = table.select(columns).to_pylist() if table is not None else []
    rows = [row for row in every if row["status"] == "ok"]
    statuses = {} if table is None else statuses_of(table)
    counted = sum(statuses.values(), Counter[str]())
    return {
        "run": record.url,
        "name": name,
        "seed": seed,
        "state": state_of(record, head),
        "generation": generation,
        "generations": generations,
        "checkpoint": head.epoch if head.parts else None,
        "objectives": objectives,
        "masks_scored": counted["ok"],
        "not_scored": {status: count for status, count in counted.items() if status != "ok"},
        "views_scored": views_of(None if table is None else measured(table), objectives[0])
        + sum(ranking.views for ranking in Rankings(record).until(head).values()),
        "set_aside": sorted(given_up(record.store)),
        "failures": _failures(record.store),
        "islands": [
            {"island": k, "masks_scored": statuses.get(k, Counter())["ok"], **_best(rows, k, objectives)}
            for k in range(search["islands"])
        ],
        "elites": _elites(record, head, objectives, spec["elites"]["count"]),
        "controls": controls_of(record.store),
        "archive": _archive(record, head, spec),
        "front": _front(record, spec),
    }


def _archive(record: Record, head: Head, spec: dict[str, Any]) -> dict[str, Any] | None:
    """How full the run's archive is; None where it keeps none, or none yet."""
    grid = grid_of(spec)
    kept = None if grid is None else read_archive(record, head, grid)
    if grid is None or kept is None:
        return None
    told = {"measures": list(grid.measures), "shape": list(grid.cells), **coverage(kept, grid)}
    if isinstance(grid, Niches):
        told["measures"] = list(grid.machines)
        told["sets"] = [{"sees": list(grid.members(placed(mask))), "mask": mask.id} for mask in kept]
    return told


def _front(record: Record, spec: dict[str, Any]) -> dict[str, Any] | None:
    """The masks that nobody beats in all of the run's aims; None where it has none."""
    aims = aims_of(spec)
    if aims is None:
        return None
    table = read_rows(record, ["id", *aims.columns])
    if table is None:
        return None
    told = aims.in_table(table)
    rows = front(told)
    ids = table["id"].to_pylist()
    return {
        "aims": list(aims.names),
        "masks": [{"id": ids[k], "aims": [round(float(v), 4) for v in told[k]]} for k in rows],
    }


def _failures(store: Store) -> list[dict[str, Any]]:
    """Attempts that failed, by batch: how many, and the traceback of the last one."""
    return [
        {"batch": batch, "attempts": len(keys), "traceback": failure_trace(store, newest(keys))}
        for batch, keys in sorted(failures(store).items())
    ]


def _best(rows: list[dict[str, Any]], island: int, objectives: list[str]) -> dict[str, Any]:
    """The best mask of an island."""
    own = [row for row in rows if row["island"] == island]
    best = max(own, key=lambda row: row["fitness"], default=None)
    return {
        "best": best["id"] if best else None,
        "generation": best["generation"] if best else None,
        "fitness": _number(best["fitness"]) if best else None,
        "values": {o: _number(best[f"value {o}"]) for o in objectives} if best else {},
    }


def _elites(record: Record, head: Head, objectives: list[str], count: int) -> list[dict[str, Any]]:
    key = checkpoint_key(head.epoch, "elites")
    if key not in head.parts:
        return []
    ranked = decode_masks(record.part(key, head.parts[key]), f"{record.url}/{key}")
    return [
        {
            "id": mask.id,
            "fitness": _number(mask.fitness),
            "values": {o: _number(float(v)) for o, v in zip(objectives, mask.values, strict=True)},
            "flipped": _number(mask.flipped),
            "audit": _audit(record.store, mask.id),
        }
        for mask in choose_elites(ranked, count)
    ]


def _audit(store: Store, mask: str) -> Any:
    try:
        return json.loads(store.get(f"masks/{mask}/audit.json"))
    except ObjectMissing:
        return None
    except ValueError:
        raise CorruptData(
            f"{store.url}/masks/{mask}/audit.json: damaged; write it anew with: datamask verify {store.url}"
        ) from None


_number = partial(finite, digits=6)


def state_of(record: Record, head: Head) -> str:
    """``done``, ``running`` (its coordinator's beats go on) or ``interrupted``."""
    if head.done:
        return "done"
    first = _beat(record.store)
    if first is None or first.get("ended"):
        return "interrupted"
    if first.get("host") == socket.gethostname() and not os.path.exists(f"/proc/{first.get('pid')}"):
        return "interrupted"
    deadline = time.monotonic() + 2 * BEAT_EVERY_S  # by our own clock: theirs may be off
    while time.monotonic() < deadline:
        time.sleep(0.2)
        now = _beat(record.store)
        if now != first:
            return "interrupted" if now is None or now.get("ended") else "running"
    return "interrupted"


def _beat(store: Store) -> dict[str, Any] | None:
    try:
        found = json.loads(store.get("beat.json"))
    except (ObjectMissing, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _print(console: Console, facts: dict[str, Any]) -> None:
    console.print(
        f"{facts['name']} (seed {facts['seed']}): {facts['state']}, "
        f"generation {facts['generation']} of {facts['generations']}, "
        f"{facts['masks_scored']} masks scored under {facts['views_scored']} views",
        highlight=False,
        markup=False,
    )
    if facts["not_scored"]:
        console.print(
            f"{sum(facts['not_scored'].values())} masks were not scored: {unscored(facts['not_scored'])}",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for failure in facts["failures"]:
        fate = "was set aside" if failure["batch"] in facts["set_aside"] else "was tried again"
        console.print(
            f"batch {failure['batch']} failed {failure['attempts']} times and {fate}:",
            style="yellow",
            soft_wrap=True,
        )
        console.print(failure["traceback"].rstrip(), style="dim", markup=False, highlight=False)
    objectives = facts["objectives"]
    rows = [
        [
            str(entry["island"]),
            _shown(entry["fitness"]),
            *(_shown(entry["values"].get(o)) for o in objectives),
            entry["best"] or "-",
        ]
        for entry in facts["islands"]
    ]
    header = ["island", "fitness", *objectives, "mask"]
    print_table(
        console,
        "Best of each island, on its generation's own views",
        header,
        rows,
        left=(0, len(header) - 1),
    )
    if facts["elites"]:
        audited = any(entry["audit"] for entry in facts["elites"])
        rows = [
            [
                entry["id"],
                _shown(entry["fitness"]),
                *(_shown(v) for v in entry["values"].values()),
                *([_audit_shown(entry["audit"])] if audited else []),
            ]
            for entry in facts["elites"]
        ]
        header = ["mask", "fitness", *objectives, *(["audit: HOG sees it"] if audited else [])]
        print_table(console, "Elites, on the ranking views", header, rows)
        if facts["controls"]:
            print_controls(console, facts["controls"])
        else:
            console.print(
                "no controls in this run: machines are asked about noise when it ends, or by: "
                f"datamask verify {facts['run']}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    archive = facts["archive"]
    if archive:
        console.print(
            f"Archive over {', '.join(archive['measures'])}: {archive['filled']} of {archive['cells']} cells "
            f"filled, {archive['accepted']} with accepted masks; QD score {archive['qd_score']:.1f}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        alone = [entry for entry in archive.get("sets", ()) if len(entry["sees"]) == 1]
        if alone:
            console.print(
                "A face to one machine alone: "
                + ", ".join(f"{entry['sees'][0]}: {entry['mask']}" for entry in alone),
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    along = facts["front"]
    if along and along["masks"]:
        masks = along["masks"]
        ends = " to ".join(", ".join(f"{v:.2f}" for v in m["aims"]) for m in (masks[0], masks[-1]))
        console.print(
            f"Front of {', '.join(along['aims'])}: {len(masks)} masks that nobody beats in all of them, "
            f"from {ends}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if facts["checkpoint"] is None and facts["state"] != "done":
        console.print("no checkpoint yet; elites appear with the first one")
    console.print(facts["run"], markup=False, highlight=False, soft_wrap=True)


def _audit_shown(audit: Any) -> str:
    rate = audit.get("hog_rate") if isinstance(audit, dict) else None
    return f"{rate:.0%}" if isinstance(rate, (int, float)) else "-"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
