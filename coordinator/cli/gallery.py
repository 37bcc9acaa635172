"""``datamask gallery``: one mask for each detector of a spec, and what the others make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coordinator.cli.evolve import drive, resume_command
from coordinator.cli.layout import print_table
from coordinator.cli.options import (
    BrokerOption,
    ExecutorName,
    ExecutorOption,
    QuietOption,
    ResumeOption,
    SetOption,
    StoreOption,
)
from coordinator.cli.progress import plain_steps
from coordinator.gallery import FILE, begin, each_alone, finish, matrix, run_name
from coordinator.record.record import Record
from coordinator.record.verification import claim_of, open_verified
from coordinator.run import free_name
from coordinator.search.seeds import audit_seed
from coordinator.spec.spec_file import load_spec
from coordinator.start import make_ready
from services.errors import BadInput
from services.names import check_run_name
from services.storage.open import open_store
from services.storage.store import Store

GAZE_VIEWS = 6


def gallery(
    spec: Annotated[
        Path,
        typer.Argument(help="Run spec (TOML) with two detectors or more as objectives.", show_default=False),
    ],
    store: StoreOption = "runs",
    run: Annotated[
        str | None, typer.Option(help="Name of the gallery. Default: the spec's name and a free number.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; replaces the spec's.", min=0)] = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    executor: ExecutorOption = ExecutorName.local,
    broker: BrokerOption = None,
    quiet: QuietOption = False,
) -> None:
    """Breed one mask for each detector of the SPEC from the same noise, and show them to all others.

    Each run is an ordinary one, STORE/NAME-MACHINE, with the other detectors as its critics. STORE/NAME holds
    the poster (gallery.png), the page (gallery.html) and the matrix bred for x seen by (matrix.svg, .csv).
    Prints the runs' URLs, and the gallery's as the last line. Interrupted, it goes on with --resume.

    Example: datamask gallery examples/gallery.toml --set search.generations=40
    """
    wanted = load_spec(spec, seed=seed, overrides=set_ or ())
    specs = each_alone(wanted, str(spec))
    name = run or free_name(open_store(store), wanted.name, resume, FILE)
    check_run_name(name)
    runs = {machine: run_name(name, machine) for machine in specs}
    if len(set(runs.values())) < len(runs):
        raise BadInput(f"{spec}: two of its machines would have a run of one name: {', '.join(specs)}")
    place = open_store(store)
    for machine, alone in specs.items():  # before the first is begun
        if Record(place.sub(runs[machine])).exists() and not resume:
            raise BadInput(f"{place.url}/{runs[machine]}: a run of this name exists; add --resume to go on")
        place, _ = make_ready(store, runs[machine], alone, resume, executor, broker)
    begin(place.sub(name), wanted, runs, resume)
    words = ["gallery", str(spec), "--store", store, "--run", name]
    command = resume_command(words, seed, set_, executor)
    for machine, alone in specs.items():
        record = Record(place.sub(runs[machine]))
        drive(
            *(alone, record, store, runs[machine], command),
            resume=True,
            executor=executor,
            broker=broker,
            quiet=quiet,
        )
    from worker.examination.gaze import look
    from worker.exhibition.gallery import Hung, gaze_key, hang

    console = Console(stderr=True, quiet=quiet)
    shown = []
    with plain_steps(console) as steps:
        for machine, name_ in runs.items():
            opened = open_verified(Record(place.sub(name_)))
            best = opened.elites[0]
            gaze = gaze_key(best.id, machine)
            if not opened.record.store.exists(gaze):
                look(opened.record.store, claim_of(opened, masks=[best.id]), machine, views=GAZE_VIEWS)
            shown.append(Hung(machine, name_, best.id, best.genome, opened.record.store.get(gaze)))
            steps("gaze", len(shown), len(runs))
        told = finish(place.sub(name), matrix(place, runs))
        ranges, count = wanted.views.ranges(), wanted.verify.views
        basis, hashes = wanted.mask.basis, {m: _sha256(place.sub(runs[m]), m) for m in runs}
        hang(place.sub(name), shown, told, basis, hashes, ranges, count, audit_seed(wanted.seed), steps)
    rows = [
        [row["bred_for"], row["mask"], *(_share(row["hits"].get(m), told["views"]) for m in runs)]
        for row in told["rows"]
    ]
    for subject, said in told["controls"].items():
        cells = [_share(said[m]["hits"], said[m]["of"]) if m in said else "-" for m in runs]
        rows.append([subject, "-", *cells])
    title = f"Bred for x seen by: share of {told['views']} held-out views with a face"
    print_table(console, title, ["bred for", "mask", *runs], rows, left=(0, 1))
    print(place.sub(name).url)


def _sha256(store: Store, machine: str) -> str:
    return str(Record(store).manifest()["models"][machine]["sha256"])


def _share(hits: int | None, of: int) -> str:
    return "-" if hits is None or not of else f"{hits / of:.0%}"
