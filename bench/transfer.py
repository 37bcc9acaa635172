"""``python -m bench.transfer``: do masks convince machines that took no part, and what helps?

Every noise seed and every portrait is evolved in several ways, with the same spec, seed and number of views,
the first of them as masks were evolved before. Critics see the elites of all under the same held-out views.
What counts is the difference, a later way less the first, of each start's runs: its mean over the starts and
Student's 95% interval. Portraits share one seed and one set of views: that is an interval over people alone.

Recognizers of ONNX files are critics of the portraits, where DATAMASK_MODELS has the files. With --partner
masks are evolved for two recognizers at once, too, and the partner is no critic of those:

    DATAMASK_MODELS=models python -m bench.transfer --recognizer onnx:face.onnx --page docs/color.md

The task `recognizers` leaves one of three out: portraits in color for dlib's network alone, for FaceNet, too,
for MobileFaceNet, too (`make machines` gets them), each at its threshold for pairs of rendered heads. Whoever
took no part is asked.

Runs that are there already are taken as they are, so that the command can be interrupted. What --out holds
of a task that is not named stays.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from rich.console import Console

from bench import marks
from bench.critics import Critics
from bench.evidence import QUICK, ROOT, SEEDS, evolve, portraits, whose
from bench.outcome import circumstances, write
from services.recognition.statistics.calibration import file_name, shipped
from services.storage.store import Store

FORMAT = 4
OUT = Path(__file__).parent / "results" / "transfer.json"
STORE = ROOT / "runs" / "evidence"  # shares its runs in shape alone with bench.evidence
CALIBRATIONS = ROOT / "runs" / "transfer" / "calibration"
FIRST_MARK, LAST_MARK = "<!-- transfer -->", "<!-- end of transfer -->"
FAR = 0.01
PEOPLE = 3000  # rendered heads that a person's threshold is taken of
PAIRS = 3000  # independent impostors for a critic's threshold: ten times what a rate of 1 in 100 needs
SPREAD = 0.4

console = Console(stderr=True)


@dataclass(frozen=True)
class Arm:
    """One way to evolve. sets: what it changes in the spec.

    also: recognizers besides dlib's that masks are evolved for, with their weights (dlib's is 1).
    beside: the arm that it adds something to, where that is not the first: what it adds is told, too.
    """

    name: str
    title: str
    sets: tuple[str, ...] = ()
    also: Mapping[str, float] = field(default_factory=dict)
    beside: str | None = None


SHAPE = "shape"  # the arm whose runs have no arm in their names: bench.evidence has the same ones
PARTNER = "partner"  # stands for the recognizer that the command names
IN_COLOR = ("mask.color=true",)
AS_BEFORE = ('search.optimizers=["sep-cma"]', "search.symmetric=false", "migration.every=10")
# The first is what the others are compared with.
ARMS = {
    "archetype": (
        Arm("free", "shape, each gene on its own", ("search.symmetric=false",)),
        Arm(SHAPE, "shape, left and right alike"),
        Arm("color", "the same in color", IN_COLOR),
    ),
    "portrait": (
        Arm("before", "before: sep-CMA, all genes of shape", AS_BEFORE),
        Arm(SHAPE, "shape"),
        Arm("color", "shape and color", IN_COLOR, beside=SHAPE),
        Arm(
            "three",
            "shape and color, for eigenfaces and LBP, too",
            IN_COLOR,
            {"eigenfaces": 0.35, "lbp": 0.35},
            beside="color",
        ),
        Arm("two", "shape and color, for the partner, too", IN_COLOR, {PARTNER: 1.0}, beside="color"),
    ),
    "recognizers": (
        Arm("dlib", "for dlib's network", IN_COLOR),
        Arm("facenet", "for FaceNet, too", IN_COLOR, {"facenet": 1.0}),
        Arm("mobilefacenet", "for MobileFaceNet, too", IN_COLOR, {"mobilefacenet": 1.0}),
    ),
}
LEFT_OUT = ("facenet", "mobilefacenet")  # critics of the task `recognizers`, of what was not bred for them


@dataclass(frozen=True)
class Start:
    """One start, evolved in every way. runs: name of the run by arm. photo: whose face it is toward."""

    name: str
    runs: Mapping[str, str]
    photo: str | None = None


@dataclass(frozen=True)
class Settings:
    """What all runs have in common. partner: a recognizer's file to evolve for, if any.

    chosen: names of arms; none: all. sets: changes to every spec. licence: what is known of the file's
    licence, which a spec must say. note: what the runs' names end with.
    """

    partner: str | None = None
    chosen: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    licence: str = "not known"
    note: str = ""

    def suffix(self, arm: Arm) -> str:
        """What an arm's runs have in their names: masks for another partner are other masks."""
        partner = f"-{file_name(self.partner)}" if self.partner is not None and PARTNER in arm.also else ""
        return "" if arm.name == SHAPE else f"-{arm.name}{partner}"

    def arms(self, task: str) -> tuple[Arm, ...]:
        """The ways to evolve, but for those that want a partner where there is none.

        :raises SystemExit: where none of the chosen ones is the task's.
        """
        arms = [arm for arm in ARMS[task] if self.partner is not None or PARTNER not in arm.also]
        chosen = tuple(arm for arm in arms if not self.chosen or arm.name in self.chosen)
        if not chosen:
            raise SystemExit(f"--arms: {task} has {', '.join(arm.name for arm in arms)}")
        return chosen


def grown(task: str, names: Sequence[str], jobs: int, settings: Settings) -> list[Start]:
    """Evolve what is missing. names: seeds, or portraits."""
    photos = portraits() if task != "archetype" else {}
    starts, work = [], []
    for name in names:
        runs = {
            arm.name: f"{task}-{name}" + settings.suffix(arm) + settings.note for arm in settings.arms(task)
        }
        starts.append(Start(f"{task} {name}", runs, photos.get(name)))
        more = ["--seed", name] if task == "archetype" else whose(name, photos[name])
        for arm in settings.arms(task):
            several = arm.also or task == "recognizers"
            spec = for_more(task, arm, settings) if several else f"{task}.toml"
            work.append((spec, runs[arm.name], [*QUICK, *settings.sets, *arm.sets], more))
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda w: evolve(w[0], w[1], STORE, w[2], w[3]), work))
    return starts


def for_more(task: str, arm: Arm, settings: Settings) -> str:
    """A spec like the portrait's for several recognizers, each at the threshold and scale that its pairs of
    rendered heads have at FAR; the portrait's own has dlib's published ones.
    """
    table = tomllib.loads((ROOT / "examples" / "portrait.toml").read_text())
    first = next(o for o in table["objective"] if o["kind"] == "identity")
    first["far"] = FAR
    for name, weight in arm.also.items():
        objective = {**first, "model": name, "weight": weight * first["weight"]}
        if name == PARTNER and settings.partner is not None:
            objective["model"] = settings.partner
            objective["calibration"] = str(calibrated(settings.partner))
            known = {"licence": settings.licence, "training_data": "not known", "research_only": False}
            table["models"] = {settings.partner: known}
        table["objective"].append(objective)
    path = STORE.parent / "transfer" / f"{task}-{arm.name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(table))
    return str(path)


def calibrated(recognizer: str) -> Path:
    """A recognizer's calibration on rendered heads, made once."""
    path = CALIBRATIONS / f"{file_name(recognizer)}.json"
    if not path.exists():
        words = [
            "calibrate",
            recognizer,
            "--pairs",
            str(PAIRS),
            "--spread",
            str(SPREAD),
            "--out",
            str(CALIBRATIONS),
        ]
        subprocess.run([sys.executable, "-m", "coordinator.cli", *words], cwd=ROOT, check=True)
    return path


def calibrations(names: Sequence[str]) -> Store:
    """A store with the calibrations of the recognizers among these names."""
    from services.recognition.catalog import model_info
    from services.storage import open_store

    for name in names:
        if model_info(name).kind == "recognize" and shipped(name) is None:
            calibrated(name)
    return open_store(CALIBRATIONS.parent)


def difference(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Mean of the paired differences after - before, with Student's 95% interval."""
    from scipy.stats import t

    apart = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    n = len(apart)
    half = float(t.ppf(0.975, n - 1) * apart.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    mean = float(apart.mean())
    return {"mean": mean, "low": mean - half, "high": mean + half, "pairs": n}


def compared(
    starts: Sequence[Start], arms: Sequence[Arm], names: Sequence[str], views: int
) -> list[dict[str, Any]]:
    """One row a figure: means of all arms, and the paired differences of the later ones from the first."""
    from coordinator.record.record import Record
    from coordinator.record.verification import open_verified
    from coordinator.run import photo_path
    from coordinator.search.seeds import verify_seed
    from services.storage import open_store

    store = open_store(STORE)
    faces = {start.name: photo_path(start.photo) for start in starts if start.photo is not None}
    critics = Critics(names, faces, FAR, PEOPLE, calibrations(names if faces else ()))
    told: dict[str, dict[str, dict[str, float]]] = {}
    for start in starts:
        for arm in arms:
            console.print(f"critics look at {start.runs[arm.name]} ...", highlight=False)
            run = open_verified(Record(store.sub(start.runs[arm.name])))
            person = None if start.photo is None else start.name
            for figure, value in critics.say(run, views, verify_seed(run.spec.seed), person).items():
                told.setdefault(figure, {}).setdefault(start.name, {})[arm.name] = value
    return [row_of(figure, by_start, arms) for figure, by_start in told.items()]


def row_of(figure: str, starts: Mapping[str, Mapping[str, float]], arms: Sequence[Arm]) -> dict[str, Any]:
    """One figure's row, of its value by start and arm."""
    # A critic has no say of masks that were evolved for it.
    asked = [arm.name for arm in arms if all(arm.name in by_arm for by_arm in starts.values())]
    values = {name: [by_arm[name] for by_arm in starts.values()] for name in asked}
    first, *later = values
    return {
        "figure": figure,
        "starts": starts,
        "means": {name: float(np.mean(of_arm)) for name, of_arm in values.items()},
        "intervals": {name: difference([0.0] * len(of_arm), of_arm) for name, of_arm in values.items()},
        "differences": {name: difference(values[first], values[name]) for name in later},
    }


def earlier(out: Path) -> dict[str, Any]:
    """What a result that is there says of each task."""
    if not out.is_file():
        return {}
    result = json.loads(out.read_text())
    return dict(result["tasks"]) if result["format"] == FORMAT else {}


def told(task: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a task's rows were made with."""
    settings = {"views": options.views, "far": FAR, "set": options.set}
    if task == "portrait":
        settings |= {"recognizers": options.recognizer, "partner": options.partner}
    return settings


def page(result: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    lines = []
    for task, found in result["tasks"].items():
        rows, views = found["rows"], found["settings"]["views"]
        titles = {arm.name: arm.title for arm in ARMS[task] if any(arm.name in row["means"] for row in rows)}
        starts = len(rows[0]["starts"]) if rows else 0
        first, *later = titles
        lines += [
            f"**{task}**, {starts} starts, {views} held-out views of each elite. In "
            f"brackets the difference from *{titles[first]}* and its 95% interval"
            + (", in square ones the mean's own:" if any("intervals" in row for row in rows) else ":"),
            "",
            *marks.head("critic", *titles.values()),
        ]
        for row in rows:
            means = {name: _mean(row, name) for name in row["means"]}
            cells = [means.get(first, "took part")]
            for name in later:
                if name not in row["means"]:
                    cells.append("took part")
                    continue
                d = row["differences"][name]
                apart = f"{d['mean']:+.2f}, {d['low']:+.2f} to {d['high']:+.2f}"
                cells.append(f"{means[name]} ({apart})")
            lines.append(f"| {row['figure']} | " + " | ".join(cells) + " |")
        lines += ["", *_added(ARMS[task], rows)]
    return "\n".join(lines)


def _added(arms: Sequence[Arm], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of what each way adds to the one that it builds on, where that is not the first one."""
    titles = {arm.name: arm.title for arm in arms}
    steps = [(arm.name, arm.beside) for arm in arms if arm.beside is not None]
    steps = [step for step in steps if any(set(step) <= set(row["means"]) for row in rows)]
    if not steps:
        return []
    heads = [f"{titles[after]}, beside *{titles[before]}*" for after, before in steps]
    lines = ["What a step adds to the one before it, likewise:", "", *marks.head("critic", *heads)]
    for row in rows:
        cells = []
        for after, before in steps:
            if {after, before} <= set(row["means"]):
                starts = row["starts"].values()
                d = difference([by_arm[before] for by_arm in starts], [by_arm[after] for by_arm in starts])
                cells.append(f"{d['mean']:+.2f} ({d['low']:+.2f} to {d['high']:+.2f})")
            else:
                cells.append("took part")
        lines.append(f"| {row['figure']} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _mean(row: Mapping[str, Any], arm: str) -> str:
    """A mean over the starts, with its own interval where the row has one: shares end at 0 and 1."""
    mean, interval = f"{row['means'][arm]:.2f}", row.get("intervals", {}).get(arm)
    if interval is None:
        return mean
    return f"{mean} [{max(interval['low'], 0.0):.2f} to {min(interval['high'], 1.0):.2f}]"


def main(argv: Sequence[str] | None = None) -> int:
    """Evolve, judge, compare, write."""
    parser = argparse.ArgumentParser(
        "python -m bench.transfer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tasks",
        nargs="*",
        default=["archetype", "portrait"],
        help="of archetype, portrait, recognizers (default: the first two)",
    )
    parser.add_argument("--seeds", nargs="+", default=[str(s) for s in SEEDS], help="noise seeds")
    parser.add_argument("--portraits", nargs="+", help="names of bench.evidence (default: all)")
    parser.add_argument("--recognizer", action="append", default=[], help="a critic of the portraits")
    parser.add_argument("--arms", nargs="+", default=[], help="some of the ways to evolve (default: all)")
    parser.add_argument("--partner", help="a recognizer's file to evolve portraits for besides dlib's")
    parser.add_argument("--licence", default="not known", help="of the recognizers' files, for the specs")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="a change to all runs, such as search.generations=60; repeat for several",
    )
    parser.add_argument("--views", type=int, default=60, help="held-out views (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, help="write the tables between the marks of this page")
    options = parser.parse_args(argv)
    facts = circumstances()
    settings = Settings(
        partner=options.partner,
        chosen=tuple(options.arms),
        sets=tuple(options.set),
        licence=options.licence,
        note="".join(f"-{change.replace('=', '-')}" for change in options.set),
    )
    tasks = earlier(options.out)
    for task in options.tasks:
        names = options.seeds if task == "archetype" else options.portraits or list(portraits())
        critics = ["viola-jones", *(options.recognizer if task == "portrait" else [])]
        critics += LEFT_OUT if task == "recognizers" else ()
        starts = grown(task, names, options.jobs, settings)
        rows = compared(starts, settings.arms(task), critics, options.views)
        tasks[task] = {"machine": facts, "settings": told(task, options), "rows": rows}
    result = {"format": FORMAT, "tasks": tasks}
    write(result, options.out)
    text = page(result)
    if options.page is not None:
        marks.write_between(options.page, FIRST_MARK, LAST_MARK, text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
