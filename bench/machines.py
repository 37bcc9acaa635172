"""``python -m bench.machines``: milliseconds a view of every machine, beside the code that it came with.

Every detector, recognizer and correlation filter that is here looks at the same renders, as a worker has it
look: a pass of pictures in each lane, one thread a lane. The code that a machine was published with, where it
is installed, takes the same pictures one by one, which is all that it can, with as many threads as it likes.
Rounds take turns; what is said is their median.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench import tensorflow_lite
from bench.frozen_graph import opencv_network
from bench.machine import machine
from bench.marks import write_between
from bench.outcome import write
from bench.stopwatch import Spread, seconds_of
from services.recognition import catalog
from services.recognition.fetch import fetch
from services.recognition.model import ModelInfo
from services.rendering.views import ViewRanges, sample_views
from worker.examination.panel import Panel
from worker.eye import Pictures
from worker.lanes import Lanes
from worker.passes import parts

BASIS = "makehuman-mask-1"
OUT = Path(__file__).parent / "results" / "machines.json"
FIRST_MARK, LAST_MARK = "<!-- speed of machines -->", "<!-- end of speed of machines -->"
SPREAD = 0.4
_ASKED = ("detect", "recognize", "correlate")

Pixels = NDArray[np.uint8]
One = Callable[[Pixels], object]
"""What a machine's own code does with one picture uint8 (S, S, 3)."""


@dataclass(frozen=True)
class Peer:
    """A machine's own code. what: its name. package: what must be installed. make: loads it for pictures of a
    side, given the machine's weights file (None where it has none).
    """

    what: str
    package: str
    make: Callable[[str | None, int], One]


def _hog(file: str | None, side: int) -> One:
    theirs: Any = dlib.get_frontal_face_detector()
    return lambda image: theirs.run(image, 0, 0.0)


def _mmod(file: str | None, side: int) -> One:
    theirs: Any = dlib.cnn_face_detection_model_v1(file)
    return lambda image: theirs(image, 0)


def _resnet(file: str | None, side: int) -> One:
    theirs: Any = dlib.face_recognition_model_v1(file)
    return lambda image: theirs.compute_face_descriptor(cv2.resize(image, (150, 150)))


def _yunet(file: str | None, side: int) -> One:
    theirs = cv2.FaceDetectorYN.create(f"{file}", "", (side, side))
    return lambda image: theirs.detect(image[..., ::-1].copy())


def _centerface(file: str | None, side: int) -> One:
    theirs = cv2.dnn.readNetFromONNX(f"{file}")

    def look(image: Pixels) -> object:
        theirs.setInput(cv2.dnn.blobFromImage(image))
        return theirs.forward(["537", "538", "539", "540"])

    return look


def _blazeface(file: str | None, side: int) -> One:
    theirs = import_module("ai_edge_litert.interpreter").Interpreter(file)
    theirs.allocate_tensors()
    given = theirs.get_input_details()[0]
    size = tuple(int(n) for n in given["shape"][1:3])

    def look(image: Pixels) -> object:
        picture = cv2.resize(image, size).astype(np.float32) / np.float32(127.5) - np.float32(1)
        theirs.set_tensor(given["index"], picture[None])
        theirs.invoke()
        return [theirs.get_tensor(output["index"]) for output in theirs.get_output_details()]

    return look


def _mtcnn(file: str | None, side: int) -> One:
    theirs = import_module("facenet_pytorch").MTCNN(keep_all=True)
    return lambda image: theirs.detect(image, landmarks=True)


def _viola_jones(file: str | None, side: int) -> One:
    theirs = cv2.CascadeClassifier(f"{file}")
    return lambda image: theirs.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _facenet(file: str | None, side: int) -> One:
    theirs = opencv_network(Path(f"{file}").read_bytes())

    def look(image: Pixels) -> object:
        chip = (cv2.resize(image, (160, 160)).astype(np.float32) - 127.5) / 128.0
        theirs.setInput(chip.transpose(2, 0, 1)[None])
        return theirs.forward()

    return look


def _mobilefacenet(file: str | None, side: int) -> One:
    with tempfile.TemporaryDirectory() as folder:
        theirs = tensorflow_lite.network(fetch(tensorflow_lite.TFLITE, Path(folder)))
    return lambda image: theirs(cv2.resize(image, (112, 112))[None])


PEERS: Mapping[str, Peer] = {
    "dlib-hog": Peer("dlib", "dlib", _hog),
    "dlib-mmod": Peer("dlib", "dlib", _mmod),
    "dlib-resnet": Peer("dlib, aligned faces", "dlib", _resnet),
    "viola-jones": Peer("OpenCV", "cv2", _viola_jones),
    "yunet": Peer("OpenCV's FaceDetectorYN", "cv2", _yunet),
    "centerface": Peer("OpenCV's dnn", "cv2", _centerface),
    "blazeface-full": Peer("LiteRT", "ai_edge_litert", _blazeface),
    "blazeface-short": Peer("LiteRT", "ai_edge_litert", _blazeface),
    "facenet": Peer("OpenCV's dnn, cut-out faces", "cv2", _facenet),
    "mobilefacenet": Peer("LiteRT, cut-out faces", "ai_edge_litert", _mobilefacenet),
    "mtcnn": Peer("facenet-pytorch", "facenet_pytorch", _mtcnn),
}


@dataclass(frozen=True)
class _Side:
    """Work on so many pictures, to be timed."""

    work: Callable[[], object]
    images: int


class Bench:
    """Renders of random heads, 4 views each, and every machine asked about them."""

    def __init__(self, names: Sequence[str], count: int, of_peers: int) -> None:
        self._panel = Panel(BASIS, names, {}, "cpu")
        genes = len(self._panel.eye.basis.gene_names)
        heads = np.random.default_rng(0).normal(0, SPREAD, (-(-count // 4), genes)).astype(np.float32)
        genomes = np.repeat(heads, 4, axis=0)[:count]
        self.pictures: Pictures = self._panel.look(genomes, sample_views(ViewRanges(), count, 1))
        self._few = self.pictures.images[:of_peers].numpy()
        self._lanes = Lanes()

    def ours(self, info: ModelInfo) -> _Side:
        """datamask's own call, in lanes."""
        seen, machines, eye = self.pictures, self._panel.machines, self._panel.eye

        def ask(part: slice) -> object:
            images, points = seen.images[part], seen.points_px[part]
            if info.kind == "detect":
                return machines.detectors[info.name].score(images, seen.box_px[part])
            if info.kind == "recognize":
                recognizer = machines.recognizers[info.name]
                return recognizer.embed(images, eye.points_of(recognizer, points))
            correlator, template = machines.correlators[info.name], self._panel.templates[info.name]
            return correlator.score(images, eye.points_of(correlator, points), template)

        return _Side(lambda: self._lanes.map(ask, parts(len(seen.images), "cpu")), len(seen.images))

    def theirs(self, info: ModelInfo, peer: Peer) -> _Side:
        """The machine's own code, picture by picture."""
        path = catalog.locate(info)
        look = peer.make(None if path is None else str(path), self._few.shape[1])
        return _Side(lambda: [look(image) for image in self._few], len(self._few))


def measure(bench: Bench, info: ModelInfo, rounds: int) -> dict[str, Any]:
    """Milliseconds a view on both sides, as JSON values."""
    sides = {"datamask": bench.ours(info)}
    peer, why = PEERS.get(info.name), None
    if peer is not None and find_spec(peer.package) is None:
        why, peer = f"{peer.package} is not installed", None
    if peer is not None:
        sides[peer.what] = bench.theirs(info, peer)
    for side in sides.values():
        side.work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(1e3 * seconds_of(side.work) / side.images)
    spread = {name: Spread.of(values).as_json() for name, values in times.items()}
    found = {"model": info.name, "kind": info.kind, "ms_a_view": spread["datamask"]}
    return found | {
        "own_code": None if peer is None else {"what": peer.what, "ms_a_view": spread[peer.what]},
        "not_run": why,
    }


def page(result: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    size, cores = result["size_px"], result["machine"]["cores"]
    lines = [
        f"Renders of {size} x {size} pixels, {cores} cores; the median of {result['rounds']} rounds "
        "(`python -m bench.machines`).",
        "",
        "| machine | ms a view | the code that it came with, ms a view |",
        "|---|---|---|",
    ]
    for entry in result["models"]:
        median = entry["ms_a_view"]["median"]
        lines += [f"| `{entry['model']}` | {median:.2f} | {_of_peer(entry)} |"]
    return "\n".join(lines) + "\n"


def _of_peer(entry: Mapping[str, Any]) -> str:
    if entry["own_code"] is None:
        return f"not run: {entry['not_run']}" if entry["not_run"] else "this is it"
    return f"{entry['own_code']['ms_a_view']['median']:.2f} ({entry['own_code']['what']})"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        "python -m bench.machines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="names (default: all that are here)")
    parser.add_argument("--pictures", type=int, default=96, help="for datamask (default 96)")
    parser.add_argument("--of-peers", type=int, default=12, help="for the machines' own code (default 12)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page")
    arguments = parser.parse_args(argv)
    facts = machine("cpu")  # first, for the load before we make our own
    listed = [info for info in catalog.models() if info.kind in _ASKED and catalog.installed(info)]
    listed += [info for info in catalog.found() if info.kind in _ASKED]
    chosen = [info for info in listed if not arguments.models or info.name in arguments.models]
    if missing := set(arguments.models) - {info.name for info in chosen}:
        parser.error(f"{', '.join(sorted(missing))}: not here; see datamask models")
    bench = Bench([info.name for info in chosen], arguments.pictures, arguments.of_peers)
    console, found = Console(), []
    table = Table("machine", "ms a view", "its own code, ms a view")
    for info in chosen:
        found.append(measure(bench, info, arguments.rounds))
        table.add_row(info.name, f"{found[-1]['ms_a_view']['median']:.2f}", _of_peer(found[-1]))
    size = bench.pictures.images.shape[1]
    result = {"format": 1, "machine": facts, "size_px": size, "rounds": arguments.rounds, "models": found}
    write(result, arguments.out)
    console.print(table)
    console.print(f"written to {arguments.out}")
    if arguments.page is not None:
        write_between(arguments.page, FIRST_MARK, LAST_MARK, page(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
