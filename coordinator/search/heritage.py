"""From chosen masks of a run to the spec of the run that is bred from them."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.record.evaluations import read_genomes, read_rows
from coordinator.record.record import Record
from coordinator.run import Heritage
from coordinator.search.breeding import Breeding, lineage
from coordinator.spec.spec import Spec, parse_spec
from coordinator.spec.spec_file import Change, changed, derived_anew, override_changes
from services.errors import BadInput
from services.shape.catalog import basis_info
from services.wire.objects import read_target
from services.words import nearest

MOST_NEAR = 0.5  # gene units; children of one mean lie about 0.7 apart at the usual step

Float = NDArray[np.float32]


def heritage_of(
    parent: Record,
    masks: Sequence[str],
    pinned: Sequence[str] = (),
    vetoed: Sequence[str] = (),
    veto_distance: float = MOST_NEAR,
) -> Heritage:
    """What the masks of a run hand down.

    :raises BadInput: for a mask that the run has not, for one that is to be kept and kept out, or where the
        run's masks are of another version of the basis than the one here.
    """
    manifest, spec = parent.manifest(), parent.spec_table()
    basis, had = basis_info(spec["mask"]["basis"]), manifest["basis"]
    if basis.sha256 != had["sha256"]:
        raise BadInput(
            f"{parent.url}: its masks are of basis {had['id']} with sha256 {had['sha256'][:12]}, here it is "
            f"{basis.sha256[:12]}; use the datamask version that the run was started with"
        )
    both = sorted({*masks, *pinned} & set(vetoed))
    if both:
        raise BadInput(f"--veto {both[0]}: it is also to be bred from, or pinned; choose one")
    ids = list(dict.fromkeys([*masks, *pinned, *vetoed]))
    found = _genomes(parent, ids)
    genes = len(basis.gene_names)

    def rows(names: Sequence[str]) -> Float:
        chosen = [found[name] for name in dict.fromkeys(names)]
        return np.stack(chosen) if chosen else np.zeros((0, genes), np.float32)

    breeding = Breeding(rows(masks), rows(pinned), rows(vetoed), veto_distance)
    near = [
        name
        for name, out in zip(dict.fromkeys(masks), breeding.is_vetoed(breeding.masks), strict=True)
        if out and name not in pinned
    ]
    if near:
        raise BadInput(
            f"{near[0]}: lies within {veto_distance:g} of a vetoed mask, so it would be kept out too; lower "
            "--veto-distance, or --pin it"
        )
    targets = tuple(
        None if entry["target"] is None else read_target(parent.store, entry["target"])
        for entry in manifest["objectives"]
    )
    name = parent.url.rstrip("/").rpartition("/")[2]
    story = {
        **lineage(name, ids, rows(ids)),
        "started_from": list(dict.fromkeys(masks)),
        "pinned": list(dict.fromkeys(pinned)),
        "vetoed": list(dict.fromkeys(vetoed)),
        "veto_distance": veto_distance,
    }
    return Heritage(breeding, targets, tuple(manifest["photos_sha256"]), story)


def _genomes(parent: Record, ids: Sequence[str]) -> dict[str, Float]:
    found = read_genomes(parent, ids)
    for name in ids:
        if name not in found:
            table = read_rows(parent, ["id"])
            names = [] if table is None else table["id"].to_pylist()
            hint = nearest(name, names) if 0 < len(names) < 20_000 else ""
            raise BadInput(
                f"{parent.url}: no mask '{name}' among {len(names)} recorded ones"
                f"{hint if len(hint) < 200 else ''}"
            )
        if not np.isfinite(found[name]).all():
            raise BadInput(f"{name}: its weights are not finite, so nothing can be bred from it")
    return found


def bred_spec(
    parent: Record,
    heritage: Heritage,
    ids: tuple[Sequence[str], Sequence[str], Sequence[str]],
    *,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    today: datetime.date | None = None,
) -> Spec:
    """The parents' run's spec with what was changed. ids: masks to start from, pinned and vetoed ones.

    :raises BadInput: for a spec that does not hold, another basis or other references than the parents' run
        has, or a consent that has expired or does not cover evolving.
    """
    old = parent.spec_table()
    old.pop("versions", None)
    changes: list[Change] = override_changes(overrides)
    if seed is not None:
        changes.append((f"--seed {seed}", lambda data: data.update(seed=seed)))
    table = changed(
        {**old, "seed": int(old["seed"]) + 1},
        changes,
        f"{parent.url}/run.toml",
        lambda data: derived_anew(data, old, Path.cwd()),
    )
    table["breed"] = {
        "run": heritage.lineage["run"],
        "masks": list(dict.fromkeys(ids[0])),
        "pin": list(dict.fromkeys(ids[1])),
        "veto": list(dict.fromkeys(ids[2])),
        "veto_distance": heritage.breeding.veto_distance,
        "genomes": hashlib.sha256(heritage.breeding.encoded()).hexdigest(),
    }
    spec = parse_spec(table, f"{parent.url}/run.toml")
    before = parse_spec(old, f"{parent.url}/run.toml")
    if spec.mask.basis != before.mask.basis:
        raise BadInput(
            f"--set mask.basis: the masks are of {before.mask.basis}; genomes of one basis mean nothing in "
            "another"
        )
    said = [(o.kind, o.model, o.images, o.subject, o.combine) for o in spec.objective]
    if spec.identity and said != [
        (o.kind, o.model, o.images, o.subject, o.combine) for o in before.objective
    ]:
        raise BadInput(
            "--set objective: a run toward a person's face keeps the faces and machines of the run it is "
            "bred from, for only their embeddings are kept; weights and thresholds may change"
        )
    if spec.consent != before.consent and spec.identity:
        raise BadInput("--set consent: consent is carried over as it was granted; it cannot be changed here")
    count = len(heritage.breeding.masks) + len(heritage.breeding.keep())
    if count > spec.search.population // 2:
        raise BadInput(
            f"{count} masks to begin with, but [search] population = {spec.search.population} takes "
            f"{spec.search.population // 2}; choose fewer, or take --set search.population={2 * count}"
        )
    expires = spec.consent.expires if spec.consent else None
    if expires is not None and expires < (today or datetime.date.today()):
        raise BadInput(
            f"{parent.url}: [consent] expires = {expires} has passed; nothing more may be bred from this run"
        )
    return spec
