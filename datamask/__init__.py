"""Masks that satisfy face-recognition machines, from Python: docs/api.md shows every name with an example.

Nothing is loaded before it is used: `import datamask` imports neither torch nor pandas nor OpenCV.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamask.basis import Basis as Basis
    from datamask.charts import figures as figures
    from datamask.citing import Citation as Citation
    from datamask.citing import cite as cite
    from datamask.comparing import Comparison as Comparison
    from datamask.comparing import compare as compare
    from datamask.evolving import Evolving as Evolving
    from datamask.evolving import Generation as Generation
    from datamask.evolving import evolve as evolve
    from datamask.listing import machines as machines
    from datamask.looking import look as look
    from datamask.mask import Mask as Mask
    from datamask.run import Run as Run
    from datamask.run import open as open
    from services.errors import BadInput as BadInput
    from services.errors import CorruptData as CorruptData
    from services.errors import DatamaskError as DatamaskError
    from services.errors import Unavailable as Unavailable
    from services.recognition.own import Machine as Machine
    from services.shape.catalog import BasisFile as BasisFile

    __version__: str

_HOMES = {
    "Basis": "datamask.basis",
    "BasisFile": "services.shape.catalog",
    "figures": "datamask.charts",
    "Citation": "datamask.citing",
    "cite": "datamask.citing",
    "Comparison": "datamask.comparing",
    "compare": "datamask.comparing",
    "Evolving": "datamask.evolving",
    "Generation": "datamask.evolving",
    "evolve": "datamask.evolving",
    "Machine": "services.recognition.own",
    "machines": "datamask.listing",
    "look": "datamask.looking",
    "Mask": "datamask.mask",
    "Run": "datamask.run",
    "open": "datamask.run",
    "BadInput": "services.errors",
    "CorruptData": "services.errors",
    "DatamaskError": "services.errors",
    "Unavailable": "services.errors",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("datamask")
    if name not in _HOMES:
        raise AttributeError(f"module 'datamask' has no attribute {name!r}")
    from datamask.command import stranger

    if (line := stranger()) is not None:
        raise ImportError(line)
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "__version__"])
