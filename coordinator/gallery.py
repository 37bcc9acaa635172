"""A gallery of machines: one mask bred for each detector of a spec, and what the others make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coordinator.record.record import Record
from coordinator.record.verification import open_verified
from coordinator.spec.spec import Spec, parse_spec
from services.errors import BadInput, CorruptData
from services.exhibition.controls import controls_beside
from services.names import usable_name
from services.recognition.catalog import model_info
from services.recognition.kinds import DETECT
from services.storage.store import Store
from services.wire.page_plan import audit_of, read_json

FORMAT = 1
FILE = "gallery.json"  # the gallery's own record: which run was bred for which machine, and the matrix


def each_alone(spec: Spec, where: str) -> dict[str, Spec]:
    """A spec for each machine, by its name: the same but for its objectives, of which one is left.

    The other machines become critics, so that they are asked about the masks when the run ends. Seed, basis
    and start are the same: every search begins in the same noise.

    :raises BadInput: for a spec with fewer than two detectors, or with something else.
    """
    wrong = next((o.kind for o in spec.objective if o.kind != DETECT.name), None)
    if wrong is not None:
        raise BadInput(
            f"{where}: a gallery breeds one mask for each detector; its objectives are of kind 'detect', "
            f"and here one is of kind '{wrong}'"
        )
    names = [o.model for o in spec.objective]
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadInput(
            f"{where}: a gallery takes two detectors or more, each once; this spec has {', '.join(names)}"
        )
    for table, given in (("archive", spec.archive), ("pareto", spec.pareto), ("breed", spec.breed)):
        if given is not None:
            raise BadInput(f"{where}: each run of a gallery is for one machine; take [{table}] out")
    whole, made = spec.table(), {}
    for name, objective in zip(names, whole["objective"], strict=True):
        others = [n for n in names if n != name and "critic" in model_info(n, needed=False).roles]
        critics = list(dict.fromkeys([*others, *whole["verify"]["critics"]]))
        alone = {**whole, "objective": [objective], "verify": {**whole["verify"], "critics": critics}}
        made[name] = parse_spec(alone, where)
    return made


def run_name(gallery: str, machine: str) -> str:
    """What the run bred for a machine is called."""
    return f"{gallery}-{usable_name(machine)}"


def begin(gallery: Store, spec: Spec, runs: dict[str, str], resume: bool) -> None:
    """Write which run is bred for which machine, or check that it was begun so.

    :raises BadInput: if the gallery is there and is not to go on, or is one of other machines.
    """
    told = {"format": FORMAT, "name": spec.name, "seed": spec.seed, "runs": runs}
    if gallery.exists(FILE):
        if not resume:
            raise BadInput(
                f"{gallery.url}: a gallery of this name exists; add --resume to go on, or take another --run"
            )
        if read_gallery(gallery)["runs"] != runs:
            raise BadInput(f"{gallery.url}: this gallery was begun for other machines; take another --run")
        return
    gallery.put(FILE, _json(told))


def read_gallery(gallery: Store) -> dict[str, Any]:
    """What a gallery's record says. :raises CorruptData: where it says nothing."""
    found = read_json(gallery, FILE)
    if not isinstance(found, dict) or not isinstance(found.get("runs"), dict):
        raise CorruptData(f"{gallery.url}/{FILE}: damaged; restore it from a copy")
    return found


def matrix(place: Store, runs: Mapping[str, str]) -> dict[str, Any]:
    """Bred for x seen by, from the audits at the runs' ends.

    :returns: ``machines``; ``views``; ``rows``: one a run, with ``bred_for``, ``run``, ``mask`` and ``hits``:
        in how many views of the mask each machine sees a face; ``controls``: the same of noise and of the
        basis as it is, with ``of``: the number of views; what no audit has asked is left out.
    :raises BadInput: where a run has no audit yet.
    """
    machines = list(runs)
    rows: list[dict[str, Any]] = []
    controls: dict[str, dict[str, Any]] = {}
    views = 0
    for name, run in runs.items():
        store = place.sub(run)
        mask = open_verified(Record(store)).elites[0].id
        audit = audit_of(store, mask)
        if audit is None:
            raise BadInput(f"{store.url}: its end has not been looked at yet; go on with --resume")
        views = int(audit["views"])
        said = {**(audit.get("critics") or {}), **(audit.get("judges") or {})}
        said.setdefault("dlib-hog", audit["hog_rate"])
        hits = {m: round(said[m] * views) for m in machines if m in said}
        rows.append({"bred_for": name, "run": run, "mask": mask, "hits": hits})
        told = controls_beside((read_json(store, "audit.json") or {}).get("controls"))
        for machine in machines:
            for subject, (seen, of) in told.get(machine, {}).items():
                if subject != "first generation's best":  # each run has its own
                    controls.setdefault(subject, {})[machine] = {"hits": seen, "of": of}
    return {"machines": machines, "views": views, "rows": rows, "controls": controls}


def finish(gallery: Store, found: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the matrix in the gallery's record; returns all that it says."""
    told = {**read_gallery(gallery), **found}
    gallery.put(FILE, _json(told))
    return told


def _json(told: dict[str, Any]) -> bytes:
    return (json.dumps(told, indent=1, allow_nan=False) + "\n").encode()
