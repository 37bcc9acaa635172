"""``datamask print``: a solid for the printer."""

from __future__ import annotations

import contextlib
import datetime
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from coordinator.cli.layout import print_table
from coordinator.cli.progress import plain_steps
from coordinator.cli.terminal import print_json
from coordinator.record.evaluations import no_elite
from coordinator.record.record import Record, checkpoint_key
from coordinator.record.verification import claim_of, open_verified
from coordinator.run import objectives_of
from coordinator.search.elites import choose_elites
from coordinator.search.seeds import audit_seed
from coordinator.spec.spec import Spec, parse_spec
from services.errors import BadInput, DatamaskError
from services.exhibition.controls import controls_beside, in_words
from services.exhibition.wording import english
from services.printing.catalog import ELSEWHERE, PROCESSES, Order, make_order, voxel_mm_for
from services.recognition.fitness import Objective, thresholds_of
from services.recognition.statistics.calibration import file_name
from services.shape.catalog import basis_info
from services.storage.keys import is_key
from services.storage.local import LocalStore
from services.storage.open import open_store
from services.storage.place import check_folder
from services.storage.store import Store
from services.wire.mask import decode_masks
from services.wire.page_plan import controls_of, read_json
from services.words import nearest

if TYPE_CHECKING:
    from worker.printing import Printed, PrintJob

Float = NDArray[np.float32]
# Mask and solid are held beside each other on so many views, even where a run verified on fewer.
LEAST_VIEWS = 20
CONTROLS = ("twin", "noise")
WORDS = "A mask from a search for what machines take for a face."
CONTROL_WORDS = "A control: no search has made it, and it stands beside a mask that one has."


def print_(
    run: Annotated[str, typer.Argument(help="Path or URL of a run.", show_default=False)],
    mask: Annotated[
        str | None, typer.Option(help="Id of any recorded mask. Default: the best elite.", metavar="ID")
    ] = None,
    count: Annotated[
        int, typer.Option(help="Print the N elites that differ most, and pack them as an edition.", min=1)
    ] = 1,
    process: Annotated[
        str | None,
        typer.Option(
            help="sls (nylon), fdm, or color (gypsum, full color).", show_default="sls; color with --gaze"
        ),
    ] = None,
    mount: Annotated[
        str,
        typer.Option(
            help="wear (pupils and nostrils, of a blank where machines see them; strap slots), wall (a lug "
            "on the back), stand (a socket) or none."
        ),
    ] = "wear",
    width_mm: Annotated[float | None, typer.Option(help="Width of the solid.")] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="S, M, L (heads), exhibition (the largest within 180 x 260 mm) or 60cm (within 415 x 600)."
        ),
    ] = None,
    wall_mm: Annotated[
        float | None, typer.Option(help="Wall. Default: 2.0 sls, 2.8 fdm, 3.0 color; 4.0 from 300 mm.")
    ] = None,
    eyes: Annotated[
        str,
        typer.Option(help="Of a head: closed (as they are), hollow (pressed in) or open (between the lids)."),
    ] = "closed",
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Cut what is larger than the bed into keyed parts."),
    ] = False,
    gaze: Annotated[
        str | None,
        typer.Option(
            help="Print in full color where this machine looks, its legend on the card; the map is made if "
            "the run has none.",
            metavar="MODEL",
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            help="#rrggbb; own: the mask's color genes; gaze[:MODEL]: the run's gaze map. Default: own in a "
            "color process, else the material's."
        ),
    ] = None,
    edition: Annotated[
        str | None, typer.Option(help="NUMBER/OF, e.g. 2/5: raised on the inside with the mask's id.")
    ] = None,
    bed_mm: Annotated[
        str | None, typer.Option(help="Bed of the printer, WIDTHxDEPTHxHEIGHT. Default: a usual machine's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. Default: beside the mask, in the run.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write the files even where a check fails.")] = False,
    voxel_mm: Annotated[
        float | None,
        typer.Option(
            help="Resolution; coarser is quicker.", min=0.2, max=3.0, show_default="0.5; 1.0 from 300 mm"
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help="In place of the mask a control beside it: twin (its genes with random signs) or noise. "
            "Needs --out, for it is no mask of the run."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report for machines.")] = False,
) -> None:
    """Turn a mask into a solid for the printer: 3MF, STL, OBJ, PLY, GLB, a drawing sheet and a caption card.

    The solid is checked (closed, one body, wall, size) and shown to the run's machines again, on views that
    no search has seen. A solid that fails a check is not written without --force.

    Example: datamask print runs/archetype-001 --mount wear --size M --out prints
    """
    if gaze is not None:
        if color is not None:
            raise BadInput("--gaze and --color: give one of them")
        if control is not None:
            raise BadInput("--gaze and --control: a control has no gaze map; give one of them")
        if process is not None and not (PROCESSES.get(process) or PROCESSES["color"]).full_color:
            raise BadInput(f"--gaze: process {process} prints in one color; leave --process out")
        process, color = process or "color", f"gaze:{file_name(gaze)}"
    order = make_order(process, width_mm, size, wall_mm, mount, bed_mm, edition, eyes, parts)
    if edition is not None and count > 1:
        raise BadInput("--edition and --count: the N elites are numbered 1/N to N/N; give one of them")
    if color not in (None, "own", "gaze") and not color.startswith("gaze:"):
        from services.printing.colors import parse_color

        parse_color(color)
    record = Record(open_store(run))
    spec = read_spec(record)
    check_consent(spec, record.url)
    if control is not None:
        _check_control(control, count, out)
    chosen = _choose(record, spec, mask, count)
    if control is not None:
        chosen = [control_of(control, spec, *chosen[0])]
    folder = None if out is None else _folder(out)
    from worker.printing import print_masks

    if gaze is not None:
        _look(record, gaze, [name for name, _ in chosen])
    voxel_mm = voxel_mm_for(order) if voxel_mm is None else voxel_mm
    wish = _Wish(order, color, voxel_mm, force, control)
    jobs = [_job(record, spec, chosen, k, wish) for k in range(len(chosen))]
    console = Console(stderr=True)
    with plain_steps(console) as steps:
        printed = print_masks(record.store, jobs, steps)
    written = _write_all(record, folder, printed)
    if as_json:
        print_json([p.report for p in printed])
    else:
        for p in printed:
            show(Console(), p)
        for place in written:
            print(place)
    failed = [p.id for p in printed if not p.passed and not force]
    if failed:
        raise DatamaskError(
            f"{', '.join(failed)}: a check failed and nothing but its report was written; "
            "try another size, wall or mount, or --force"
        )


def _look(record: Record, model: str, masks: Sequence[str]) -> None:
    """Make the gaze maps that a run does not have yet. :raises BadInput: for a mask that is no elite."""
    have = set(record.store.list("masks/"))
    wanted = [name for name in masks if f"masks/{name}/gaze-{file_name(model)}.glb" not in have]
    if not wanted:
        return
    from worker.examination.gaze import look

    claim = claim_of(open_verified(record), masks=wanted)
    with plain_steps(Console(stderr=True)) as steps:
        look(record.store, claim, model, progress=steps)


def read_spec(record: Record) -> Spec:
    """The run's spec. :raises BadInput: where there is no run or it is not one of this version."""
    table = record.spec_table()
    table.pop("versions", None)
    return parse_spec(table, f"{record.url}/run.toml")


def check_consent(spec: Spec, where: str, today: datetime.date | None = None) -> None:
    """An identity mask is printed only where the run's consent covers it. :raises BadInput: otherwise."""
    if not spec.identity:
        return
    consent = spec.consent
    if consent is None or "print" not in consent.covers:
        covered = ", ".join(consent.covers) if consent else "nothing"
        raise BadInput(
            f'{where}: its masks are a person\'s likeness and the consent covers {covered}, not "print"; '
            "ask that person, and evolve with a [consent] table that covers it"
        )
    if consent.expires is not None and consent.expires < (today or datetime.date.today()):
        raise BadInput(f"{where}: the consent expired on {consent.expires}; renew it before printing")


def _choose(record: Record, spec: Spec, mask: str | None, count: int) -> list[tuple[str, Float]]:
    """Ids and genomes to print."""
    if mask is not None and count > 1:
        raise BadInput("--mask and --count: give one of them")
    head = record.head()
    key = checkpoint_key(head.epoch, "elites")
    ranked = decode_masks(record.part(key, head.parts[key]), key) if key in head.parts else []
    if mask is None:
        elites = choose_elites(ranked, spec.elites.count)
        if not elites:
            raise BadInput(no_elite(record))
        if count > len(elites):
            raise BadInput(f"--count {count}: the run has {len(elites)} elites")
        return [
            (e.id, e.genome) for e in (elites[k] for k in most_different([e.genome for e in elites], count))
        ]
    for elite in ranked:
        if elite.id == mask:
            return [(mask, elite.genome)]
    names: list[str] = []
    for key, sha256 in record.evaluations(head).items():
        table = pq.read_table(io.BytesIO(record.part(key, sha256)), columns=["id", "genome"])
        found = table.filter(pc.equal(table["id"], mask))
        if len(found):
            return [(mask, np.array(found["genome"][0].as_py(), np.float32))]
        names += table["id"].to_pylist()
    hint = nearest(mask, names) if names else ""
    raise BadInput(
        f"{record.url}: no mask '{mask}' among {len(names)} recorded ones{hint if len(hint) < 200 else ''}"
    )


def _check_control(control: str, count: int, out: Path | None) -> None:
    if control not in CONTROLS:
        raise BadInput(f"--control {control}: unknown{nearest(control, list(CONTROLS))}")
    if count > 1:
        raise BadInput("--control and --count: give one of them")
    if out is None:
        raise BadInput(
            "--control: give --out DIR; a control is no mask of the run, and is not written into it"
        )


def control_of(control: str, spec: Spec, mask: str, genome: Float) -> tuple[str, Float]:
    """The control ``twin`` or ``noise`` beside a mask of genome (d,): its id and genome, always the same."""
    from worker.examination.controls import noise_beside, twins_of

    symmetry = basis_info(spec.mask.basis).facts.symmetry
    rng = np.random.default_rng([CONTROLS.index(control), audit_seed(spec.seed)])
    if control == "twin":
        return f"twin-of-{mask}", twins_of(rng, genome, symmetry, 1)[0]
    spread, limit = spec.mask.spread, spec.mask.limit
    return f"noise-beside-{mask}", noise_beside(rng, genome, symmetry, 1, spread, limit)[0]


def most_different(genomes: Sequence[Float], count: int) -> list[int]:
    """Indices of ``count`` genomes, the first one always: each next is the farthest from those before
    (Gonzalez 1985)."""
    points = np.stack(genomes).astype(np.float64)
    chosen = [0]
    nearest_chosen = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < count:
        nearest_chosen[chosen] = -1.0
        chosen.append(int(nearest_chosen.argmax()))
        nearest_chosen = np.minimum(nearest_chosen, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


@dataclass(frozen=True)
class _Wish:
    """What the command line asked for, the same for every mask."""

    order: Order
    color: str | None
    voxel_mm: float
    force: bool
    control: str | None = None


def _job(
    record: Record, spec: Spec, chosen: Sequence[tuple[str, Float]], index: int, wish: _Wish
) -> PrintJob:
    from services.wire.objects import read_target
    from worker.printing import PrintJob

    manifest = record.manifest()
    keys = [entry["target"] for entry in manifest["objectives"]]
    objectives = objectives_of(spec, keys)
    basis = manifest["basis"]
    mask, genome = chosen[index]
    order = wish.order
    if len(chosen) > 1 and order.edition is None:
        order = replace(order, edition=(index + 1, len(chosen)))
    started = str(manifest.get("started", ""))
    licence = basis_info(spec.mask.basis).licence
    made = "evolved" if wish.control is None else "drawn"
    notes = {
        "Title": f"datamask {spec.name}, {mask}",
        "Designer": f"{made} by datamask, run {spec.name}, seed {spec.seed}",
        "Description": WORDS if wish.control is None else CONTROL_WORDS,
        "LicenseTerms": licence,
        "CreationDate": started[:10],
        "Application": "datamask",
        "mask": mask,
        "basis": f"{basis['id']} sha256 {basis['sha256']}",
        "machines": "; ".join(f"{o.label} threshold {o.threshold:g}" for o in objectives),
        "source": basis.get("source", ""),
    }
    if spec.consent is not None:
        granted_by = english().listed(spec.consent.granted_by)
        notes["consent"] = f"granted by {granted_by}, for {spec.consent.purpose}"
    return PrintJob(
        id=mask,
        basis=spec.mask.basis,
        basis_sha256=str(basis["sha256"]),
        genome=genome,
        order=order,
        objectives=objectives,
        targets={k: read_target(record.store, k) for k in keys if k},
        ranges=spec.views.ranges(),
        view_seed=audit_seed(spec.seed),
        view_count=max(LEAST_VIEWS, spec.verify.views),
        notes=notes,
        title=f"datamask: {spec.name}" + (f", control: {wish.control}" if wish.control else ""),
        date=started,
        color=wish.color,
        voxel_mm=wish.voxel_mm,
        force=wish.force,
        models=_models(objectives, manifest),
        hashes={name: str(entry["sha256"]) for name, entry in manifest["models"].items()},
        combine=tuple(o.combine for o in spec.objective),
        controls={name: in_words(c) for name, c in controls_beside(controls_of(record.store)).items()},
    )


def _models(objectives: Sequence[Objective], manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each machine once, with its threshold, and its licence as the run has it."""
    thresholds = thresholds_of(objectives)
    return [
        {"name": name, "threshold": thresholds[name], "licence": manifest["models"][name]["licence"]}
        for name in dict.fromkeys(o.model for o in objectives)
    ]


def _folder(out: Path) -> Path:
    """The output folder, made and tried before anything heavy starts. :raises BadInput: if it cannot."""
    check_folder(out, "--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".datamask-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be written to ({error.strerror}); give another folder") from None
    return out


def _write_all(record: Record, folder: Path | None, printed: Sequence[Printed]) -> list[str]:
    """Write the files of each and, where several were asked for and all were made, the edition's."""
    written = [_write(record, folder, p) for p in printed]
    if len(printed) > 1 and all("files" in p.report for p in printed):
        written.append(_pack(record, folder, printed))
    return written


def _write(record: Record, folder: Path | None, printed: Printed) -> str:
    """Write the files; returns where they are. The run learns of those that lie elsewhere, too.

    A print takes the place of an earlier one. One that failed takes nothing's: its report stands beside it.
    """
    report, failed = f"{printed.id}.print.json", f"{printed.id}.print-failed.json"
    made = "files" in printed.report
    files = printed.files if made else {failed: printed.files[report]}
    home = record.store.sub(f"masks/{printed.id}")
    if folder is None:
        stale = _earlier(home, report, printed.id) | {failed, ELSEWHERE} if made else set()
        for name, data in files.items():
            home.put(name, data)
        home.delete_many(sorted(stale - files.keys()))
        return f"{record.url}/masks/{printed.id}"
    place = folder / printed.id
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"{place}: cannot be made ({error.strerror}); give another --out") from None
    stale = _earlier(LocalStore(place), report, printed.id) | {failed} if made else set()
    for name, data in files.items():
        _save(place / name, data)
    for name in stale - files.keys():
        (place / name).unlink(missing_ok=True)
    if made:
        with contextlib.suppress(DatamaskError):  # a run that cannot be written to is printed all the same
            home.put(ELSEWHERE, printed.files[report])
    return str(place)


def _earlier(home: Store, report: str, mask: str) -> set[str]:
    """Names of an earlier print's files, as its report has them."""
    found = read_json(home, report)
    names = found.get("files") if isinstance(found, dict) else None
    return {str(name) for name in names or () if str(name).startswith(f"{mask}.") and is_key(str(name))}


def _pack(record: Record, folder: Path | None, printed: Sequence[Printed]) -> str:
    from services.printing.files import zipped

    data = zipped({f"{p.id}/{name}": content for p in printed for name, content in p.files.items()})
    if folder is None:
        record.store.put("edition.zip", data)
        return f"{record.url}/edition.zip"
    _save(folder / "edition.zip", data)
    return str(folder / "edition.zip")


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); give another --out") from None


def show(console: Console, printed: Printed) -> None:
    """The table of checks and the machines' verdict before and after."""
    report = printed.report
    verdicts = {True: Text("ok", "green"), False: Text("failed", "red"), None: Text()}
    checks = [(line.name, line.figure, verdicts[line.passed]) for line in printed.checks]
    title = f"{printed.id}: {report['process']}, {report['material']}"
    print_table(console, title, ["check", "figure", ""], checks, left=(0, 2), prose=(1,))
    looks = {"mask": printed.before, "solid with openings": printed.after}
    if printed.made_of is not None:
        looks[f"solid in {report['made_of']['material']}"] = printed.made_of
    scores = [["fitness on these views", *(f"{seen.fitness:+.2f}" for seen in looks.values())]]
    scores += [
        [label, *(f"{seen.values[label]:+.2f}" for seen in looks.values())] for label in printed.before.values
    ]
    scores += [
        [f"{name} accepts", *(f"{seen.accepted[name]:.0%}" for seen in looks.values())]
        for name in printed.before.accepted
    ]
    print_table(console, "The machines, on held-out views", ["", *looks], scores)
    far = report["from_evolved_surface_mm"]
    pieces = report.get("parts_weight_g")
    keyed = "" if pieces is None else f" ({pieces:.0f} g in parts, with bosses and pegs)"
    console.print(
        f"{report['size_mm'][0]:.1f} x {report['size_mm'][1]:.1f} x {report['size_mm'][2]:.1f} mm, "
        f"{report['volume_cm3']:.1f} cm³, {report['weight_g']:.0f} g{keyed}. Outer face to evolved surface: "
        f"median {far['median_mm']:.2f}, at most {far['max_mm']:.2f} mm; "
        f"{far['within_1mm']:.1%} of it within 1 mm.",
        highlight=False,
    )
    if report["sites"] is not None:
        console.print(f"eyes: {report['sites']['words']}", highlight=False, markup=False)
    for words in report["openings"]:
        console.print(f"made: {words}", highlight=False, markup=False)
    for words in [*report["not_made"], *([printed.cause] if printed.cause else [])]:
        console.print(words, style="yellow", highlight=False, markup=False)
