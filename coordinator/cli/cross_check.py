"""``datamask verify --manual``, ``--import`` and ``--aws``: judges that are not datamask's."""

from __future__ import annotations

import datetime
import importlib.metadata
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from coordinator.cli.layout import print_table
from coordinator.cli.progress import plain_steps
from coordinator.cli.report import shown_rate
from coordinator.cli.terminal import print_json
from coordinator.record.manual import Picture, import_answers, key_of, write_test
from coordinator.record.verification import Verified, claim_of
from coordinator.spec.spec import Spec
from services.errors import BadInput
from services.recognition.photos import read_photo
from services.storage.place import check_folder

REFERENCE_PX = 1600  # a photo's longer side, where one is sent: well within what Rekognition takes
MOST_STILLS = 20  # of each subject, in a test that a person goes through
SECONDS_EACH = 6  # that a person looks at a picture and marks its eyes, roughly


def give_test(run: Verified, folder: Path, masks: Sequence[str], views: int) -> None:
    """Write a blind test, two pictures or more of each subject, and say what to do with it.

    Numbered pictures, answers.csv, a form that asks people, and sheets to print.
    """
    check_folder(folder, "--manual")
    claim = claim_of(run, masks=masks)
    each = min(views, MOST_STILLS) // 2 * 2
    if each < 2:
        raise BadInput(f"--views {views}: expected at least 2 pictures of each mask and control")
    from services.exhibition.palette import png
    from services.exhibition.raters_form import raters_form, raters_sheets
    from worker.examination.stills import stills_for_people

    drawn = stills_for_people(claim, each, claim.seed + 1)
    pictures = [Picture(s.subject, s.kind, png(s.pixels), s.mask) for s in drawn]
    test = write_test(run.record.store, folder, pictures, claim.seed % 2**32)
    numbered = [read_photo(folder / f"{number:03d}.png") for number in range(1, len(drawn) + 1)]
    (folder / "form.html").write_bytes(raters_form(test, numbered))
    (folder / "sheets.pdf").write_bytes(raters_sheets(test, numbered))
    minutes = max(1, round(len(drawn) * SECONDS_EACH / 60))
    Console(stderr=True).print(
        f"test {test}: {len(drawn)} pictures in {folder}, about {minutes} minutes for a person (less with "
        "fewer --views); "
        f"its README.txt says how to go on, its key stays in {run.record.url}/{key_of(test)}",
        highlight=False,
        soft_wrap=True,
    )
    print(folder)


def take_answers(run: Verified, path: Path, tester: str, date: str, service: str, as_json: bool) -> None:
    """Read answers back, keep them, show rates by class."""
    try:
        when = datetime.date.fromisoformat(date)
    except ValueError:
        raise BadInput(f"--date {date!r}: expected the day of the test, such as 2026-05-31") from None
    version = importlib.metadata.version("datamask")
    found = import_answers(run.record.store, path, tester, when, service, version)
    if as_json:
        print_json(found)
        return
    title = f"{found['service']}, {found['date']}: {found['answered']} of {found['of']} pictures"
    rows = [[row["of"], shown_rate(row["face"]), shown_rate(row["named"])] for row in found["rates"]]
    print_table(Console(), title, ["", "a face", "somebody named"], rows)


def ask_aws(
    run: Verified,
    masks: Sequence[str],
    views: int,
    most_usd: float | None,
    region: str,
    targets: Sequence[Path],
    as_json: bool,
) -> None:
    """Ask Amazon Rekognition, within a cap and within the consent."""
    if most_usd is None:
        raise BadInput("--aws: give --max-cost-usd, what it may cost at most, e.g. --max-cost-usd 1")
    check_consent(run.spec, datetime.date.today())
    reference = _reference(run.spec, targets)
    from worker.examination.rekognition import ask_rekognition
    from worker.examination.rekognition_client import client

    claim = claim_of(run, masks=masks)
    with plain_steps(Console(stderr=True)) as steps:
        found = ask_rekognition(
            run.record.store,
            claim,
            views,
            claim.seed + 2,
            client(region),
            most_usd,
            reference,
            steps,
        )
    if as_json:
        print_json(found)
        return
    _print_aws(found)


def check_consent(spec: Spec, today: datetime.date) -> None:
    """:raises BadInput: where a real person's likeness may not be sent to another company."""
    if not spec.identity:
        return
    consent = spec.consent
    if consent is None or "cloud" not in consent.covers:
        raise BadInput(
            "--aws: this run is a likeness of a person, and its [consent] covers does not contain "
            '"cloud": nothing of it may be sent to another company'
        )
    if consent.expires is not None and consent.expires < today:
        raise BadInput(f"--aws: the run's [consent] expired on {consent.expires}; renew it first")


def _reference(spec: Spec, targets: Sequence[Path]) -> bytes | None:
    if targets and not spec.identity:
        raise BadInput("--target: this run has no identity objective, so nobody to compare with")
    if not targets:
        return None
    # The pixels alone: what else the file says, where it was taken, say, is not sent.
    photo = Image.fromarray(read_photo(targets[0]))
    photo.thumbnail((REFERENCE_PX, REFERENCE_PX))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=95)
    return file.getvalue()


def _print_aws(found: Mapping[str, Any]) -> None:
    title = f"Amazon Rekognition ({found['api_version']}), {found['date']}: {found['calls']} calls"
    asked = "the person" if found["question"] == "target" else "another view of itself"
    rows = [[row["subject"], shown_rate(row["face"]), shown_rate(row["match"])] for row in found["rates"]]
    print_table(Console(), title, ["", "a face", f"taken for {asked}"], rows)
