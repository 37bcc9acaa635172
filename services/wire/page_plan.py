"""What a run's page, film and sheets are made from: its facts, and the genomes of the masks they show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.recognition.statistics.controls import against
from services.storage.store import ObjectMissing, Store

Float = NDArray[np.float32]

_WANTED = {"png", "webp", "mp4", "glb", "stl", "3mf", "obj", "ply", "parquet", "toml", "json", "csv"}
_HIDDEN = ("batches/", "scores/", "failures/", "checkpoints/", "rankings/", "targets/")


@dataclass(frozen=True)
class PagePlan:
    """facts: JSON values that the page shows, see docs/exhibition.md. genomes: float32 (d,) by mask id.

    work: what only the making needs: ``ranges`` of the views, ``held_out_views``, ``audit_seed``, ``target``
    (a key or None), ``thresholds`` by model, ``judges``, ``critics`` and ``research_only``: names of models,
    ``controls``: how many ``noise`` masks of which ``spread`` and ``limit``, and who was ``first``.
    """

    facts: Mapping[str, Any]
    genomes: Mapping[str, Float]
    work: Mapping[str, Any]

    def packed(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and JSON values: whoever makes the page may sit on another machine."""
        names = sorted(self.genomes)
        arrays = {"genomes": np.stack([self.genomes[n] for n in names])} if names else {}
        return arrays, {"ids": names, "facts": dict(self.facts), "work": dict(self.work)}

    @classmethod
    def unpacked(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> PagePlan:
        """The inverse of :meth:`packed`. Raises KeyError, TypeError or ValueError where a part is missing."""
        rows = arrays.get("genomes", np.zeros((0, 0), np.float32))
        return cls(meta["facts"], dict(zip(meta["ids"], rows, strict=True)), meta["work"])


def visitors_files(run: Store, shown: Set[str]) -> list[str]:
    """Keys that a visitor may want to take along; of masks those that are shown: a run may keep thousands."""
    keys = [key for key in run.list("") if key.rpartition(".")[2].lower() in _WANTED]
    keys = [key for key in keys if not key.startswith("masks/") or key.split("/")[1] in shown]
    return [
        key for key in keys if not key.startswith(_HIDDEN) and key not in ("beat.json", "exhibition.json")
    ]


def read_json(run: Store, key: str) -> Any:
    """A JSON object of the record, or None where there is none or it is damaged: a page goes without it."""
    try:
        return json.loads(run.get(key))
    except (ObjectMissing, ValueError):
        return None


def controls_of(run: Store) -> dict[str, Any] | None:
    """The best elite beside its controls, from the run's verification, else from the audit at its end.

    :returns: as :func:`services.recognition.statistics.controls.against`, with ``views``, ``by`` (which
        command asked) and ``question`` (whom matches are with, "target" or "itself"); None where no control
        was asked about. Verifications of earlier versions have the rows alone.
    """
    for key, by in (("verify/verify.json", "datamask verify"), ("audit.json", "datamask evolve")):
        found = read_json(run, key)
        if not isinstance(found, dict):
            continue
        try:
            told = found["controls"] if "controls" in found else against(found.get("rows", ()))
            if told:
                question = found.get("question", "target")
                return {"by": by, "views": found["views"], "question": question, **told}
        except (KeyError, TypeError, AttributeError):  # of no version of ours
            continue
    return None


def audit_of(run: Store, mask: str) -> dict[str, Any] | None:
    """What the audit said of a mask, or None."""
    found = read_json(run, f"masks/{mask}/audit.json")
    return found if isinstance(found, dict) else None
