"""What a cross-check needs to know of a run, read from its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coordinator.record.evaluations import FIRST, best_of_first, no_elite, read_genomes, read_rows
from coordinator.record.record import Record, checkpoint_key
from coordinator.search.elites import choose_elites
from coordinator.search.seeds import verify_seed
from coordinator.spec.machines import weights_of
from coordinator.spec.spec import Spec, parse_spec
from services.errors import BadInput
from services.recognition.catalog import installed, model_info
from services.recognition.kinds import IDENTITY
from services.recognition.photos import photo_folder
from services.wire.mask import Mask, decode_masks
from services.wire.objects import read_target

if TYPE_CHECKING:
    from worker.examination.verify import Claim


@dataclass(frozen=True)
class Verified:
    """A run that can be looked at: its spec and its elites, best first."""

    record: Record
    spec: Spec
    elites: tuple[Mask, ...]


def open_verified(record: Record) -> Verified:
    """Read a run's spec and elites.

    :raises BadInput: where there is no run, or it has no elite yet.
    """
    table = record.spec_table()
    table.pop("versions", None)
    spec = parse_spec(table, f"{record.url}/run.toml")
    head = record.head()
    key = checkpoint_key(head.epoch, "elites")
    ranked = (
        decode_masks(record.part(key, head.parts[key]), f"{record.url}/{key}") if key in head.parts else []
    )
    if not ranked:
        raise BadInput(no_elite(record))
    return Verified(record, spec, tuple(choose_elites(ranked, spec.elites.count)))


def claim_of(
    run: Verified, critics: Sequence[str] = (), masks: Sequence[str] = (), targets: Sequence[Path] = ()
) -> Claim:
    """What a run claims. critics: more than its spec names. masks: only these elites.

    targets: photos of the person, for recognizers that the run holds no embeddings of. Critics of the spec
    whose weights are not here are named, and left out.

    :raises BadInput: for a critic that is an objective, or a mask that is no elite.
    """
    from worker.examination.verify import Claim

    spec, record = run.spec, run.record
    fitted = tuple(dict.fromkeys(o.model for o in spec.objective))
    manifest = record.manifest()
    hashes = {name: entry["sha256"] for name, entry in manifest["models"].items()}
    used = {hashes[name]: name for name in fitted if hashes.get(name)}
    for critic in critics:
        same = critic if critic in fitted else used.get(weights_of(model_info(critic, needed=False)))
        if same is not None:
            raise BadInput(
                f"--critic {critic}: "
                + ("it is" if same == critic else f"it has the weights of {same},")
                + " an objective of this run; a critic must take no part in the search"
            )
    chosen = elites_of(run, masks)
    infos = [model_info(name, hashes.get(name), needed=False) for name in spec.verify.critics]
    gone = [info for info in infos if info.kind == "unknown" or not installed(info)]
    absent = {info.name: info.how_to_get for info in gone if info.name not in critics}
    asked = [name for name in dict.fromkeys([*spec.verify.critics, *critics]) if name not in absent]
    references: dict[str, list[NDArray[np.float32]]] = {}
    filters: dict[str, NDArray[np.float32]] = {}
    for objective, entry in zip(spec.objective, manifest["objectives"], strict=True):
        if entry["target"] is None:
            continue
        if objective.known is IDENTITY:
            found = read_target(record.store, entry["target"])
            references.setdefault(objective.model, []).append(found)
        elif objective.known.machine == "correlate":
            filters[objective.model] = read_target(record.store, entry["target"])
    if targets:
        if not references:
            raise BadInput("--target: this run has no identity objective, so nobody to compare with")
        from worker.examination.targets import embed_photos

        for name in ["dlib-resnet", *(name for name in asked if model_info(name).kind == "recognize")]:
            references.setdefault(name, [embed_photos(targets, name)])
    return Claim(
        basis=spec.mask.basis,
        elites=[(mask.id, np.asarray(mask.genome, np.float32)) for mask in chosen],
        ranges=spec.views.ranges(),
        spread=spec.mask.spread,
        seed=verify_seed(spec.seed),
        fitted=fitted,
        critics=tuple(asked),
        hashes=hashes,
        targets={name: np.concatenate(found) for name, found in references.items()},
        filters=filters,
        absent=absent,
        first=_first(record),
        noise=spec.verify.noise,
        limit=spec.mask.limit,
    )


def _first(record: Record) -> tuple[str, NDArray[np.float32]] | None:
    """The best mask of generation 0, where one was scored."""
    name = best_of_first(read_rows(record, FIRST))
    return None if name is None else (name, read_genomes(record, [name])[name])


def elites_of(run: Verified, masks: Sequence[str]) -> list[Mask]:
    """The elites of these ids, or all of them. :raises BadInput: for an id that is none."""
    known = {mask.id: mask for mask in run.elites}
    for name in masks:
        if name not in known:
            raise BadInput(f"--mask {name}: not an elite of this run; its elites are {', '.join(known)}")
    return [known[name] for name in masks] if masks else list(run.elites)


def printed_photos(folder: Path, run: Verified) -> dict[str, list[Path]]:
    """Photographs of printed masks: ``FOLDER/<mask id>/*.jpg``.

    :raises BadInput: where there are none, or a subfolder is not named after an elite.
    """
    known = {mask.id for mask in run.elites}
    found: dict[str, list[Path]] = {}
    for photo in photo_folder(folder):
        if photo.person not in known:
            raise BadInput(
                f"{photo.path}: expected {folder}/<mask id>/*.jpg with the mask's id, one of "
                f"{', '.join(sorted(known))}"
            )
        found.setdefault(photo.person, []).append(photo.path)
    return found
