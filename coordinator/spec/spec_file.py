"""A spec as a file, with what the command line changes in it."""

from __future__ import annotations

import copy
import datetime
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from coordinator.spec.calibrated import calibrated
from coordinator.spec.spec import RANGE_NAMES, Spec, parse_spec, spec_faults, told
from services.errors import BadInput, reason_of
from services.names import SPEC_NAME_MOST, name_fault, usable_name
from services.recognition import files
from services.recognition.kinds import IDENTITY, KINDS
from services.text_file import decode_text

Change = tuple[str, Callable[[dict[str, Any]], None]]  # what the user wrote, and what it does to the table


def load_spec(
    path: Path,
    *,
    seed: int | None = None,
    targets: Sequence[str] = (),
    consent: str | None = None,
    overrides: Sequence[str] = (),
    today: datetime.date | None = None,
) -> Spec:
    """Read and check a spec file, with the command line's overrides applied.

    :param overrides: ``table.key=value`` strings; the value is TOML, or else taken as text.
    :param targets: reference photos for the identity objectives (they replace ``images``).
    :param consent: fills ``granted_by`` and ``purpose`` where the spec has no consent table.
    :raises BadInput: with one line that names the file or the option, the key, what was expected and how to
        mend it.
    """
    known = name_fault(path.stem, SPEC_NAME_MOST) is None
    table = {"name": path.stem if known else usable_name(path.stem) or "run", **_read_table(path)}
    return filled_spec(table, path, seed, targets, consent, overrides, today)


def filled_spec(
    table: Mapping[str, Any],
    path: Path,
    seed: int | None = None,
    targets: Sequence[str] = (),
    consent: str | None = None,
    overrides: Sequence[str] = (),
    today: datetime.date | None = None,
) -> Spec:
    """Check a spec's table as :func:`load_spec` does; ``path`` is its file, beside which pictures lie."""
    try:
        _check_moderate(table)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None
    changes = override_changes(overrides)
    if seed is not None:
        changes.append((f"--seed {seed}", lambda data: data.update(seed=seed)))
    if targets:
        changes.append(("--target", lambda data: _take_targets(data, targets)))
    if consent is not None:
        changes.append(("--consent", lambda data: _take_consent(data, consent)))

    def filled(data: dict[str, Any]) -> dict[str, Any]:
        if not targets:
            _place_images(data, path)
        _take_models(data, path)
        _take_calibrations(data, path)
        return data

    data = changed(table, changes, str(path), filled)
    spec = parse_spec(data, str(path))
    across = [o.kind for o in spec.objective if o.known.across_views]
    if spec.elites.ranking_views < 2 and across:  # runs that were begun with one can be read
        raise BadInput(
            f"{path}: [elites] ranking_views must be 2 or more for an objective of kind '{across[0]}'"
        )
    expires = spec.consent.expires if spec.consent else None
    if expires is not None and expires < (today or datetime.date.today()):
        raise BadInput(f"{path}: [consent] expires = {expires} has passed; renew the consent before going on")
    return spec


def _read_table(path: Path) -> dict[str, Any]:
    try:
        text = decode_text(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(
            f"{path}: no such spec file; start from one in examples/, e.g. examples/noise.toml"
        ) from None
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path}: the spec cannot be read: {reason_of(error)}; expected a TOML text file"
        ) from None
    try:
        return _toml(text)
    except ValueError as error:
        raise BadInput(f"{path}: not valid TOML: {error}") from None


def _toml(text: str) -> dict[str, Any]:
    """A TOML table. :raises ValueError: where it is none, or holds what no TOML reader needs to take."""
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    _check_moderate(table)
    return table


def _check_moderate(table: Mapping[str, Any]) -> None:
    """:raises ValueError: where it holds what no TOML reader needs to take."""
    for key, value in table.items():
        if not _is_moderate(value):
            raise ValueError(f"{key!r:.80} holds a whole number of more than 64 bits")


def _is_moderate(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_moderate, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_moderate, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def override_changes(overrides: Sequence[str]) -> list[Change]:
    """What ``--set`` options do, in their order."""
    return [(f"--set {text}", partial(apply_override, override=text)) for text in overrides]


def changed(
    table: Mapping[str, Any],
    changes: Sequence[Change],
    where: str,
    filled: Callable[[dict[str, Any]], dict[str, Any]] = lambda data: data,
) -> dict[str, Any]:
    """A copy of a spec's table with the changes made.

    :param filled: completes a table; may raise BadInput.
    :raises BadInput: for a spec that does not hold, naming what brought the fault in: a change, or ``where``.
    """

    def after(count: int) -> dict[str, Any]:
        data = copy.deepcopy(dict(table))
        for _, change in changes[:count]:
            change(data)
        return data

    def tried(count: int) -> tuple[dict[str, Any], list[str]]:
        data = after(count)
        try:
            data = filled(data)
            return data, spec_faults(data)
        except BadInput as error:
            return data, [str(error)]

    data, found = tried(len(changes))
    if not found:
        return data
    guilty = len(changes)
    while guilty and found[0] in tried(guilty - 1)[1]:
        guilty -= 1
    raise BadInput(f"{changes[guilty - 1][0] if guilty else where}: {told(found)}")


def _take_targets(data: dict[str, Any], targets: Sequence[str]) -> None:
    identity = [o for o in _objectives(data) if o.get("kind") == IDENTITY.name]
    if not identity:
        raise BadInput('--target needs an [[objective]] of kind "identity" in the spec')
    for objective in identity:
        objective["images"] = [str(Path(t).absolute()) for t in targets]


def _take_consent(data: dict[str, Any], consent: str) -> None:
    given = data.get("consent", {})
    if isinstance(given, dict):
        purpose = given.get("purpose", consent)
        data["consent"] = {"subject": "unnamed", **given, "granted_by": consent, "purpose": purpose}


def _place_images(data: dict[str, Any], path: Path) -> None:
    """Photos lie where the spec says, seen from its own folder."""
    for objective in _objectives(data):
        images = objective.get("images")
        if isinstance(images, list) and all(isinstance(i, str) for i in images):
            objective["images"] = [
                i if i.startswith("skimage:") or Path(i).is_absolute() else str((path.parent / i).absolute())
                for i in images
            ]


def _objectives(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    objectives = data.get("objective")
    return [o for o in objectives if isinstance(o, dict)] if isinstance(objectives, list) else []


def _take_models(data: dict[str, Any], path: Path) -> None:
    """Remember where the spec's own model files lie, and call them by file name only from here on."""
    places: dict[str, Path] = {}

    def named(name: Any) -> Any:
        if not isinstance(name, str) or not name.startswith("onnx:"):
            return name
        there = (path.parent / name.removeprefix("onnx:")).absolute()
        if files.is_file(there):
            if places.setdefault(there.name, there) != there:
                raise BadInput(f"{there} and {places[there.name]} have one name; rename one of them")
            files.know(there)
        return f"onnx:{there.name}"

    for objective in _objectives(data):
        if "model" in objective:
            objective["model"] = named(objective["model"])
    for table, key in (("verify", "critics"), ("licence", "acknowledge")):
        listed = data[table].get(key) if isinstance(data.get(table), dict) else None
        if isinstance(listed, list):
            data[table][key] = [named(name) for name in listed]
    if isinstance(data.get("models"), dict):
        data["models"] = {named(name): said for name, said in data["models"].items()}


def _take_calibrations(data: dict[str, Any], path: Path) -> None:
    """Fill in threshold and scale where an objective names a false accept rate: the run records them."""
    for objective in _objectives(data):
        _calibrate(objective, path.parent)


def _calibrate(objective: dict[str, Any], folder: Path) -> None:
    far = objective.get("far")
    if not isinstance(far, (int, float)) or not isinstance(objective.get("model"), str):
        return
    kind = KINDS.get(str(objective.get("kind")))
    if kind is None or kind.machine != "recognize":  # the spec refuses those
        return
    for key in ("threshold", "scale"):
        if key in objective:
            raise BadInput(f"[objective] far and {key} both say what {key} is; leave one of them out")
    file = objective.get("calibration")
    if isinstance(file, str):
        objective["calibration"] = str((folder / file).absolute())
    photographed = bool(objective.get("images"))
    objective |= calibrated(objective["model"], float(far), objective.get("calibration"), photographed)


def derived_anew(data: dict[str, Any], old: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A filled-in table with changes, and what follows from these: a recognizer's threshold and scale from
    another false accept rate, the ranges of views from another preset. What a change says itself stays.

    :param old: the table before the changes. folder: from where a calibration's file is sought.
    """
    for objective, before in zip(_objectives(data), _objectives(old), strict=False):
        says = [objective.get(key) == before.get(key) for key in ("far", "calibration", "model")]
        if objective.get("far") is not None and not all(says):
            _drop_same(objective, before, ("threshold", "scale"))
            _calibrate(objective, folder)
    views, before = data.get("views"), old.get("views", {})
    if isinstance(views, dict) and views.get("preset") != before.get("preset"):
        _drop_same(views, before, RANGE_NAMES)
    return data


def _drop_same(table: dict[str, Any], old: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        if key in table and table[key] == old.get(key):
            del table[key]


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one value of a spec's plain tables: ``table.key=value``. :raises BadInput: where it cannot be."""
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise BadInput(f"--set {override}: expected table.key=value, e.g. --set search.generations=10")
    value: Any = text.strip()
    try:
        parsed = _toml(f"v = {text}")
        if len(parsed) == 1:  # else the text went on after the value
            value = parsed["v"]
    except tomllib.TOMLDecodeError:
        pass
    except ValueError as error:
        raise BadInput(f"--set {override}: {error}") from None
    *path, last = key.strip().split(".")
    node: Any = data
    for step in path:
        if isinstance(node, list):
            numbered = {str(k): entry for k, entry in enumerate(node)}
            if step not in numbered:
                raise BadInput(
                    f"--set {override}: there is no entry '{step}' (there are {len(node)}, counted from 0)"
                )
            node = numbered[step]
        elif isinstance(node, dict):
            node = node.setdefault(step, {})
        else:
            raise BadInput(f"--set {override}: '{step}' is not a table of the spec")
    if not isinstance(node, dict):
        raise BadInput(f"--set {override}: '{'.'.join(path)}' is not a table of the spec")
    node[last] = value


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lines ``key: old -> new`` for every value in which two filled-in specs differ."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a!r} -> {b!r}")
    return lines
