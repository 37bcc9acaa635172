"""``datamask mesh``: any recorded genome as a mesh."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from coordinator.record.record import Record
from services.errors import BadInput
from services.shape.catalog import basis_info
from services.storage.open import open_store
from services.words import nearest


def mesh(
    run: Annotated[str, typer.Argument(help="Path or URL of a run.", show_default=False)],
    mask: Annotated[
        str,
        typer.Argument(metavar="ID", help="Id of any scored mask, e.g. i03-g0041-007.", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: ID.glb here.")] = None,
) -> None:
    """Decode any recorded genome to a mesh (glTF 2.0 binary, meters)."""
    record = Record(open_store(run))
    record.spec_table()
    names: list[str] = []
    for key, sha256 in sorted(record.head().evaluations.items()):
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
    import torch

    from services.shape.basis import load_basis
    from services.shape.decode import Decoder
    from services.shape.export import write_glb

    if len(genome) != len(basis_info(basis_id).gene_names):
        raise BadInput(f"{mask}: its genome has {len(genome)} genes, basis {basis_id} has another number")
    basis = load_basis(basis_id)
    decoder, weights = Decoder(basis), torch.from_numpy(np.array([genome], np.float32))
    vertices, colors = decoder.decode(weights)[0].numpy(), decoder.paint_bytes(weights)
    extras = {"id": mask, "basis": basis_id}
    try:
        path.write_bytes(
            write_glb(vertices, basis.triangles, None if colors is None else colors[0], mask, extras)
        )
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); give another --out") from None
    print(path)
