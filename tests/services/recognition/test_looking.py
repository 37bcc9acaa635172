"""Every face that a detector reports in an ordinary picture, and stills of videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from services.errors import BadInput, Unavailable
from services.recognition import catalog, film
from services.recognition.dlib.audit import hog_boxes, landmarks
from services.recognition.looking import LEAST_PX, look, read_shrunk, shrunk
from tests.support.pictures import saved

DETECTORS = [info.name for info in catalog.models() if info.kind == "detect" and catalog.installed(info)]
LEFT, RIGHT = (224, 118), (799, 118)  # inside the two faces of `two`


@pytest.fixture(scope="module")
def two(astronaut):
    """Two faces side by side."""
    return np.concatenate([astronaut, astronaut[:, ::-1]], axis=1)[:400]


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "blazeface-short"])
def test_each_face_is_told_once_and_the_best_is_the_score(name, two):
    info = catalog.model_info(name)
    found = look(catalog.detector(name), two, info.threshold)
    assert found.best is not None
    assert found.score == found.faces[0].score == found.best.score
    scores = [face.score for face in found.faces]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > info.threshold
    for x, y in (LEFT, RIGHT):
        around = [f for f in found.faces if f.box_px[0] < x < f.box_px[2] and f.box_px[1] < y < f.box_px[3]]
        assert len(around) == 1
        assert around[0].points_px.shape == ((5, 2) if info.finds == "five points" else (0, 2))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_picture_alone_scores_as_in_a_slice(name, astronaut):
    picture = np.ascontiguousarray(astronaut[20:220, 100:340])
    detector = catalog.detector(name)
    score = float(detector.score(torch.from_numpy(picture[None].copy())).score[0])
    assert look(detector, picture, 0.0).score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_smallest_pictures_and_gray_have_an_answer(name):
    detector, info = catalog.detector(name), catalog.model_info(name)
    for shape in ((LEAST_PX, LEAST_PX), (LEAST_PX, 300), (300, LEAST_PX), (33, 21)):
        assert np.isfinite(look(detector, np.full((*shape, 3), 128, np.uint8), info.threshold).score)
    assert look(detector, np.full((120, 90, 3), 128, np.uint8), info.threshold).faces == ()


def test_pictures_are_shrunk_and_strips_refused(tmp_path, astronaut):
    assert shrunk(astronaut) is astronaut
    assert shrunk(astronaut, 128).shape == (128, 128, 3)
    strip = tmp_path / "strip.png"
    strip.write_bytes(saved(np.zeros((10, 2000, 3), np.uint8), "PNG"))
    with pytest.raises(BadInput, match=r"strip\.png: 2000 x 10 pixels can show no face") as caught:
        read_shrunk(strip)
    assert str(caught.value).count("strip.png") == 1
    with pytest.raises(BadInput, match=r"^\S*gone\.png: no such file"):
        read_shrunk(tmp_path / "gone.png")


def test_dlibs_landmarks_come_in_the_order_that_alignment_expects(astronaut):
    eye, inner, other_inner, other_eye, nose = landmarks(astronaut, hog_boxes(astronaut)[0][1])
    assert eye[0] < inner[0] < nose[0] < other_inner[0] < other_eye[0]
    assert nose[1] > max(eye[1], other_eye[1])


def video(path: Path, frames: int, rate: float = 10.0, kind: str = "mp4v") -> Path:
    """A film whose frames become lighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*kind), rate, (96, 64))
    for k in range(frames):
        writer.write(np.full((64, 96, 3), (0, 0, min(255, 8 * k)), np.uint8))  # blue, green, red
    writer.release()
    return path


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "mp4v"), ("b.avi", "MJPG")])
def test_stills_of_a_video_are_apart_as_asked_for_and_red_stays_red(tmp_path, name, kind):
    path = video(tmp_path / name, 25, kind=kind)
    found = list(film.stills(path, 1.0, 9))
    assert [round(still.seconds, 3) for still in found] == [0.0, 1.0, 2.0]
    assert film.expected(path, 1.0, 9) == 3
    assert found[2].pixels.shape == (64, 96, 3)
    red = [still.pixels.mean(axis=(0, 1)) for still in found]
    assert [abs(r[0] - 80 * k) < 12 for k, r in enumerate(red)] == [True] * 3
    assert red[2][1:].max() < 30
    assert len(list(film.stills(path, 0.2, 4))) == 4
    assert film.expected(path, 0.2, 4) == 4


def test_a_film_without_frames_is_named(tmp_path):
    whole = video(tmp_path / "whole.mp4", 5).read_bytes()
    for name, data in (("empty.mp4", b""), ("words.mp4", b"no film\n" * 99), ("cut.mp4", whole[:40])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=rf"{name}: no frame of a video can be read"):
            list(film.stills(tmp_path / name, 1.0, 3))
    with pytest.raises(BadInput, match="no such file"):
        list(film.stills(tmp_path / "gone.mp4", 1.0, 3))


def test_a_playlist_fetches_nothing(tmp_path):
    list_ = tmp_path / "list.mp4"
    list_.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadInput, match="no frame"):
        list(film.stills(list_, 1.0, 3))


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="there is a camera")
def test_without_a_camera_there_is_one_line():
    with pytest.raises(Unavailable, match="no camera here") as caught:
        list(film.camera_stills(1.0, 1))
    assert "\n" not in str(caught.value)
