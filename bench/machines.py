"""Modern machines beside their reference code: milliseconds a view, and how far their answers lie apart.

``python -m bench.machines`` asks both about the same renders, one thread each, and writes
bench/results/machines.json. A machine whose weights are not here, and a reference that is not installed, is
not run, which the table says.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bench import tensorflow_lite
from bench.frozen_graph import opencv_network
from bench.insightface import pictures
from bench.machine import machine
from bench.stopwatch import Spread, seconds_of
from services.errors import DatamaskError, Unavailable
from services.recognition import catalog
from services.recognition.fetch import fetch
from services.recognition.networks.recognizer import NetworkRecognizer

RESULT = Path(__file__).parent / "results" / "machines.json"

Answers = NDArray[np.float32]
Run = Callable[[], Answers]


def facenet_in_opencv(chips: NDArray[np.uint8]) -> Run:
    """FaceNet's frozen graph in OpenCV."""
    network = opencv_network(catalog.read_verified(catalog.model_info("facenet")))

    def run() -> Answers:
        said = []
        for chip in chips:
            network.setInput(((chip.astype(np.float32) - 127.5) / 128.0).transpose(2, 0, 1)[None])
            said.append(network.forward()[0].copy())
        return np.stack(said)

    return run


def mobilefacenet_in_tensorflow_lite(chips: NDArray[np.uint8]) -> Run:
    """MobileFaceNet's TensorFlow Lite file in LiteRT. :raises Unavailable: where that is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            network = tensorflow_lite.network(fetch(tensorflow_lite.TFLITE, Path(folder)))
        except ImportError:
            raise Unavailable("pip install ai-edge-litert") from None
    return lambda: network(chips)


RECOGNIZERS: dict[str, tuple[str, Callable[[NDArray[np.uint8]], Run]]] = {
    "facenet": ("OpenCV", facenet_in_opencv),
    "mobilefacenet": ("LiteRT", mobilefacenet_in_tensorflow_lite),
}


def recognizer_row(name: str, images: torch.Tensor, points_px: torch.Tensor, rounds: int) -> dict[str, Any]:
    """Both sides on the chips that datamask cuts; cutting them is timed apart."""
    code, reference = RECOGNIZERS[name]
    row: dict[str, Any] = {"machine": name, "reference": code}
    try:
        ours = catalog.recognizer(name)
    except DatamaskError as error:
        return {**row, "not_run": f"{error}"}
    assert isinstance(ours, NetworkRecognizer)
    chips = ours.chips(images, points_px)
    sides: dict[str, Callable[[], Any]] = {
        "cutting": lambda: ours.chips(images, points_px),
        "datamask": lambda: ours.embed_chips(chips).numpy(),
    }
    try:
        theirs = reference(chips.numpy())
    except DatamaskError as error:
        row["reference_not_run"] = f"{error}"
    else:
        sides["reference"] = theirs
        row["largest_difference"] = float(np.abs(theirs() - ours.embed_chips(chips).numpy()).max())
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, work in sides.items():
            times[side].append(1e3 * seconds_of(work) / len(images))
    return row | {f"{side}_ms_a_view": Spread.of(spent).as_json() for side, spent in times.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(
        "python -m bench.machines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--views", type=int, default=48, help="a multiple of 4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    words = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images, points = (torch.from_numpy(array) for array in pictures(words.views))
    rows = [recognizer_row(name, images, points, words.rounds) for name in RECOGNIZERS]
    result = {"format": 1, "machine": machine("cpu"), "views": len(images), "machines": rows}
    words.out.parent.mkdir(parents=True, exist_ok=True)
    words.out.write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(told(row))
    return 0


def told(row: dict[str, Any]) -> str:
    """One row in words."""
    if "not_run" in row:
        return f"{row['machine']}: not run: {row['not_run']}"
    line = f"{row['machine']}: {row['datamask_ms_a_view']['median']:.1f} ms a view"
    if "reference_not_run" in row:
        return f"{line}; {row['reference']}: not run: {row['reference_not_run']}"
    return (
        f"{line}, {row['reference']} {row['reference_ms_a_view']['median']:.1f}, answers at most "
        f"{row['largest_difference']:.1g} apart"
    )


if __name__ == "__main__":
    sys.exit(main())
