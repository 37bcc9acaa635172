"""``datamask verify``: the elites before machines that took no part, beside controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from coordinator.cli.cross_check import ask_aws, give_test, take_answers
from coordinator.cli.layout import print_table
from coordinator.cli.progress import plain_steps
from coordinator.cli.report import print_controls
from coordinator.cli.report import shown_rate as shown
from coordinator.cli.terminal import print_json
from coordinator.record.record import Record
from coordinator.record.verification import claim_of, open_verified, printed_photos
from services.errors import BadInput
from services.recognition.photos import photo_folder
from services.storage.open import open_store

NO_FACE = "no face"  # in whose views none was seen, so that there was nothing to compare
NOT_RUN = "not run"  # what verify.json says of critics whose weights were not there
# Which options have a say in what is asked, besides --views, --gallery and --region; "": machines here.
TAKES = {
    "--import": ("--tester", "--date", "--service", "--json"),
    "--manual": ("--mask",),
    "--aws": ("--mask", "--target", "--max-cost-usd", "--json"),
    "": ("--critic", "--mask", "--target", "--gallery-photos", "--photos", "--json"),
}


def verify(
    run: Annotated[
        str, typer.Argument(help="Path or URL of the run, as evolve printed it.", show_default=False)
    ],
    views: Annotated[int, typer.Option(help="Held-out views of each mask and control; even.")] = 100,
    critic: Annotated[
        list[str] | None, typer.Option(help="One more critic, besides the spec's; repeat for several.")
    ] = None,
    mask: Annotated[list[str] | None, typer.Option(help="Only this elite; repeat for several.")] = None,
    target: Annotated[
        list[Path] | None, typer.Option(help="Photo of the person, for critics without a reference.")
    ] = None,
    gallery: Annotated[
        int,
        typer.Option(
            help="Rendered people to search the masks among, and to tell who else passes for a portrait's "
            "person; 0: neither.",
            min=0,
        ),
    ] = 1000,
    gallery_photos: Annotated[
        Path | None, typer.Option(help="Folder of photos: people to search the masks among, too.")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Photographs of the printed masks: DIR/<mask id>/*.jpg; judged apart."),
    ] = None,
    manual: Annotated[
        Path | None,
        typer.Option(
            help="Write a blind test for people and services into this new folder: pictures, form, sheets."
        ),
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Read a filled-in answers.csv of such a test.")
    ] = None,
    tester: Annotated[str, typer.Option(help="With --import: who asked.")] = "",
    date: Annotated[str, typer.Option(help="With --import: when, as 2026-05-31.")] = "",
    service: Annotated[str, typer.Option(help="With --import: what was asked, with its version.")] = "",
    aws: Annotated[
        bool, typer.Option("--aws", help="Send pictures to Amazon Rekognition. Costs money.")
    ] = False,
    max_cost_usd: Annotated[
        float | None, typer.Option(help="With --aws, required: what it may cost at most.")
    ] = None,
    region: Annotated[str, typer.Option(help="With --aws.")] = "us-east-1",
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Cross-check a run's elites: its own machines, dlib's whole pipeline, and critics that took no part.

    On views that the search never saw, beside noise, the best of the first generation, the neutral head (of
    a blank: the blank) and random heads: how often each machine sees a face; for an identity run how often
    it takes the mask for the person, else how often it takes two views of a mask for one person, at known
    false accept rates. These are simulated match rates: renders, not an attack with an object. Writes
    verify/verify.json and plots into the run.

    Example: datamask verify runs/archetype-001 --views 200 --critic viola-jones
    """
    _check_options(
        {"--import": import_ is not None, "--manual": manual is not None, "--aws": aws},
        {
            **{"--critic": bool(critic), "--mask": bool(mask), "--target": bool(target)},
            **{"--gallery-photos": gallery_photos is not None, "--photos": photos is not None},
            **{"--tester": bool(tester), "--date": bool(date), "--service": bool(service)},
            **{"--max-cost-usd": max_cost_usd is not None, "--json": as_json},
        },
    )
    opened = open_verified(Record(open_store(run)))
    if import_ is not None:
        return take_answers(opened, import_, tester, date, service, as_json)
    if manual is not None:
        return give_test(opened, manual, mask or (), views)
    if aws:
        return ask_aws(opened, mask or (), views, max_cost_usd, region, target or (), as_json)
    claim = claim_of(opened, critic or (), mask or (), target or ())
    people = [p.path for p in photo_folder(gallery_photos)] if gallery_photos is not None else []
    printed = printed_photos(photos, opened) if photos is not None else None
    from worker.examination.verify import verify as check

    store = opened.record.store
    with plain_steps(Console(stderr=True)) as steps:
        found = check(store, claim, views, gallery, printed, people, steps)
    if as_json:
        print_json(found)
        return
    show_verification(Console(), found, people)
    print(f"{store.url}/verify/verify.json")


def _check_options(asked: Mapping[str, bool], given: Mapping[str, bool]) -> None:
    """:raises BadInput: for an option that would have no say."""
    modes = [mode for mode, wanted in asked.items() if wanted]
    if len(modes) > 1:
        raise BadInput(f"{' and '.join(modes)}: give one of them")
    mode = modes[0] if modes else ""
    for option in (name for name, there in given.items() if there and name not in TAKES[mode]):
        if mode:
            raise BadInput(f"{option}: has no say in {mode}; leave it out")
        raise BadInput(f"{option}: give it with {next(m for m in TAKES if option in TAKES[m])}")


def show_verification(console: Console, found: Mapping[str, Any], people: Sequence[Path] = ()) -> None:
    """Print what a verification found, the gap between fitted models and critics first.

    :param people: the photos of the gallery, whose numbers alone stand in ``found``.
    """
    for line in gap_lines(found):
        console.print(line, highlight=False, soft_wrap=True, style="bold")
    for warning in found["warnings"]:
        console.print(warning, highlight=False, soft_wrap=True, style="yellow", markup=False)
    if found.get("controls"):
        print_controls(console, found["controls"])
    _yes_or_no(console, found, "detect", "A face")
    _yes_or_no(console, found, "correlate", "Like the reference of a correlation filter")
    _matches(console, found)
    if found["identification"] is not None:
        _identification(console, found["identification"])
        numbers = {f"photo {k + 1}": path for k, path in enumerate(people)}
        for line in found["identification"].get("left_out", ()):
            number, _, why = line.partition(": ")
            _left_out(console, f"{numbers.get(number, number)}: {why}")
    for row in found["photographs"] or []:
        _photographs(console, row)
    console.print(found["note"], highlight=False, soft_wrap=True)


def gap_lines(found: Mapping[str, Any]) -> list[str]:
    """How far critics fall behind the models that the masks were bred for, in words."""
    lines = []
    words = {
        "detect": "see a face in",
        "match": f"match ({found['question']}) in",
        "correlate": "answer to their reference in",
    }
    for what, verb in words.items():
        gap = found["gap"].get(what)
        if gap is None or gap["fitted"] is None:
            continue
        line = f"Fitted models {verb} {gap['fitted']:.0%} of the elites' views"
        if gap["critic"] is None:
            lines.append(f"{line}; no critic was asked, so only machines that took part speak for it.")
        else:
            lines.append(f"{line}, critics in {gap['critic']:.0%}: a gap of {gap['gap'] * 100:+.0f} points.")
    return lines


def _yes_or_no(console: Console, found: Mapping[str, Any], what: str, title: str) -> None:
    rows = [r for r in found["rows"] if r["what"] == what]
    if not rows:
        return
    machines = list(dict.fromkeys((r["machine"], r["side"]) for r in rows))
    absent = dict.fromkeys(r["machine"] for r in found["rows"] if r["what"] == NOT_RUN)
    header = ["", *(machine if machine == side else f"{machine} ({side})" for machine, side in machines)]
    header += [f"{machine} (critic)" for machine in absent]
    told = []
    for subject in dict.fromkeys(r["subject"] for r in rows):
        own = {r["machine"]: r for r in rows if r["subject"] == subject}
        cells = (_cell(own[m], own[m]["rate"]) if m in own else "-" for m, _ in machines)
        told.append([subject, *cells, *(NOT_RUN for _ in absent)])
    print_table(console, f"{title} in {found['views']} held-out views", header, told)


def _cell(row: Mapping[str, Any], rate: Mapping[str, Any]) -> str:
    """A rate, or that no view had a face to compare."""
    return NO_FACE if row.get("compared") == 0 else shown(rate)


def _matches(console: Console, found: Mapping[str, Any]) -> None:
    rows = [r for r in found["rows"] if r["what"] == "match"]
    asked = "the person" if found["question"] == "target" else "another view of itself"
    for machine in dict.fromkeys(r["machine"] for r in rows):
        own = [r for r in rows if r["machine"] == machine]
        cuts = [f"{cut['name']} ({cut['threshold']:.3f})" for cut in own[0]["matches"]]
        told = []
        for row in own:
            median = "-" if row["median"] is None else f"{row['median']:.2f}"
            told.append([row["subject"], median, *(_cell(row, m["rate"]) for m in row["matches"])])
        title = f"{machine} ({own[0]['side']}): taken for {asked}"
        print_table(console, title, ["", "median", *cuts], told)
    for name, calibrated in found["calibration"].items():
        on = calibrated["pairs"] or "nothing: run datamask calibrate"
        console.print(f"{name}: thresholds calibrated on {on}", highlight=False, soft_wrap=True)
    if "impostors" in found:
        console.print(
            f"Impostors, and the people searched among, are {found['impostors']}.",
            highlight=False,
            soft_wrap=True,
        )


def _identification(console: Console, found: Mapping[str, Any]) -> None:
    title = f"Searched among {found['enrolled']} people: searches that return somebody they should not"
    header, told = ["gallery"], []
    for rate in found["rates"]:
        header += [f"{who} FAR {rate['far']:g}" for who in ("strangers", "masks")]
    for k, size in enumerate(p["size"] for p in found["rates"][0]["strangers"]):
        cells = [
            shown(rate[who][k]["rate"]) if k < len(rate[who]) else "-" if rate[who] else NO_FACE
            for rate in found["rates"]
            for who in ("strangers", "masks")
        ]
        told.append([f"{size:,}", *cells])
    far = [rate["extrapolated"] for rate in found["rates"]]
    cells = [cell for e in far for cell in (f"{e['fpir']:.0%}", "")]
    told += [[], [f"{far[0]['size']:,} extrapolated", *cells]]
    print_table(console, title, header, told, left=())
    console.print(
        f"The last line is an extrapolation, not a measurement: {far[0]['formula']}.",
        highlight=False,
        soft_wrap=True,
    )


def _photographs(console: Console, row: Mapping[str, Any]) -> None:
    rates = ", ".join(f"{name} {shown(rate)}" for name, rate in row["detected"].items()) or "none usable"
    line = f"photographs of {row['mask']} ({row['photographs']}): a face to {rates}"
    if "match" in row and row["match"]["matches"]:
        line += "; matches " + ", ".join(f"{m['name']} {shown(m['rate'])}" for m in row["match"]["matches"])
    console.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in row["left_out"]:
        _left_out(console, line)


def _left_out(console: Console, line: str) -> None:
    console.print(f"left out: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
