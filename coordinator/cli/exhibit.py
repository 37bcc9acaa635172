"""``datamask exhibit``: what people look at."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coordinator.cli.progress import plain_steps
from coordinator.record.chronicle import Chronicle
from coordinator.record.evaluations import no_elite
from coordinator.record.record import Record
from services.errors import BadInput
from services.exhibition.credits import NOTHING, given
from services.exhibition.kiosk import IDLE_S, KIOSK, LEAST_IDLE_S, MOST_IDLE_S
from services.exhibition.wording import ENGLISH, load_wording
from services.storage.open import open_store
from services.storage.place import check_folder


class MaterialName(StrEnum):
    """What masks are shown in."""

    nylon = "nylon"
    plaster = "plaster"
    mirror = "mirror"
    color = "color"


class RendererName(StrEnum):
    """Who takes the stills."""

    studio = "studio"
    path = "path"


class FilmName(StrEnum):
    """What is drawn on the film."""

    plain = "plain"
    boxes = "boxes"


def exhibit(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    mask: Annotated[
        list[str] | None,
        typer.Option(help="Show this mask (any that was scored) in place of the elites; repeat for several."),
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option(
            help="Also write an exhibition pack into this folder: labels, wall text, plates, poster, press "
            "sheet, film."
        ),
    ] = None,
    kiosk: Annotated[
        bool,
        typer.Option(
            "--kiosk",
            help="Also write kiosk.html: the masks full screen, for a touch screen in the room.",
        ),
    ] = False,
    idle_s: Annotated[
        int,
        typer.Option(
            min=LEAST_IDLE_S,
            max=MOST_IDLE_S,
            help="After so many seconds without a touch the kiosk goes from mask to mask by itself.",
        ),
    ] = IDLE_S,
    title: Annotated[
        str | None,
        typer.Option(help="Title on labels; else the spec's [exhibition] title, else Untitled (machines)."),
    ] = None,
    artist: Annotated[str | None, typer.Option(help="Artist on labels, poster and press sheet.")] = None,
    year: Annotated[
        str | None, typer.Option(help="2026 or 2025-2026. Default: the year of the run's start.")
    ] = None,
    statement: Annotated[
        str | None, typer.Option(help="The artist's own text, in place of the short one on labels.")
    ] = None,
    edition: Annotated[
        str | None,
        typer.Option(help="NUMBER/OF, or words; a number that is raised on the solid counts more."),
    ] = None,
    venue: Annotated[str | None, typer.Option(help="Where it hangs: poster, wall text, press sheet.")] = None,
    medium: Annotated[
        str | None, typer.Option(help="Medium on labels. Default: that of the printed solid.")
    ] = None,
    language: Annotated[
        str, typer.Option(help="en, or a file: assets/words.en.toml of services/exhibition, translated.")
    ] = ENGLISH,
    lineup_width: Annotated[
        int, typer.Option(min=600, max=8192, help="Width of the line-up in pixels; 8192 is print size.")
    ] = 2600,
    captions: Annotated[
        bool,
        typer.Option("--captions/--no-captions", help="Name and scores beside each mask of the line-up."),
    ] = True,
    material: Annotated[
        MaterialName | None,
        typer.Option(
            help="What line-up, plates and photographs show masks in; color: by color genes or gaze map.",
            show_default="color with color genes, else nylon",
        ),
    ] = None,
    film: Annotated[
        FilmName, typer.Option(help="boxes: draw dlib's box and score on every picture of the film.")
    ] = FilmName.plain,
    dpi: Annotated[
        int, typer.Option(min=40, max=400, help="Of the pack's plates and poster; 60 is a draft in seconds.")
    ] = 300,
    film_px: Annotated[int, typer.Option(min=96, max=2160, help="Side of the film in pixels, even.")] = 720,
    renderer: Annotated[
        RendererName,
        typer.Option(
            help="path: also photograph each mask on a gallery's wall by Mitsuba 3 (pip install "
            "mitsuba): light bounces, and a mirror shows a room and a visitor."
        ),
    ] = RendererName.studio,
    still_px: Annotated[
        int, typer.Option(min=64, max=4096, help="Width of these photographs; 2126 is 18 cm at 300 dpi.")
    ] = 1063,
    samples: Annotated[
        int,
        typer.Option(min=1, max=65536, help="Their light paths a pixel; four times as many: half the noise."),
    ] = 64,
    still_seed: Annotated[int, typer.Option(min=0, max=65535, help="Seed of these paths.")] = 1,
) -> None:
    """Make line-up, composite, films and report page anew from the record; prints the page's address.

    Writes lineup.png, composite.png, film.mp4, film.webp, turntable.mp4 and report.html into the run. The
    page is one file: it opens from disk and from a bucket and asks nobody for anything. A run that still
    grows is shown as far as it is committed. With --renderer path masks/<id>/still-<material>.png for every
    mask shown, and still-room.png of the best one, are written too; each takes minutes. What labels say is
    given here, or in the spec's [exhibition].

    Example: datamask exhibit runs/archetype-001 --lineup-width 8192 --pack exhibition --kiosk
    """
    said = given(
        lambda name: f"--{name}",
        **{"title": title, "artist": artist, "year": year, "statement": statement},
        **{"edition": edition, "venue": venue, "medium": medium},
    )
    load_wording(language)
    if film_px % 2:
        raise BadInput(f"--film-px {film_px}: expected an even number")
    if pack is None and not kiosk and (said != NOTHING or language != ENGLISH):
        raise BadInput(
            "title, artist and the like stand on labels and on the kiosk: add --pack DIR or --kiosk"
        )
    record = Record(open_store(run))
    if pack is not None:
        check_folder(pack, "--pack")
    stills = None
    if renderer is RendererName.path:
        from services.exhibition.path_tracer import PathShot, load_mitsuba

        load_mitsuba()  # before anything slow begins
        stills = PathShot(still_px, samples, still_seed)
    plan = Chronicle(record).plan(ids=mask or ())
    if not plan.facts["masks"]:
        raise BadInput(no_elite(record))
    console = Console(stderr=True)
    if plan.facts["state"] != "done":
        console.print(
            f"The run is at generation {plan.facts['generation']} of {plan.facts['generations']}; "
            "this shows what is committed.",
            highlight=False,
        )
    from worker.exhibition.exhibit import Options
    from worker.exhibition.exhibit import exhibit as make

    options = Options(
        film_px=film_px,
        boxes=film is FilmName.boxes,
        spin=True,
        sheets=True,
        lineup_px=lineup_width,
        captions=captions,
        material=material,
        pack=pack,
        stills=stills,
        kiosk=kiosk,
        idle_s=idle_s,
        dpi=dpi,
        credits=said,
        language=language,
    )
    with plain_steps(console) as steps:
        make(record.store, plan, options, steps)
    if pack is not None:
        console.print(f"Exhibition pack: {pack}", highlight=False, markup=False)
    if kiosk:
        console.print(f"Kiosk: {record.url}/{KIOSK}", highlight=False, markup=False)
    print(f"{record.url}/report.html")
