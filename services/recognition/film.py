"""Stills of a video or of a camera, by OpenCV: of files on this machine alone, as many as are asked for."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, Unavailable
from services.recognition.photos import MOST_PIXELS

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp"),
    *(".mts", ".m2ts", ".mjpeg", ".mxf"),
)
_WARM_UP = 5  # a camera's first pictures are dark
# FFmpeg writes what it thinks of a damaged file to the terminal, and a playlist could have it fetch others.
_FFMPEG = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file"}


@dataclass(frozen=True)
class Still:
    """One frame. seconds: from the beginning. pixels: uint8 (H, W, 3), sRGB."""

    seconds: float
    pixels: NDArray[np.uint8]


def is_film(path: Path) -> bool:
    """Whether a file's name says that it is a video."""
    return path.suffix.lower() in SUFFIXES


def expected(path: Path, every_s: float, most: int) -> int:
    """How many stills a video will give, as far as its own header says; 1 where it says nothing."""
    with _opened(path) as capture:
        frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    told = frames / rate if frames > 0 and rate > 0 else 0.0
    return max(1, min(most, math.ceil(told / every_s)))


def stills(path: Path, every_s: float, most: int) -> Iterator[Still]:
    """A video's first frame, and one each ``every_s`` seconds after it, at most ``most``.

    :raises BadInput: with the path, where there is no such file, or no frame in it.
    """
    with _opened(path) as capture:
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MOST_PIXELS:
            raise BadInput(
                f"{path}: {width * height / 1e6:,.0f} million pixels a frame, at most "
                f"{MOST_PIXELS / 1e6:,.0f} million are read; make a smaller copy"
            )
        given, at = 0, 0.0
        while given < most and capture.grab():
            seconds = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0)
            if given and seconds + 1e-6 < at:
                continue
            there, frame = capture.retrieve()
            if not there:
                continue
            yield Still(seconds, _rgb(frame))
            given += 1
            at = seconds + every_s
    if not given:
        raise _no_frames(path)


def camera_stills(every_s: float, most: int) -> Iterator[Still]:
    """Pictures of this machine's first camera, one each ``every_s`` seconds.

    :raises Unavailable: where there is no camera, or it gives no picture.
    """
    _quiet()
    capture = cv2.VideoCapture(0)
    try:
        if not capture.isOpened():
            raise Unavailable("no camera here that OpenCV can open; connect one, or give a photo or a video")
        for _ in range(_WARM_UP):
            capture.grab()
        start = time.monotonic()
        for k in range(most):
            while time.monotonic() < start + k * every_s:
                if not capture.grab():  # a camera keeps old pictures for who does not ask
                    break
            there, frame = capture.read()
            if not there:
                raise Unavailable(
                    "the camera gives no picture; see that nothing else uses it, and that this program may"
                )
            yield Still(time.monotonic() - start, _rgb(frame))
    finally:
        capture.release()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        what = "no file" if path.exists() else "no such file"
        raise BadInput(f"{path}: {what}; give the path of a photo, a folder of photos or a video")
    _quiet()
    os.environ.update({name: value for name, value in _FFMPEG.items() if name not in os.environ})
    # The whole path: what begins otherwise could be a protocol to FFmpeg.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise _no_frames(path)
        yield capture
    finally:
        capture.release()


def _no_frames(path: Path) -> BadInput:
    return BadInput(f"{path}: no frame of a video can be read; save it as MP4 (H.264), or give a photo")


def _quiet() -> None:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _rgb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
