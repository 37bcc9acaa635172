"""Reads the weights of a TensorFlow.js graph model. Numpy only.

npm's packages have it as two files, ``NAME.json`` and ``NAME.bin``. datamask keeps them as one, so that one
hash covers the network: the JSON, a byte 0, and the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition.model import JOINT


def read_weights(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The constants of a graph model by name, read-only; filters are (rows, columns, in, out).

    :param where: the file, for messages.
    :raises CorruptData: where the bytes are no such model, or its weights are quantized.
    """
    text, _, numbers = data.partition(JOINT)
    try:
        return _weights(numbers, json.loads(text)["weightsManifest"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(
            f"{where}: not a TensorFlow.js graph model ({error!r}); get the file again"
        ) from None


def _weights(data: bytes, manifest: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    found, at = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        if "quantization" in entry:
            raise ValueError(f"{entry['name']} is quantized")
        dtype, shape = np.dtype(entry["dtype"]).newbyteorder("<"), entry["shape"]
        count = int(np.prod(shape, dtype=np.int64))
        found[entry["name"]] = np.frombuffer(data, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
    if at != len(data):
        raise ValueError(f"{len(data)} bytes of weights, expected {at}")
    return found
