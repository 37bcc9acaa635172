"""A spec as a file, with what the command line changes in it."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coordinator.spec.calibrated import calibrated
from coordinator.spec.spec import Spec, parse_spec
from services.errors import BadInput
from services.recognition import files
from services.recognition.kinds import IDENTITY, KINDS


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
    :raises BadInput: with one line that names the file, the key, what was expected and how to mend it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(
            f"{path}: no such spec file; start from one in examples/, e.g. examples/archetype.toml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: the spec cannot be read: {error}; expected a TOML text file") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML: {error}") from None
    for override in overrides:
        apply_override(data, override)
    if seed is not None:
        data["seed"] = seed
    data.setdefault("name", path.stem)
    _take_targets(data, targets, path)
    _take_models(data, path)
    _take_calibrations(data, path)
    if consent is not None:
        given = data.get("consent", {})
        data["consent"] = {
            "subject": "unnamed",
            **given,
            "granted_by": consent,
            "purpose": given.get("purpose", consent),
        }
    spec = parse_spec(data, str(path))
    expires = spec.consent.expires if spec.consent else None
    if expires is not None and expires < (today or datetime.date.today()):
        raise BadInput(f"{path}: [consent] expires = {expires} has passed; renew the consent before going on")
    return spec


def _take_targets(data: dict[str, Any], targets: Sequence[str], path: Path) -> None:
    objectives = data.get("objective")
    if not isinstance(objectives, list):
        return
    photographed = [o for o in objectives if isinstance(o, dict) and "images" in o]
    identity = [o for o in objectives if isinstance(o, dict) and o.get("kind") == IDENTITY.name]
    if targets:
        if not identity:
            raise BadInput(f'{path}: --target needs an [[objective]] of kind "identity" in the spec')
        for objective in identity:
            objective["images"] = [str(Path(t).absolute()) for t in targets]
        return
    for objective in photographed:
        images = objective.get("images")
        if isinstance(images, list) and all(isinstance(i, str) for i in images):
            objective["images"] = [
                i if i.startswith("skimage:") or Path(i).is_absolute() else str((path.parent / i).absolute())
                for i in images
            ]


def _take_models(data: dict[str, Any], path: Path) -> None:
    """Remember where the spec's own model files lie, and call them by file name only from here on."""
    places: dict[str, Path] = {}

    def named(name: Any) -> Any:
        if not isinstance(name, str) or not name.startswith("onnx:"):
            return name
        there = (path.parent / name.removeprefix("onnx:")).absolute()
        if there.is_file():
            if places.setdefault(there.name, there) != there:
                raise BadInput(f"{path}: {there} and {places[there.name]} have one name; rename one of them")
            files.know(there)
        return f"onnx:{there.name}"

    for objective in data.get("objective", []) if isinstance(data.get("objective"), list) else []:
        if isinstance(objective, dict) and "model" in objective:
            objective["model"] = named(objective["model"])
    for table, key in (("verify", "critics"), ("licence", "acknowledge")):
        listed = data[table].get(key) if isinstance(data.get(table), dict) else None
        if isinstance(listed, list):
            data[table][key] = [named(name) for name in listed]
    if isinstance(data.get("models"), dict):
        data["models"] = {named(name): said for name, said in data["models"].items()}


def _take_calibrations(data: dict[str, Any], path: Path) -> None:
    """Fill in threshold and scale where an objective names a false accept rate: the run records them."""
    objectives = data.get("objective")
    for objective in objectives if isinstance(objectives, list) else []:
        far = objective.get("far") if isinstance(objective, dict) else None
        if not isinstance(far, (int, float)) or not isinstance(objective.get("model"), str):
            continue
        kind = KINDS.get(str(objective.get("kind")))
        if kind is None or kind.machine != "recognize":  # the spec refuses those
            continue
        for key in ("threshold", "scale"):
            if key in objective:
                raise BadInput(
                    f"{path}: [objective] far and {key} both say what {key} is; leave one of them out"
                )
        file = objective.get("calibration")
        if isinstance(file, str):
            objective["calibration"] = str((path.parent / file).absolute())
        photographed = bool(objective.get("images"))
        objective |= calibrated(objective["model"], float(far), objective.get("calibration"), photographed)


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one value of a spec's plain tables: ``table.key=value``. :raises BadInput: where it cannot be."""
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise BadInput(f"--set {override}: expected table.key=value, e.g. --set search.generations=10")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *path, last = key.strip().split(".")
    node: Any = data
    for step in path:
        if isinstance(node, list):
            if not step.isdigit() or int(step) >= len(node):
                raise BadInput(
                    f"--set {override}: there is no entry '{step}' (there are {len(node)}, counted from 0)"
                )
            node = node[int(step)]
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
