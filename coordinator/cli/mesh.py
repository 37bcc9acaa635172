"""``datamask mesh``: any recorded genome as a mesh."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from coordinator.record.record import Record
from datamask.basis import Basis
from services.errors import BadInput
from services.storage.open import open_store
from services.words import nearest


def mesh(
    run: Annotated[str, typer.Argument(help="Path or URL of a run.", show_default=False)],
    mask: Annotated[
        str,
        typer.Argument(metavar="ID", help="Id of any scored mask, e.g. i01-g0034-007.", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: ID.glb here.")] = None,
) -> None:
    """Decode any recorded genome to a mesh (glTF 2.0 binary, meters)."""
    record = Record(open_store(run))
    record.spec_table()
    names: list[str] = []
    for key, sha256 in record.evaluations(record.head()).items():
        data = record.part(key, sha256)
        table = pq.read_table(io.BytesIO(data), columns=["id", "genome", "basis"])
        found = table.filter(pc.equal(table["id"], mask))
        if len(found):
            _write(out or Path(f"{mask}.glb"), mask, found["basis"][0].as_py(), found["genome"][0].as_py())
            return
        names += table["id"].to_pylist()
    hint = nearest(mask, names) if len(names) < 20_000 else ""
    raise BadInput(
        f"{record.url}: no mask '{mask}' among {len(names)} recorded ones{hint if len(hint) < 200 else ''}"
    )


def _write(path: Path, mask: str, basis_id: str, genome: list[float]) -> None:
    basis = Basis(basis_id)
    if len(genome) != len(basis.genes):
        raise BadInput(f"{mask}: its genome has {len(genome)} genes, basis {basis_id} has another number")
    data = basis.glb(genome, mask)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); give another --out") from None
    print(path)
