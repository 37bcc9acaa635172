"""insightface's networks in batches, against the package's own loop, on the same pictures and weights.

``python -m bench.insightface`` takes every recognizer and SCRFD detector in the folders of DATAMASK_MODELS
and ~/.insightface/models, and one of each with random weights and about the work of a small pack. Answers are
compared as well as times. Both sides may use all cores: the package through onnxruntime's own threads, ours
through lanes of one thread each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench import onnx_models
from bench.machine import machine
from services.recognition import catalog, files
from services.recognition.detect import Detector
from services.recognition.model import ModelInfo
from services.recognition.recognize import Recognizer
from services.recognition.template import POINT_NAMES
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from worker.lanes import Lanes
from worker.passes import parts

RESULT = Path(__file__).parent / "results" / "insightface.json"
Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]


def pictures(count: int) -> tuple[Pixels, Points]:
    """Renders of random heads uint8 (n, 160, 160, 3), and their five landmarks float32 (n, 5, 2)."""
    basis = load_basis("makehuman-mask-1")
    decoder = Decoder(basis)
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    genes = np.random.default_rng(0).normal(0, 0.4, (count // 4, len(basis.gene_names))).astype(np.float32)
    rendered = renderer.render(
        decoder.decode(torch.from_numpy(genes)),
        sample_views(ViewRanges(), 4, 1),
        decoder.landmark_indices(POINT_NAMES),
    )
    return rendered.images.flatten(0, 1).numpy(), rendered.points_px.flatten(0, 1).numpy()


def compare(info: ModelInfo, images: Pixels, points: Points, rounds: int) -> dict[str, Any]:
    """Milliseconds a picture on both sides, the ratio in each round, and how far the answers lie apart."""
    from insightface.model_zoo import get_model

    model = get_model(str(info.file), download=False, providers=["CPUExecutionProvider"])
    lanes = Lanes()
    if info.kind == "recognize":
        theirs, ours = _their_faces(model, images, points), _our_faces(info, lanes, images, points)
    else:
        ours = _our_boxes(info, lanes, images)
        # Just below every picture's best: a trained detector hands few boxes to the package's suppression of
        # overlaps. One with random weights would hand it thousands, and that loop would be all we time.
        theirs = _their_boxes(model, images, 0.999 * float(ours().min()))
    first, second = theirs(), ours()
    found: dict[str, Any] = {
        "model": info.name,
        "kind": info.kind,
        "sha256": info.sha256,
        "largest_difference": float(np.abs(first - second).max() / np.abs(first).max()),
    }
    times: dict[str, list[float]] = {"package": [], "datamask": []}
    for _ in range(rounds):
        times["package"].append(_seconds(theirs))
        times["datamask"].append(_seconds(ours))
    ratios = [a / b for a, b in zip(times["package"], times["datamask"], strict=True)]
    for side, seconds in times.items():
        found[f"{side}_ms_a_picture"] = round(1e3 * statistics.median(seconds) / len(images), 2)
    found["times_faster"] = [round(f(ratios), 2) for f in (statistics.median, min, max)]
    return found


def _their_faces(model: Any, images: Pixels, points: Points) -> Callable[[], NDArray[np.float32]]:
    from insightface.utils import face_align

    def run() -> NDArray[np.float32]:
        found = []
        for image, marks in zip(images, points, strict=True):
            chip = face_align.norm_crop(image[..., ::-1], marks - 0.5, model.input_size[0])
            found.append(model.get_feat(chip)[0])
        return np.stack(found)

    return run


def _our_faces(info: ModelInfo, lanes: Lanes, images: Pixels, points: Points) -> Callable[[], Any]:
    machine: Recognizer = catalog.recognizer(info.name)
    pixels, marks = torch.from_numpy(images), torch.from_numpy(points)
    return lambda: _together(lanes, len(images), lambda part: machine.embed(pixels[part], marks[part]))


def _their_boxes(model: Any, images: Pixels, threshold: float) -> Callable[[], NDArray[np.float32]]:
    size = (images.shape[2], images.shape[1])  # as it is: by default it would be enlarged to 128 and to 640

    def run() -> NDArray[np.float32]:
        best = []
        for image in images:
            boxes, _ = model.detect(image[..., ::-1], input_size=size, det_thresh=threshold)
            best.append(boxes[0, 4] if len(boxes) else 0.0)
        return np.array(best, np.float32)

    return run


def _our_boxes(info: ModelInfo, lanes: Lanes, images: Pixels) -> Callable[[], Any]:
    machine: Detector = catalog.detector(info.name)
    pixels = torch.from_numpy(images)
    return lambda: _together(lanes, len(images), lambda part: machine.score(pixels[part]).score)


def _together(lanes: Lanes, count: int, ask: Callable[[slice], torch.Tensor]) -> NDArray[np.float32]:
    return torch.cat(lanes.map(ask, parts(count, "cpu"))).numpy()


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("python -m bench.insightface", description=__doc__)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=FutureWarning)  # the package's, once for every picture
    images, points = pictures(arguments.pictures)
    with tempfile.TemporaryDirectory() as folder:
        made = (
            onnx_models.arcface(Path(folder) / "random-recognizer.onnx", batch=1, width=32, depth=2),
            onnx_models.scrfd(Path(folder) / "random-detector.onnx", width=32),
        )
        for path in made:
            files.know(path)
        infos = [catalog.model_info(f"onnx:{path.name}") for path in made] + list(catalog.found())
        found = [compare(info, images, points, arguments.rounds) for info in infos]
    result = {"format": 1, "machine": machine("cpu"), "pictures": len(images), "models": found}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for entry in found:
        faster = "{} times faster ({} to {})".format(*entry["times_faster"])
        print(
            f"{entry['model']}: {entry['package_ms_a_picture']} ms a picture in the package's loop, "
            f"{entry['datamask_ms_a_picture']} here: {faster}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
