"""``datamask evolve``: the main job."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coordinator.cli.journal import Journal
from coordinator.cli.options import (
    BrokerOption,
    CoordinatorsOption,
    ExecutorName,
    ExecutorOption,
    LogFormat,
    LogFormatName,
    MetricsPort,
    PicturesOption,
    QuietOption,
    ResumeOption,
    SetOption,
    StoreOption,
)
from coordinator.cli.progress import Progress, plain_steps
from coordinator.cli.prometheus import Metrics
from coordinator.cli.report import summary
from coordinator.record.record import Fenced, Record
from coordinator.run import Heritage, evolve_run, finish_run, open_run, sweep
from coordinator.search.evolution import Watcher
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec
from coordinator.start import check_coordinators, make_executor, make_ready, make_shards
from services.errors import BadInput, DatamaskError
from services.faults import as_one_line
from services.logs import setup as setup_logs
from services.metrics_server import serve_metrics


def evolve(
    spec: Annotated[
        Path, typer.Argument(help="Run spec (TOML); examples/ has some to start from.", show_default=False)
    ],
    store: StoreOption = "runs",
    run: Annotated[
        str | None, typer.Option(help="Name of the run. Default: the spec's name and a free number.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; replaces the spec's.", min=0)] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Reference photo for the identity objectives; repeat for several."),
    ] = None,
    consent: Annotated[
        str | None,
        typer.Option(help="Who consented and for what; fills the consent table of a quick identity run."),
    ] = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    pictures: PicturesOption = True,
    executor: ExecutorOption = ExecutorName.local,
    broker: BrokerOption = None,
    coordinators: CoordinatorsOption = 1,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = LogFormatName.text,
    quiet: QuietOption = False,
) -> None:
    """Evolve masks from noise until the machines of the SPEC accept them.

    Writes the run (spec, checkpoints, every evaluation, elites with meshes and pictures) under STORE/RUN and
    prints its URL as the last line. Interrupted runs go on with --resume, to the same checkpoints.

    Example: datamask evolve examples/noise.toml --seed 3 --set search.generations=40
    """
    if log_format is LogFormatName.json:
        setup_logs("json", logging.INFO)
    wanted = load_spec(spec, seed=seed, targets=target or (), consent=consent, overrides=set_ or ())
    check_coordinators(coordinators, executor, wanted)
    place, name = make_ready(store, run, wanted, resume, executor, broker)
    words = ["evolve", str(spec), "--store", place.url, "--run", name]
    command = resume_command(
        words, seed, set_, executor, targets=target, consent=consent, coordinators=coordinators
    )
    drive(
        *(wanted, Record(place.sub(name)), store, name, command),
        resume=resume,
        executor=executor,
        broker=broker,
        coordinators=coordinators,
        quiet=quiet or log_format is LogFormatName.json,
        pictures=pictures,
        metrics_port=metrics_port,
    )


def drive(
    spec: Spec,
    record: Record,
    store: str,
    name: str,
    command: str,
    *,
    resume: bool,
    executor: ExecutorName,
    broker: str | None,
    quiet: bool,
    coordinators: int = 1,
    pictures: bool = True,
    metrics_port: int | None = None,
    heritage: Heritage | None = None,
) -> None:
    """Start a run or go on with it, to its end, and print its URL. command: what resumes it.

    pictures: whether to go on to the end; else it stops as if it had been killed after its last checkpoint.
    """
    console = Console(stderr=True, quiet=quiet)
    opened = open_run(spec, record, resume=resume, heritage=heritage)
    stack = ExitStack()
    try:
        if record.head().done:
            sweep(record)
            console.print(f"{record.url} is complete already.")
            if not record.store.exists("report.html"):
                words = f"It has no page yet; make it with: datamask exhibit {record.url}"
                console.print(words, highlight=False, markup=False, soft_wrap=True)
        else:
            with as_one_line():
                scorers = stack.enter_context(closing(make_executor(executor, record, store, name, broker)))
            shards = make_shards(coordinators, scorers, record, store, name, broker)
            metrics = Metrics(name, opened.objectives, shards or scorers)
            if metrics_port is not None:
                serve_metrics(metrics_port, metrics.registry)
            watchers: list[Watcher] = [metrics, Journal(name)]
            with Progress(console, opened.spec, opened.objectives) as progress:
                evolution = evolve_run(opened, scorers, [progress, *watchers], progress.begin, shards)
            if pictures:
                with plain_steps(console) as steps:
                    reports = finish_run(opened, evolution.elites(), scorers, steps)
                summary(console, opened.objectives, evolution, reports, opened.spec)
            else:
                words = f"Evolved. Audits, pictures, film and page are still to be made:\n  {command}"
                console.print(words, highlight=False, markup=False, soft_wrap=True)
            metrics.done()
    except KeyboardInterrupt:
        words = f"\ninterrupted; nothing that was committed is lost. Go on with:\n  {command}"
        console.print(words, style="yellow", soft_wrap=True, markup=False)
        raise typer.Exit(130) from None
    except DatamaskError as error:
        if not isinstance(error, (BadInput, Fenced)):
            error.add_note(f"nothing that was committed is lost, go on with: {command}")
        raise
    finally:
        stack.close()
        record.close()
    print(record.url)


def resume_command(
    words: Sequence[str],
    seed: int | None,
    sets: Sequence[str] | None,
    executor: ExecutorName,
    *,
    targets: Sequence[str] | None = None,
    consent: str | None = None,
    coordinators: int = 1,
) -> str:
    """What goes on with a run that is interrupted. words: the command, and what names its runs."""
    words = ["datamask", *words, "--resume"]
    words += ["--seed", str(seed)] if seed is not None else []
    words += [w for t in targets or () for w in ("--target", t)]
    words += ["--consent", consent] if consent is not None else []
    words += [w for s in sets or () for w in ("--set", s)]
    words += ["--executor", "celery"] if executor is ExecutorName.celery else []
    words += ["--coordinators", f"{coordinators}"] if coordinators > 1 else []
    return shlex.join(words)
