"""Pictures of a run that installed packages bring, as entry points ``datamask.pictures``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services import plugins
from services.exhibition.palette import Image
from services.faults import said

log = logging.getLogger(__name__)

GROUP: plugins.Group = "datamask.pictures"


@dataclass(frozen=True)
class Shown:
    """What a picture of one's own is made from: a run's elites, best first.

    :param ids: of the n masks. vertices: float32 (n, V, 3) in meters. triangles: int32 (T, 3).
    :param colors: uint8 (n, V, 3), sRGB; None where masks have no colors of their own.
    :param facts: what the report page tells, see docs/exhibition.md.
    """

    ids: Sequence[str]
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8] | None
    facts: Mapping[str, Any]


def own_pictures(shown: Shown) -> Iterator[tuple[str, Image]]:
    """The key and the pixels uint8 (H, W, 3) of each installed picture.

    A run does without one that fails: what keeps it is one line in the log.
    """
    for name in sorted(plugins.entries(GROUP)):
        try:
            made = np.asarray(plugins.load(GROUP, name)(shown))
            if made.dtype != np.uint8 or made.ndim != 3 or made.shape[2] != 3 or made.size == 0:
                raise ValueError(f"expected pixels uint8 (H, W, 3), got {made.dtype} {made.shape}")
        except Exception as error:
            log.warning("picture %s was not made (%s)", name, said(error))
            continue
        yield f"picture-{name}.png", np.asarray(made, np.uint8)
