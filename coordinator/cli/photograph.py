"""``datamask photograph``: prints before real cameras, as docs/photograph.md says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.print import check_consent
from coordinator.cli.progress import plain_steps
from coordinator.cli.terminal import print_json
from coordinator.record.photographs import (
    NOT_YET,
    PRINTS,
    RESULTS,
    Shot,
    as_csv,
    begun,
    check_results,
    read_folder,
    results_of,
    shots,
    table,
)
from coordinator.record.record import Record
from coordinator.record.verification import elites_of, open_verified
from services.errors import BadInput
from services.numbers import finite
from services.recognition.model import ModelInfo
from services.recognition.photos import read_photo
from services.storage.open import open_store


def photograph(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the photographs, laid out by --start.", show_default=False)
    ],
    start: Annotated[
        str | None,
        typer.Option(
            help="Begin a new folder for prints of this run: scale card, lists, places.", metavar="RUN"
        ),
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="With --start: this elite. Default: the best.", metavar="ID")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Ask this detector; repeat for several.", show_default="all that are installed"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Photographs of a mask's print and of its controls: begin a folder, then count who sees a face.

    Three prints (elite, its sign-scrambled twin, noise), twelve poses, two lights, two cameras, a card with a
    scale. Writes results.json, results.csv and results.md into the folder; what is missing is said to be
    missing. Nothing leaves this machine.

    Example: datamask photograph photos --start runs/noise-001

    Example: datamask photograph photos
    """
    if start is not None:
        if model or as_json:
            raise BadInput(f"{'--model' if model else '--json'}: has no say in --start; leave it out")
        _start(folder, start, mask)
        return
    if mask is not None:
        raise BadInput("--mask: give it with --start RUN")
    from datamask.looking import infos_of

    infos = [info for info in infos_of(model or None) if info.kind == "detect"]
    if not infos:
        raise BadInput("photograph: no detector is asked; name one that is installed (datamask models)")
    found, strange = read_folder(folder)
    check_results(folder)
    with plain_steps(Console(stderr=True)) as steps:
        done = 0

        def told() -> None:
            nonlocal done
            done += 1
            steps("photographs", done, len(found))

        rows, unread = _looked_at(found, infos, told)
    results = results_of(rows, infos, [*strange, *unread])
    _write(folder, dict(zip(RESULTS, (_json(results), as_csv(results), table(results) + "\n"), strict=True)))
    if as_json:
        print_json(results)
        return
    _print(Console(), results)
    print(folder / RESULTS[2])


def _looked_at(
    found: Mapping[Shot, Path], infos: Sequence[ModelInfo], told: Callable[[], object] = lambda: None
) -> tuple[list[dict[str, Any]], list[str]]:
    """What machines see in each photograph, as JSON values, and a line for each that cannot be read.

    :param told: called after each photograph.
    """
    from datamask.looking import see
    from services.exhibition.scale_card import find_card

    rows, left_out = [], []
    for shot, path in sorted(found.items()):
        try:
            pixels = read_photo(path)
            sights = see(pixels, infos)
        except BadInput as error:
            left_out.append(str(error) if str(error).startswith(str(path)) else f"{path}: {error}")
            continue
        card = find_card(pixels)
        rows.append(
            {
                **vars(shot),
                "machines": {
                    name: {"face": sight.face, "score": finite(sight.score, 4)}
                    for name, sight in sights.items()
                },
                "card": card is not None,
                "px_per_mm": None if card is None else finite(card.px_per_mm, 3),
                "overexposed": None if card is None else card.overexposed,
            }
        )
        told()
    return rows, left_out


def _start(folder: Path, run: str, mask: str | None) -> None:
    """A new folder: the card, what to print, what to photograph, and a place for each photograph."""
    opened = open_verified(Record(open_store(run)))
    check_consent(opened.spec, opened.record.url)
    elite = elites_of(opened, [mask] if mask is not None else ())[0].id
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder}: is not an empty folder; give a new one")
    from services.exhibition.scale_card import scale_card

    _write(folder, begun(elite, run))
    for kind in ("pdf", "svg", "png"):
        (folder / f"card.{kind}").write_bytes(scale_card(kind))
    for shot in shots():
        (folder / shot.place).parent.mkdir(parents=True, exist_ok=True)
    Console(stderr=True).print(
        f"{sum(1 for _ in shots())} photographs to take, of three prints; {folder}/README.txt says how",
        highlight=False,
        soft_wrap=True,
    )
    print(folder)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written to ({error.strerror}); give another folder") from None


def _json(results: Mapping[str, Any]) -> str:
    return json.dumps(results, indent=1, allow_nan=False) + "\n"


def _print(console: Console, results: Mapping[str, Any]) -> None:
    prints = results["prints"]
    rows = [
        [
            machine,
            *(
                f"{own['face'][machine]} of {own['photographs']}" if own["photographs"] else "-"
                for own in prints.values()
            ),
        ]
        for machine in results["thresholds"]
    ]
    print_table(console, "A face in so many photographs", ["", *PRINTS], rows)
    for name, own in prints.items():
        lacking = own["of"] - own["photographs"]
        if lacking:
            console.print(f"{name}: {lacking} of {own['of']} {NOT_YET}", highlight=False)
        if own["photographs"] > own["card_seen"]:
            unseen = own["photographs"] - own["card_seen"]
            console.print(f"{name}: the card is not seen in {unseen}", style="yellow", highlight=False)
        if own["overexposed"]:
            console.print(f"{name}: {own['overexposed']} overexposed", style="yellow", highlight=False)
    for line in results["left_out"]:
        console.print(f"left out: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
