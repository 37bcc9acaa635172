"""``datamask gaze``: what a machine looks at, on the surface of the masks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.progress import plain_steps
from coordinator.record.record import Record
from coordinator.record.verification import claim_of, open_verified
from services.recognition.statistics.calibration import file_name
from services.storage.open import open_store


class Method(StrEnum):
    """How a machine is asked."""

    occlusion = "occlusion"
    gradient = "gradient"


def gaze(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    mask: Annotated[list[str] | None, typer.Option(help="Only this elite; repeat for several.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Detector or recognizer; repeat for several.", show_default="the objectives"),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="Cover regions and see what is lost (any machine), or gradients (networks)."),
    ] = Method.occlusion,
    views: Annotated[int, typer.Option(help="Held-out views of each mask.", min=1, max=64)] = 6,
) -> None:
    """Map how much each part of a mask carries a machine's score: red carries it, blue works against it.

    Writes masks/<id>/gaze-<model>.png, .glb (vertex colors) and .json. Each map is checked: covering the top
    tenth of its regions must cost more score than covering random ones.

    Example: datamask gaze runs/archetype-001 --model dlib-hog
    """
    opened = open_verified(Record(open_store(run)))
    claim = claim_of(opened, masks=mask or ())
    from worker.examination.gaze import look

    store = opened.record.store
    rows = []
    for name in dict.fromkeys(model or claim.fitted):
        with plain_steps(Console(stderr=True)) as steps:
            found = look(store, claim, name, method.value, views, steps)
        for facts in found:
            checked = facts["deletion"]
            mean = sum(checked["random"]) / len(checked["random"])
            rows.append(
                [facts["mask"], name, f"{facts['score']:.2f}", f"{checked['top']:.2f}", f"{mean:.2f}"]
            )
    header = ["mask", "model", "score", "the map's tenth", "a random tenth"]
    print_table(Console(), "Score lost by covering a tenth of the regions", header, rows, left=(0, 1))
    for facts_of in claim.elites:
        for name in dict.fromkeys(model or claim.fitted):
            print(f"{store.url}/masks/{facts_of[0]}/gaze-{file_name(name)}.png")
