"""The cross-check by hand: blinded pictures out, a tester's answers in.

Sterling Crispin tried his masks on a social network that named faces (it ended that in 2021). Any service,
telephone or person can take its place: pictures of masks are numbered among controls, so that whoever answers
does not know which is which; the key stays with the run. What many people answer is counted in raters.py.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from services.errors import BadInput, CorruptData
from services.recognition.statistics.rates import wilson_rate
from services.storage.store import ObjectMissing, Store
from services.text_file import decode_lines

FORMAT = 1
COLUMNS = ("test", "picture", "face", "person", "notes", "eyes", "rater")
NEEDED = COLUMNS[:4]
YES, NO = ("yes", "y", "1", "true"), ("no", "n", "0", "false")

README = """A test of pictures: test {test}

PEOPLE

Everybody who looks works alone, has not seen the run, and does it once. Either open form.html in a browser:
it asks, and saves a file of answers on that computer; nothing is sent anywhere. Or print sheets.pdf, and
write down in a copy of answers.csv what was ticked, one copy for each person:

  face     yes or no
  eyes     where the eyes are, as the grid of the sheet says, left one first: H8 M8 (one eye: K7)
  rater    a word for the person that is not the name

Then count all of them; it says nothing about people before twenty have answered:

  datamask raters ANSWERS... --key RUN

SERVICES AND TELEPHONES

Show each picture of this folder to the service or telephone that you test, in the order of their numbers, and
write down in answers.csv what it says:

  face     yes if it finds a face (a frame around it, a focus box, a suggestion to tag somebody), else no
  person   the name it suggests, if it suggests one, else leave it empty
  notes    anything else, word for word if you can

Then hand answers.csv back:

  datamask verify RUN --import answers.csv --tester YOUR-NAME --date {date} --service NAME

Name the service with its version, such as "phone camera, Android 16, May 2026".

Some pictures show masks, some do not; you are not told which, so please do not guess. Do not look into the
run that the pictures come from before you are done.
Pictures of an identity run are a likeness of a person: show them only to people and services that the consent
covers.
"""


class Picture(NamedTuple):
    """One picture of a test. data: PNG bytes. mask: which of the subject's masks it shows."""

    subject: str
    kind: str
    data: bytes
    mask: str


def write_test(
    run: Store,
    folder: Path,
    pictures: Sequence[Picture],
    seed: int,
    today: datetime.date | None = None,
) -> str:
    """Write numbered pictures, answers.csv and README.txt; the key goes into the run. Returns the test's id.

    seed: of the order.

    :raises BadInput: if the folder holds something already, or cannot be written.
    """
    order = np.random.default_rng(seed).permutation(len(pictures))
    shown = [pictures[k] for k in order]
    digests = [hashlib.sha256(picture.data) for picture in shown]
    test = hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:12]
    date = today or datetime.date.today()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadInput(f"{folder}: is not empty; give a new folder, so that no test is written over")
        for number, picture in enumerate(shown, 1):
            (folder / f"{number:03d}.png").write_bytes(picture.data)
        (folder / "answers.csv").write_text(_empty(test, len(shown)), encoding="utf-8")
        (folder / "README.txt").write_text(README.format(test=test, date=date), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); give another --manual DIR") from None
    key = {
        "format": FORMAT,
        "test": test,
        "written": date.isoformat(),
        "seed": seed,
        "pictures": [
            {"picture": n, "subject": p.subject, "kind": p.kind, "mask": p.mask, "sha256": d.hexdigest()}
            for n, (p, d) in enumerate(zip(shown, digests, strict=True), 1)
        ],
    }
    run.put(key_of(test), _json(key))
    return test


def import_answers(
    run: Store, path: Path, tester: str, date: datetime.date, service: str, version: str
) -> dict[str, Any]:
    """Read a filled-in answers.csv, keep it as it is with who, when and what, and count it by class.

    :raises BadInput: for a file that is no answer to a test of this run, naming the line.
    """
    try:
        raw = decode_lines(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); give the filled-in answers.csv") from None
    for name, value in (("--tester", tester), ("--service", service)):
        if not value.strip():
            raise BadInput(f"{name}: is empty; answers are kept with who asked what")
        if not value.isprintable():
            raise BadInput(f"{name}: expected one line of text in UTF-8")
    try:
        test, answers = _parsed(raw, path)
    except csv.Error as error:
        raise BadInput(f"{path}: not a CSV file ({error}); give the filled-in answers.csv") from None
    key = read_key(run, test, path)
    known = {entry["picture"]: entry for entry in key["pictures"]}
    strange = sorted(set(answers) - set(known))
    if strange:
        raise BadInput(f"{path}: picture {strange[0]} is not in test {test}, which has {len(known)}")
    digest = hashlib.sha256(raw.encode()).hexdigest()
    found = {
        "format": FORMAT,
        "test": test,
        "tester": tester,
        "date": date.isoformat(),
        "service": service,
        "datamask": version,
        "sha256": digest,
        "answered": len(answers),
        "of": len(known),
        "rates": _rates(answers, known),
        "raw": raw,
    }
    run.put(f"verify/manual/{test}/answers-{digest[:12]}.json", _json(found))
    return found


def _rates(answers: Mapping[int, tuple[bool, str]], known: Mapping[int, Mapping[str, Any]]) -> list[Any]:
    """How often a face was seen and somebody named: for each class, and for each subject."""
    rows = []
    groups = dict.fromkeys((f, entry[f]) for f in ("kind", "subject") for entry in known.values())
    for field, value in groups:
        own = [answer for number, answer in answers.items() if known[number][field] == value]
        if own:
            rows.append(
                {
                    "by": field,
                    "of": value,
                    "face": asdict(wilson_rate(sum(face for face, _ in own), len(own))),
                    "named": asdict(wilson_rate(sum(bool(person) for _, person in own), len(own))),
                    "names": sorted({person for _, person in own if person}),
                }
            )
    return rows


def _parsed(raw: str, path: Path) -> tuple[str, dict[int, tuple[bool, str]]]:
    """Test id, and for each answered picture whether a face was seen and who was named."""
    test, rows = answered_rows(raw, path)
    return test, {n: (row["face"] == YES[0], (row["person"] or "").strip()) for n, row in rows.items()}


def answered_rows(raw: str, path: Path) -> tuple[str, dict[int, dict[str, str]]]:
    """The rows of an answers.csv that have an answer, by picture, with ``face`` as yes or no; and the test.

    :raises BadInput: naming the line that is wrong. :raises csv.Error: for what is no CSV.
    """
    reader = csv.DictReader(io.StringIO(raw))
    if reader.fieldnames is None or not set(NEEDED) <= set(reader.fieldnames):
        raise BadInput(f"{path}: expected the columns {', '.join(COLUMNS)} in its first line")
    tests: set[str] = set()
    rows: dict[int, dict[str, str]] = {}
    for line, row in enumerate(reader, 2):
        face = (row["face"] or "").strip().lower()
        if not face:
            continue  # not shown: it does not count
        if face not in YES + NO:
            raise BadInput(f"{path}, line {line}: face is {row['face']!r}, expected yes or no (or nothing)")
        try:
            number = int(row["picture"] or "")
        except ValueError:
            raise BadInput(
                f"{path}, line {line}: picture is {row['picture']!r}, expected its number"
            ) from None
        if number in rows:
            raise BadInput(f"{path}, line {line}: picture {number} is answered twice; keep one line")
        tests.add((row["test"] or "").strip())
        rows[number] = {**row, "face": YES[0] if face in YES else NO[0]}
    if not rows:
        raise BadInput(f"{path}: no picture is answered; write yes or no under face")
    if len(tests) != 1:
        raise BadInput(f"{path}: holds several tests ({', '.join(sorted(tests))}); import each by itself")
    return tests.pop(), rows


def read_key(run: Store, test: str, path: Path) -> dict[str, Any]:
    """The key of a test that a file of answers names. :raises BadInput: where it is none of this run's."""
    if not test.isalnum():
        raise BadInput(f"{path}: {test!r} is not the id of a test")
    try:
        return dict(json.loads(run.get(key_of(test))))
    except ObjectMissing:
        raise BadInput(f"{path}: test {test} is not of {run.url}; give the run it came from") from None
    except ValueError:
        raise CorruptData(f"{run.url}/{key_of(test)}: damaged; restore it from a copy of the run") from None


def key_of(test: str) -> str:
    """Where the key of a test stands in its run."""
    return f"verify/manual/{test}/key.json"


def _empty(test: str, count: int) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([test, number, *[""] * (len(COLUMNS) - 2)] for number in range(1, count + 1))
    return buffer.getvalue()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
