"""``python -m bench.left_out``: do masks that several detectors bred show themselves to one that had no say?

For each detector one search from true noise for all the others: HOG, MMOD, YuNet, CenterFace and BlazeFace's
full range, one of them left out; for MTCNN, which none is bred for here, all five. Then every machine is
asked about the elite, which is fixed by then, about its twins with random signs, about noise and the blank,
on held-out views. One symmetric search a run on the oval, as in the noise proof, on seeds of its own.

The unit is the run: intervals are bootstraps over seeds, then views. Cells are kept as the noise proof keeps
its own, so that the command can be interrupted and goes on; changed settings take another --store.

    python -m bench.left_out --estimate
    python -m bench.left_out
    python -m bench.left_out --quick
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from bench import marks
from bench.cells import Cell, Stage, digest_of, needed, read
from bench.evidence import ROOT
from bench.noise_proof.conditions import NOISE, USUAL
from bench.noise_proof.looks import Seen, ask, look
from bench.noise_proof.searches import Elite, noise, search, twins
from bench.noise_proof.settings import SPEC, run_of, within
from bench.noise_proof.tables import share_words
from bench.noise_sheet import lit
from bench.outcome import circumstances, write
from bench.running import add_options, ended, estimate, run, work_of
from bench.statistics import bootstrap
from coordinator.spec.spec import Spec, parse_spec
from coordinator.spec.spec_file import load_spec
from services.exhibition.lineup import Caption, lineup
from services.recognition.catalog import model_info
from services.shape.catalog import basis_info

Json = dict[str, Any]
Bools = NDArray[np.bool_]

BRED = ("dlib-hog", "dlib-mmod", "yunet", "centerface", "blazeface-full")
ALL = (*BRED, "mtcnn")
SEEN_SHARE = 0.5  # of held-out views, in the median of the seeds: then a machine that was left out sees
GOAL = 4  # of the six
PAGE = ROOT / "docs" / "gallery-of-machines.md"
RESULT = ROOT / "bench" / "results" / "left-out.json"
PICTURE = ROOT / "docs" / "images" / "left-out.jpg"
FIRST_MARK, LAST_MARK = "<!-- left out -->", "<!-- end of left out -->"
_STREAM = 20_261_131  # of noise and signs
_TWINS, _PLAIN = range(2)

console = Console(stderr=True)


@dataclass(frozen=True)
class Settings:
    """How many of everything; fixed before a seed is run. Names as in the noise proof."""

    name: str
    seeds: tuple[int, ...]
    scored_views: int = 12_000
    held_out_views: int = 200
    noise_masks: int = 200
    noise_views: int = 6
    twins: int = 10
    twin_views: int = 20
    draws: int = 2000
    overrides: tuple[str, ...] = ("search.islands=1", "search.symmetric=[true]")

    def spec(self, left_out: str, seed: int) -> Spec:
        """The spec of a run without one detector, with as many generations as its views pay for."""
        table = load_spec(SPEC, seed=seed, overrides=list(self.overrides)).table()
        like = table["objective"][0]
        table["objective"] = [{**like, "model": model} for model in BRED if model != left_out]
        table["verify"] = {**table["verify"], "critics": []}
        table["search"] = {**table["search"], "generations": 1}
        generations = within(parse_spec(table, "left-out"), self.scored_views)
        table["search"] = {**table["search"], "generations": generations}
        return parse_spec(table, "left-out")

    def digest(self) -> str:
        """SHA-256 of all of it: cells of other settings are not these."""
        return _digest(self)


@cache
def _digest(settings: Settings) -> str:
    specs = [settings.spec(machine, 0).table() for machine in ALL]
    weights = {machine: model_info(machine).sha256 for machine in ALL}
    fixed = [asdict(settings), specs, weights, asdict(USUAL), asdict(NOISE)]
    return digest_of(fixed)


WHOLE = Settings("left-out", run_of(201, 203))
QUICK = Settings(
    "left-out-quick",
    (11,),
    scored_views=120,
    held_out_views=4,
    noise_masks=6,
    noise_views=2,
    twins=2,
    twin_views=2,
    draws=50,
    overrides=(*WHOLE.overrides, "search.population=8", "views.size_px=96", "elites.ranking_views=2"),
)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(_STREAM, spawn_key=key))


def _names(settings: Settings, seeds: Sequence[int]) -> list[str]:
    """Every machine's first seed before any second."""
    return [f"{machine}-{seed}" for seed in settings.seeds if seed in seeds for machine in ALL]


def _parts(name: str) -> tuple[str, int]:
    machine, _, seed = name.rpartition("-")
    return machine, int(seed)


def _searches(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    return [Cell("search", name, settings.scored_views) for name in _names(settings, seeds)]


def _search(settings: Settings, folder: Path, name: str) -> Json:
    return search(settings.spec(*_parts(name)), folder / "runs", name).as_json()


def _looks(settings: Settings, seeds: Sequence[int]) -> list[Cell]:
    pictures = settings.held_out_views + settings.twins * settings.twin_views
    without = [
        Cell("look", "plain", settings.noise_masks * settings.noise_views),
        Cell("look", "zero", settings.held_out_views),
    ]
    return [*without, *(Cell("look", name, pictures) for name in _names(settings, seeds))]


def _look(settings: Settings, folder: Path, name: str) -> Json:
    """Scores of every machine, by subject: a row a mask."""
    if name in ("plain", "zero"):
        spec = settings.spec(ALL[-1], 0)
        if name == "plain":
            genomes = noise(spec, _rng(_PLAIN), settings.noise_masks)
            return {name: _scores(look(spec, genomes, NOISE, settings.noise_views, _STREAM))}
        genomes = np.zeros((1, len(basis_info(spec.mask.basis).gene_names)), np.float32)
        return {name: _scores(look(spec, genomes, USUAL, settings.held_out_views, _STREAM))}
    machine, seed = _parts(name)
    spec, elite = settings.spec(machine, seed), Elite.read(needed(settings, folder, "search", name))
    signs = twins(elite.genome, _rng(_TWINS, seed, ALL.index(machine)), settings.twins)
    key = (seed, ALL.index(machine))
    return {
        "elite": _scores(look(spec, elite.genome[None], USUAL, settings.held_out_views, *key)),
        "twins": _scores(look(spec, signs, USUAL, settings.twin_views, *key, 1)),
    }


def _scores(seen: Seen) -> Json:
    return {
        name: values.astype(np.float64).round(5).reshape(seen.whose.max() + 1, -1).tolist()
        for name, values in ask(seen.pictures, ALL).items()
        if name in ALL
    }


STAGES = (
    Stage("search", "a run for all but one", 0.035, _searches, _search),
    Stage("look", "all machines on elites, twins, noise and the blank", 0.1, _looks, _look),
)


# -- figures


def findings(settings: Settings, folder: Path) -> Json:
    """A row a machine that was left out; of cells that are missing nothing is said."""
    plain, zero = (read(settings, folder, "look", name) for name in ("plain", "zero"))
    rows = []
    for machine in ALL:
        cells = {seed: read(settings, folder, "look", f"{machine}-{seed}") for seed in settings.seeds}
        there = {seed: cell for seed, cell in cells.items() if cell is not None}
        if not there or plain is None or zero is None:
            continue
        elites = {each: np.stack([_seen(c["elite"], each).ravel() for c in there.values()]) for each in ALL}
        signs = np.stack([_seen(cell["twins"], machine).ravel() for cell in there.values()])
        rates = elites[machine].mean(axis=1)
        row: Json = {
            "left_out": machine,
            "bred_for": [each for each in BRED if each != machine],
            "seeds": list(there),
            "by_seed": rates.tolist(),
            "median": float(np.median(rates)),
            "elites": _share(settings, elites[machine]),
            "twins": _share(settings, signs),
            "noise": _share(settings, _seen(plain["plain"], machine)),
            "zero": float(_seen(zero["zero"], machine).mean()),
            "genes": [_genes(settings, folder, f"{machine}-{seed}") for seed in there],
        }
        row["others"] = {each: float(elites[each].mean()) for each in row["bred_for"]}
        rows.append(row)
    return {
        "settings": settings.digest(),
        "seeds": list(settings.seeds),
        "held_out_views": settings.held_out_views,
        "scored_views": settings.scored_views,
        "rows": rows,
        "seen": sum(row["median"] >= SEEN_SHARE for row in rows),
        "complete": len(rows) == len(ALL) and all(len(r["seeds"]) == len(settings.seeds) for r in rows),
    }


def _genes(settings: Settings, folder: Path, name: str) -> str:
    genome = Elite.read(needed(settings, folder, "search", name)).genome
    return " ".join(f"{weight:.5g}" for weight in genome)


def _seen(scores: Mapping[str, Any], machine: str) -> Bools:
    """Which views of which masks a machine sees a face in, bool (masks, views)."""
    found: Bools = np.array(scores[machine], np.float64) > model_info(machine).threshold
    return found


def _share(settings: Settings, seen: Bools) -> Json:
    return asdict(bootstrap([seen], lambda drawn: float(drawn.mean()), settings.draws, seed=1))


def table(found: Mapping[str, Any]) -> str:
    """Markdown: what was found, and a row a machine."""
    rows = found["rows"]
    if not rows:
        return "Nothing of this has been run yet.\n"
    seeds, so_far = found["seeds"], "" if found["complete"] else "**Not all of it has been run yet.** "
    lines = [
        f"{so_far}Seeds {seeds[0]} to {seeds[-1]}, {found['scored_views']:,} scored views a run.",
        f"**{found['seen']} of {len(rows)} machines that had no say see at least {SEEN_SHARE:.0%} of",
        f"{found['held_out_views']} held-out views in the median of the seeds** (asked for: {GOAL}).",
        "Intervals are bootstraps over seeds (or noise masks), then views.",
        "",
        *marks.head(
            "left out",
            "sees",
            "median",
            "by seed",
            "twins with random signs",
            "noise",
            "the blank",
            "bred for",
        ),
    ]
    for row in rows:
        by = ", ".join(f"{rate:.0%}" for rate in row["by_seed"])
        others = ", ".join(f"{name} {rate:.0%}" for name, rate in row["others"].items())
        shares = [share_words(row[name]) for name in ("elites", "twins", "noise")]
        cells = (row["left_out"], shares[0], f"{row['median']:.0%}", by, *shares[1:], f"{row['zero']:.0%}")
        lines.append(marks.row(*cells, others))
    return "\n".join(lines) + "\n"


def picture(settings: Settings, found: Mapping[str, Any], width_px: int = 1800) -> NDArray[np.uint8]:
    """A column a machine that was left out, a row a seed, uint8 (H, W, 3): no mask is picked."""
    basis = settings.spec(ALL[0], 0).mask.basis
    told, captions = [], []
    for seed in found["seeds"]:
        for row in found["rows"]:
            if seed in row["seeds"]:
                k = row["seeds"].index(seed)
                told.append((basis, row["genes"][k]))
                rate = f"{row['by_seed'][k]:.0%}"
                captions.append(Caption(f"without {row['left_out']}", ((rate, "seen by it"),)))
    title = "Bred for all but one, shown to the one"
    return lineup(lit(told), captions, title, width_px=width_px, columns=len(found["rows"]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, write, print. Exit code 1 where something is wrong, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        "python -m bench.left_out", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny budgets on tuning seeds: does it work?")
    add_options(parser, "runs/left-out")
    parser.add_argument("--tables", action="store_true", help="run nothing, write the table of what is there")
    options = parser.parse_args(argv)
    settings = QUICK if options.quick else WHOLE
    folder = options.store or ROOT / "runs" / settings.name
    work = work_of(STAGES, settings, folder, [stage.name for stage in STAGES], settings.seeds)
    if options.estimate:
        print("\n".join(estimate(folder, work, options.jobs)))
        return 0

    def run_and_report() -> None:
        if not options.tables:
            run(settings, folder, work, options.jobs, console)
        found = findings(settings, folder)
        if not options.quick:
            write({**found, "command": "python -m bench.left_out", "written": circumstances()}, RESULT)
            marks.write_between(PAGE, FIRST_MARK, LAST_MARK, table(found))
            if found["rows"]:
                Image.fromarray(picture(settings, found)).save(PICTURE, quality=88)
        print(table(found))

    return ended(console, run_and_report)


if __name__ == "__main__":
    sys.exit(main())
