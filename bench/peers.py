"""dlib's own networks on the very images and chips that ours get: milliseconds a view of each."""

from __future__ import annotations

from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray

from bench.stopwatch import Stopwatch
from services.recognition import catalog

MODELS = {"hog": "dlib-hog", "mmod": "dlib-mmod", "resnet": "dlib-resnet"}


class DlibItself:
    """dlib's detectors and recognizer, one image a call, as its Python interface is used."""

    def __init__(self) -> None:
        self._hog: Any = dlib.get_frontal_face_detector()
        self._mmod: Any = dlib.cnn_face_detection_model_v1(_file("dlib-mmod"))
        self._resnet: Any = dlib.face_recognition_model_v1(_file("dlib-resnet"))

    def run(self, images: NDArray[np.uint8], chips: NDArray[np.uint8], watch: Stopwatch) -> None:
        """images: uint8 (n, S, S, 3). chips: uint8 (n, 150, 150, 3). Every call is timed by its stage."""
        for image, chip in zip(images, chips, strict=True):
            with watch.stage("hog"):
                self._hog.run(image, 0, 0.0)
            with watch.stage("mmod"):
                self._mmod(image, 0)
            with watch.stage("resnet"):
                self._resnet.compute_face_descriptor(chip)


def _file(name: str) -> str:
    return str(catalog.verify(catalog.model_info(name)))
