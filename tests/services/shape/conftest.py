"""The one basis that ships, loaded once, and its decoder on the CPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from services.shape.basis import Basis, load_basis
from services.shape.catalog import DEFAULT_BASIS
from services.shape.decode import Decoder


@pytest.fixture(scope="session")
def basis() -> Basis:
    return load_basis(DEFAULT_BASIS)


@pytest.fixture(scope="session")
def decoder(basis: Basis) -> Decoder:
    return Decoder(basis)


@pytest.fixture(scope="session")
def mirror(basis: Basis) -> npt.NDArray[np.int64]:
    """For each vertex the one at its exact mirror image in x = 0; KeyError where the mask has none."""
    index = {tuple(row): i for i, row in enumerate(basis.neutral.astype(np.float64).tolist())}
    # + 0.0 turns -0.0 to 0.0
    return np.array(
        [index[tuple(row)] for row in (basis.neutral.astype(np.float64) * (-1, 1, 1) + 0.0).tolist()]
    )
