"""``datamask breed``: a hand on the search."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli.evolve import drive, resume_command
from coordinator.cli.options import (
    BrokerOption,
    CoordinatorsOption,
    ExecutorName,
    ExecutorOption,
    PicturesOption,
    QuietOption,
    ResumeOption,
    SetOption,
    StoreOption,
)
from coordinator.record.record import Record
from coordinator.search.heritage import MOST_NEAR, bred_spec, heritage_of
from coordinator.start import check_coordinators, make_ready
from services.storage.open import open_store


def breed(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run that the masks come from.", show_default=False)
    ],
    masks: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...", help="Masks to start from: any that were scored.", show_default=False
        ),
    ],
    pin: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Keep this mask among the elites; repeat for several."),
    ] = None,
    veto: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Keep this mask and its near neighbors out; repeat for several."),
    ] = None,
    veto_distance: Annotated[
        float,
        typer.Option(
            min=0.01, max=10.0, help="How near: root mean square difference of the weights, in gene units."
        ),
    ] = MOST_NEAR,
    store: StoreOption = "runs",
    name: Annotated[
        str | None,
        typer.Option("--run", help="Name of the new run. Default: the spec's name and a free number."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed. Default: the next one after the parents' run's.", min=0)
    ] = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    pictures: PicturesOption = True,
    executor: ExecutorOption = ExecutorName.local,
    broker: BrokerOption = None,
    coordinators: CoordinatorsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Start a new run from masks that you choose in another one.

    The new run has the other one's spec but for --set. Every island begins with the chosen masks: CMA with
    their mean and as far as they lie apart, a population with the masks and children of each. The manifest
    says where they came from. Of a run toward a person's face, the consent goes along and is checked again.

    Example: datamask breed runs/archetype-001 i00-g0034-003 i02-g0030-011 --veto i01-g0034-000
    """
    parent = Record(open_store(run))
    chosen, pinned, vetoed = masks, pin or [], veto or []
    heritage = heritage_of(parent, chosen, pinned, vetoed, veto_distance)
    spec = bred_spec(parent, heritage, (chosen, pinned, vetoed), seed=seed, overrides=set_ or ())
    check_coordinators(coordinators, executor, spec)
    place, name = make_ready(store, name, spec, resume, executor, broker)
    words = ["breed", run, *masks, "--store", place.url, "--run", name]
    words += [w for one in pinned for w in ("--pin", one)] + [w for one in vetoed for w in ("--veto", one)]
    words += ["--veto-distance", f"{veto_distance:g}"]
    command = resume_command(words, spec.seed, set_, executor, coordinators=coordinators)
    drive(
        *(spec, Record(place.sub(name)), store, name, command),
        resume=resume,
        executor=executor,
        broker=broker,
        coordinators=coordinators,
        quiet=quiet,
        pictures=pictures,
        heritage=heritage,
    )
