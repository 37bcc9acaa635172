"""Bases that installed packages bring, as entry points ``datamask.bases`` whose names are their ids."""

from __future__ import annotations

from services import plugins
from services.errors import Unavailable
from services.shape.catalog import BASES, BasisFile

GROUP: plugins.Group = "datamask.bases"


def know(basis_id: str) -> None:
    """Take the basis that an id speaks of into the catalog, where an installed package brings it.

    An id that nobody brings is left alone: the catalog says so. Shipped ones keep their names.

    :raises Unavailable: where the package is broken.
    """
    shape = basis_id.partition("+")[0]
    if shape in BASES:
        return
    brought = plugins.load(GROUP, shape)
    if brought is None:
        return
    if not isinstance(brought, BasisFile):
        raise Unavailable(f"{GROUP} {shape!r}: expected a datamask.BasisFile, got a {type(brought).__name__}")
    BASES[shape] = brought
