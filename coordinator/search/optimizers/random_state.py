"""A random generator as an array, so that a checkpoint can hold it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD = (1 << 64) - 1


def generator(seed: np.random.SeedSequence, number: int = 0) -> np.random.Generator:
    """The child of `seed` with that number. Unlike `seed.spawn` this leaves `seed` as it was."""
    key = (*seed.spawn_key, number)
    child = np.random.SeedSequence(seed.entropy, spawn_key=key, pool_size=seed.pool_size)
    return np.random.Generator(np.random.PCG64(child))


def pack(rng: np.random.Generator) -> NDArray[np.uint64]:
    """A PCG64 generator's state, (6,): state and increment, high word first, then the spare half word."""
    state: Any = rng.bit_generator.state
    number, step = int(state["state"]["state"]), int(state["state"]["inc"])
    words = [number >> 64, number & _WORD, step >> 64, step & _WORD, state["has_uint32"], state["uinteger"]]
    return np.array(words, dtype=np.uint64)


def unpack(words: NDArray[np.uint64]) -> np.random.Generator:
    """The generator whose state `pack` gave."""
    high, low, step_high, step_low, spare, half = (int(word) for word in words)
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": step_high << 64 | step_low},
        "has_uint32": spare,
        "uinteger": half,
    }
    return np.random.Generator(bits)
