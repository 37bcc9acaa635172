"""What many people answer to one test by hand: their files, read with care, and counted.

Whoever makes masks sees faces in them. Whether others do is asked of people who do not know which picture is
which, beside twins with scrambled signs, noise and heads.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.record.manual import COLUMNS, answered_rows, read_key
from services.errors import BadInput, reason_of
from services.numbers import finite
from services.recognition.statistics.people import (
    LEAST_MASKS,
    LEAST_RATERS,
    Counts,
    Interval,
    counts,
    places,
    sensitivity,
    share,
)
from services.storage.open import open_store
from services.storage.store import Store
from services.text_file import decode_lines

FORMAT = 1
LEAST_SHARE = 0.5  # of a test's pictures, that a rater has to have answered to count
GRID = 20  # columns A to T, rows 1 to 20, over a picture
MOST_BYTES = 10_000_000
# What a picture shows, in words, and what each stands against.
KINDS: Mapping[str, str] = {
    "elite": "masks that machines accept",
    "twin": "their twins with scrambled signs",
    "noise": "noise",
    "head": "heads",
    "neutral": "the basis as it is",
    "first": "best of generation 0",
}
AGAINST = (("elite", "twin"), ("elite", "noise"), ("head", "noise"), ("twin", "noise"))
OLDER = {"random": "head"}
NOTE = (
    "d' is 0 where people cannot tell, and 1 where they are right in 69% if they say face and no face "
    "equally often. Rates of 0 and 1 are corrected by half an answer (log-linear, Hautus 1995), which draws "
    "d' toward 0. Intervals: bootstrap over raters and masks. That people see faces where there are none is "
    "no news (Hamilton et al. 2024), and that they can guess what a machine would say (Zhou and Firestone "
    "2019) hangs on what they may choose from (Dujmović et al. 2020): so twins and noise stand beside it."
)

Point = tuple[float, float]


@dataclass(frozen=True)
class Told:
    """One rater's answers to a test. face: by picture. eyes: none, one or two places by picture, from left to
    right, as x and y in shares of its width and height.
    """

    rater: str
    test: str
    face: Mapping[int, bool]
    eyes: Mapping[int, tuple[Point, ...]]
    sha256: str


def read_answers(path: Path) -> Told:
    """Read a file of answers, CSV or JSON, as form.html saves it or as answers.csv was filled in.

    :raises BadInput: in one line, with the file and what is wrong in it.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, for ever
            raise BadInput(f"{path}: no file; give a rater's answers")
        if path.exists() and path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path}: {path.stat().st_size / 1e6:,.0f} MB is no file of answers")
        data = path.read_bytes()
        raw = decode_lines(data)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({reason_of(error)}); give a rater's answers") from None
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None
    if raw.lstrip().startswith("{"):
        raw = _as_csv(raw, path)
    try:
        test, rows = answered_rows(raw, path)
    except csv.Error as error:
        raise BadInput(f"{path}: not a CSV file ({error}); give a rater's answers") from None
    names = {name for row in rows.values() if (name := (row.get("rater") or "").strip())}
    if len(names) > 1:
        raise BadInput(
            f"{path}: holds several raters ({', '.join(sorted(names))}); give each in its own file"
        )
    eyes = {number: _eyes(row.get("eyes") or "", f"{path}: picture {number}") for number, row in rows.items()}
    face = {number: row["face"] == "yes" for number, row in rows.items()}
    return Told(names.pop() if names else path.stem, test, face, eyes, hashlib.sha256(data).hexdigest())


def _as_csv(raw: str, path: Path) -> str:
    """The rows of a JSON file, so that one reader judges both."""
    try:
        found = json.loads(raw)
        rows = [{**row, "test": found["test"], "rater": found.get("rater", "")} for row in found["answers"]]
        lines = [["" if row.get(name) is None else str(row[name]) for name in COLUMNS] for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadInput(f"{path}: damaged, or no file of answers; give the file that the form saved") from None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([COLUMNS, *lines])
    return text.getvalue()


def _eyes(text: str, where: str) -> tuple[Point, ...]:
    """Places as cells of the grid, ``H8 M8``, or in hundredths, ``37.5/36.0 62.5/36.2``."""
    found: list[Point] = []
    for word in re.split(r"[\s,;]+", text.strip()):
        cell = re.fullmatch(r"([A-Ta-t])(\d{1,2})", word)
        spot = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)/(\d{1,3}(?:\.\d+)?)", word)
        if word.lower() in ("", "-", "none", "no"):
            continue
        if cell is not None and 1 <= int(cell[2]) <= GRID:
            column, row = ord(cell[1].upper()) - ord("A"), int(cell[2]) - 1
            found.append(((column + 0.5) / GRID, (row + 0.5) / GRID))
        elif spot is not None and max(float(spot[1]), float(spot[2])) <= 100:
            found.append((float(spot[1]) / 100, float(spot[2]) / 100))
        else:
            raise BadInput(
                f"{where}: eyes is {text!r}, expected cells of the grid such as 'H8 M8' (A to T, 1 to {GRID})"
            )
    if len(found) > 2:
        raise BadInput(f"{where}: eyes is {text!r}, expected two places at most")
    return tuple(sorted(found))


def open_key(key: str, test: str, path: Path) -> dict[str, Any]:
    """The key of a test, from its file or from the run that it is of.

    :raises BadInput: where it is neither, or of another test.
    """
    file = Path(key)
    if not file.is_file():
        return read_key(_run(key), test, path)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        masks = [(int(p["picture"]), str(p["kind"]), str(p["subject"])) for p in found["pictures"]]
        name = str(found["test"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"--key {key}: not the key of a test; give verify/manual/TEST/key.json") from None
    if name != test or not masks:
        raise BadInput(f"{path}: answers test {test}, but --key {key} is of test {name}")
    return dict(found)


def _run(key: str) -> Store:
    store = open_store(key)
    if "run.toml" not in store.list("run.toml"):
        raise BadInput(f"--key {key}: no such key, and no run; give the run, or verify/manual/TEST/key.json")
    return store


def gathered(paths: Sequence[Path], key: str) -> tuple[dict[str, Any], list[Told], list[str]]:
    """The key, the raters that count, and a line for each file that does not.

    :raises BadInput: where none does.
    """
    told: dict[str, tuple[Path, Told]] = {}
    left_out: list[str] = []
    found: dict[str, Any] = {}
    for path in paths:
        try:
            one = read_answers(path)
            found = found or open_key(key, one.test, path)
            _check(one, found, path, told)
        except BadInput as error:
            if str(error).startswith("--key"):
                raise
            left_out.append(str(error))
            continue
        told[one.rater] = (path, one)
    if not told:
        more = f" (and {len(left_out) - 1} more like it)" if len(left_out) > 1 else ""
        raise BadInput(left_out[0] + more)
    return found, [one for _, one in told.values()], left_out


def _check(one: Told, key: Mapping[str, Any], path: Path, told: Mapping[str, tuple[Path, Told]]) -> None:
    """:raises BadInput: where a file does not count beside the others."""
    if one.test != key["test"]:
        raise BadInput(f"{path}: answers test {one.test}, the others test {key['test']}; count it by itself")
    numbers = {int(p["picture"]) for p in key["pictures"]}
    if strange := sorted(set(one.face) - numbers):
        raise BadInput(f"{path}: picture {strange[0]} is not in test {one.test}, which has {len(numbers)}")
    if one.rater in told:
        raise BadInput(f"{path}: rater {one.rater!r} has answered in {told[one.rater][0]} already")
    for other, before in told.values():
        if one.sha256 == before.sha256:
            raise BadInput(f"{path}: the same file as {other}")
    if len(one.face) < LEAST_SHARE * len(numbers):
        raise BadInput(
            f"{path}: {len(one.face)} of {len(numbers)} pictures are answered, less than half; "
            "it does not count"
        )


def counted(key: Mapping[str, Any], told: Sequence[Told]) -> dict[str, Any]:
    """Everything that the answers say, as JSON values: rates by kind, d' of pairs of kinds, eyes, claims."""
    pictures = sorted(key["pictures"], key=lambda p: int(p["picture"]))
    numbers = [int(p["picture"]) for p in pictures]
    kinds = [OLDER.get(p["kind"], p["kind"]) for p in pictures]
    masks = [str(p.get("mask") or p["subject"]) for p in pictures]
    said = np.array([[float(t.face[n]) if n in t.face else np.nan for n in numbers] for t in told])
    eyes = np.full((len(told), len(numbers), 2, 2), np.nan)
    marked = np.zeros((3, len(numbers)), np.int64)
    for r, one in enumerate(told):
        for p, n in enumerate(numbers):
            if one.face.get(n):
                marked[len(one.eyes[n]), p] += 1
                if len(one.eyes[n]) == 2:
                    eyes[r, p] = one.eyes[n]
    rows, counts_by, eyes_by = {}, {}, {}
    for kind in dict.fromkeys([*KINDS, *kinds]):
        where = [p for p, k in enumerate(kinds) if k == kind]
        if not where or not np.isfinite(said[:, where]).any():
            continue
        own = [masks[p] for p in where]
        counts_by[kind] = counts(said[:, where], own)
        rows[kind] = {
            "pictures": len(where),
            "masks": len(set(own)),
            "answers": int(np.isfinite(said[:, where]).sum()),
            "face": _told(share(counts_by[kind])),
        }
        put = places(eyes[:, where], own)
        none, one_eye, two = (int(marked[k, where].sum()) for k in range(3))
        eyes_by[kind] = {
            "none": none,
            "one": one_eye,
            "two": two,
            "pictures": put.pictures,
            "same": _told(put.same),
            "other": _told(put.other),
        }
    against = [_apart(counts_by, *pair) for pair in AGAINST if set(pair) <= set(counts_by)]
    return {
        "format": FORMAT,
        "test": key["test"],
        "raters": len(told),
        "least_raters": LEAST_RATERS,
        "least_masks": LEAST_MASKS,
        "kinds": rows,
        "against": against,
        "eyes": eyes_by,
        "says": claims(len(told), against, {kind: found.hits.shape[1] for kind, found in counts_by.items()}),
        "note": NOTE,
    }


def claims(raters: int, against: Sequence[Mapping[str, Any]], masks: Mapping[str, int]) -> list[str]:
    """What may be said, in words: of fewer than LEAST_RATERS nothing about people, of fewer than LEAST_MASKS
    nothing about others like them.

    :param masks: how many of each kind were shown.
    """
    if raters < LEAST_RATERS:
        answered = "rater has" if raters == 1 else "raters have"
        return [
            f"{raters} {answered} answered. Nothing is claimed of people before {LEAST_RATERS} have: these "
            "figures tell how these answered, and no more."
        ]
    lines, of_few = [], False
    for row in against:
        shown = [masks[row[side]] for side in ("signal", "control")]
        few = min(shown) < LEAST_MASKS
        of_few |= few
        d, low, high = (row["of_these" if few else "d_prime"][part] for part in ("value", "low", "high"))
        signal, control = KINDS[row["signal"]], KINDS[row["control"]]
        figures = f"d' {d:+.2f} ({low:+.2f} to {high:+.2f}), {raters} raters"
        if few:
            figures += f", of these {shown[0]} and {shown[1]} masks alone"
        if low > 0:
            lines.append(f"People see a face in {signal} more often than in {control}: {figures}.")
        elif high < 0:
            lines.append(f"People see a face in {signal} less often than in {control}: {figures}.")
        else:
            lines.append(f"Whether people tell {signal} from {control} is not known: {figures}.")
    if of_few:
        lines.append(
            f"Nothing is claimed of other masks like these before {LEAST_MASKS} of a kind are shown."
        )
    return lines


def _apart(kinds: Mapping[str, Counts], signal: str, control: str) -> dict[str, Any]:
    found = sensitivity(kinds[signal], kinds[control])
    return {
        "signal": signal,
        "control": control,
        "d_prime": _told(found.d_prime),
        "of_these": _told(found.of_these),
        "bias": _told(found.bias),
        "each": [finite(value, 3) for value in found.each],
    }


def _told(interval: Interval) -> dict[str, Any]:
    return {name: finite(value, 4) for name, value in asdict(interval).items()}
