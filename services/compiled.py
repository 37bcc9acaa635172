"""Loops as machine code, for CPU cores: where torch's operations would pass over memory once each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code that runs without Python's lock, kept on disk where a folder lets it.

    Floats are added and multiplied as written: ``fastmath`` stays off, so that bytes do not depend on how
    wide a core's registers are.
    """
    machine_code = partial(numba.njit, nogil=True, error_model="numpy")
    try:
        return cast(Function, machine_code(cache=True)(function))
    except RuntimeError:  # nowhere to keep it: compiled anew by every process
        return cast(Function, machine_code()(function))
