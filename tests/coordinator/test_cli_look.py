"""``datamask look``: ordinary pictures before machines, and what cannot be used."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from coordinator.cli import app
from services.errors import BadInput
from tests.support.pictures import exif, png, saved

DAMAGED = Path(__file__).parents[1] / "data" / "pictures" / "item-is-missing.avif"
HOG = "--model", "dlib-hog"


def portrait():
    """NASA's portrait of Eileen Collins (public domain)."""
    return skimage.data.astronaut()[:300, 60:400]


def look(*arguments):
    answer = CliRunner().invoke(app, ["look", *map(str, arguments)], catch_exceptions=True)
    if isinstance(answer.exception, BadInput):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def told(*arguments):
    return json.loads(look("--json", *arguments))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_photo_is_drawn_and_told(here):
    (here / "ada.png").write_bytes(saved(portrait(), "PNG"))
    found = told("ada.png", *HOG, "--model", "yunet", "--model", "blazeface-short")
    (row,) = found["pictures"]
    assert (row["picture"], row["width_px"], row["height_px"]) == ("ada.png", 340, 300)
    assert list(row["machines"]) == list(found["models"]) == ["dlib-hog", "yunet", "blazeface-short"]
    for name in ("dlib-hog", "yunet"):
        said = row["machines"][name]
        assert said["face"]
        assert said["score"] == said["faces"][0]["score"] > found["models"][name]["threshold"]
        left, top, right, bottom = said["faces"][0]["box_px"]
        assert left < 224 - 60 < right
        assert top < 118 < bottom
        points = np.array(said["faces"][0]["points_px"])
        assert points.shape == (5, 2)
        assert ((points > 0) & (points < 300)).all()
    assert found["left_out"] == found["compared"] == []
    with Image.open(here / row["file"]) as sheet:
        assert sheet.width > 3 * 480
        assert sheet.getexif() == {}
    table = look("ada.png", *HOG)
    assert "a face: " in table
    assert "looks/001-ada.jpg" in table
    assert not {*here.iterdir()} - {here / "ada.png", here / "looks"}


def test_where_no_face_is_the_nearest_place_is_told(here):
    (here / "gray.png").write_bytes(saved(np.full((90, 120, 3), 128, np.uint8), "PNG"))
    said = told("gray.png", *HOG)["pictures"][0]["machines"]["dlib-hog"]
    assert (said["face"], said["faces"]) == (False, [])
    assert said["nearest"]["score"] == said["score"] < 0
    assert "no face: " in look("gray.png", *HOG)


def kept_kinds():
    """Pictures of the kinds that once failed: a name, its bytes, and whether a face is in it."""
    photo = portrait()
    gray = np.asarray(Image.fromarray(photo).convert("L"))
    turned = saved(photo.transpose(1, 0, 2)[:, ::-1], "JPEG")  # a quarter to the right; tag 274 turns it back
    block = exif([(274, 3, 1, struct.pack("<HH", 8, 0)), (282, 2, 4, b"abc\0")])
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    both = np.concatenate([photo, photo], axis=1)
    alpha = np.where(np.arange(both.shape[1]) < photo.shape[1], 255, 0).astype(np.uint8)
    return (
        ("turned.jpg", turned[:2] + segment + turned[2:], 1),
        ("gray16.png", png(gray.astype(np.uint16) * 5 + 700), 1),
        ("erased.png", saved(np.dstack([both, np.broadcast_to(alpha, both.shape[:2])]), "PNG"), 1),
        ("both.png", saved(both, "PNG"), 2),
    )


@pytest.mark.parametrize(("name", "data", "faces"), kept_kinds(), ids=[name for name, _, _ in kept_kinds()])
def test_pictures_that_once_failed_show_their_faces(here, name, data, faces):
    (here / name).write_bytes(data)
    found = told(name, "--model", "centerface")["pictures"][0]["machines"]["centerface"]
    assert len(found["faces"]) == faces


def test_what_is_no_picture_is_one_line(here):
    shutil.copy(DAMAGED, here / "damaged.bin")
    (here / "spec.toml").write_text("name = 'a'")
    for name in ("damaged.bin", "spec.toml", "gone.jpg", "gone.mp4"):
        with pytest.raises(BadInput, match=rf"^{name}: .+") as caught:
            look(name, *HOG)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"^damaged\.bin: .*\(and 1 more like it\)"):
        look("damaged.bin", "spec.toml", *HOG)
    with pytest.raises(BadInput, match="name a photo, a folder of photos or a video, or add --webcam"):
        look()
    with pytest.raises(BadInput, match="ask detectors and recognizers"):
        look("gone.jpg", "--model", "otsdf")
    with pytest.raises(BadInput, match="did you mean 'yunet'"):
        look("gone.jpg", "--model", "yunett")
    assert not (here / "looks").exists()


def test_of_a_folder_the_drawn_copies_are_no_photos(here):
    (here / "photos").mkdir()
    (here / "photos" / "ada.jpg").write_bytes(saved(portrait(), "JPEG"))
    (here / "photos" / "broken.jpg").write_bytes(b"none")
    (here / "photos" / "notes.txt").write_text("none")
    out = here / "photos" / "looks"
    for _ in range(2):
        found = told("photos", *HOG, "--out", out)
        assert [row["picture"] for row in found["pictures"]] == ["photos/ada.jpg"]
        assert [line.partition(": ")[0] for line in found["left_out"]] == ["photos/broken.jpg"]
    assert [file.name for file in out.iterdir()] == ["001-ada.jpg"]
    with pytest.raises(BadInput, match="all photos in it were drawn"):
        look(out, *HOG, "--out", out)
    (here / "file").write_text("")
    with pytest.raises(BadInput, match=r"--out file: a file is in the way"):
        look("photos", *HOG, "--out", "file")


def test_beside_the_photos_sheets_take_no_photos_place(here):
    photo, other = saved(portrait(), "JPEG"), saved(np.full((90, 120, 3), 128, np.uint8), "JPEG")
    (here / "001-ada.jpg").write_bytes(photo)
    for _ in range(2):
        found = told(".", *HOG, "--out", ".")
        assert [row["picture"] for row in found["pictures"]] == ["001-ada.jpg"]
    (here / "ada.jpg").write_bytes(other)
    with pytest.raises(BadInput, match=r"^001-ada\.jpg: is there and no sheet of datamask look"):
        look("ada.jpg", "001-ada.jpg", *HOG, "--out", ".")
    assert (here / "001-ada.jpg").read_bytes() == photo
    assert {file.name for file in here.iterdir()} == {"001-ada.jpg", "001-001-ada.jpg", "ada.jpg"}


def test_frames_of_a_video_are_looked_at_one_by_one(here):
    writer = cv2.VideoWriter("film.avi", cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (340, 300))
    for k in range(12):
        writer.write(portrait()[..., ::-1] if k >= 5 else np.zeros((300, 340, 3), np.uint8))
    writer.release()
    found = told("film.avi", *HOG)
    faces = {row["seconds"]: row["machines"]["dlib-hog"]["face"] for row in found["pictures"]}
    assert faces == {0.0: False, 1.0: True, 2.0: True}
    assert [Path(row["file"]).name for row in found["pictures"]][1] == "002-film-001.0s.jpg"
    table = look("film.avi", *HOG, "--every", "0.5", "--frames", "2")
    assert "a face in" in table
    assert "0 of 2" in table
    (here / "none.mp4").write_bytes(b"")
    with pytest.raises(BadInput, match=r"none\.mp4: no frame of a video can be read"):
        look("none.mp4", *HOG)


def test_a_recognizer_compares_and_none_of_its_numbers_are_kept(here):
    (here / "one.png").write_bytes(saved(portrait(), "PNG"))
    (here / "two.jpg").write_bytes(saved(portrait()[:, ::-1], "JPEG", quality=60))
    found = told("one.png", "two.jpg", "--model", "dlib-resnet", *HOG)
    (row,) = found["compared"]
    assert (row["first"]["picture"], row["picture"]) == ("one.png", "two.jpg")
    assert row["same"]
    assert 0 < row["answer"] < 0.45 < row["threshold"] == 0.6
    assert set(found["pictures"][0]["machines"]["dlib-resnet"]["faces"][0]) == {
        "score",
        "box_px",
        "points_px",
    }
    assert "embedding" not in json.dumps(found)
    assert "one person" in look("one.png", "two.jpg", "--model", "dlib-resnet")
    assert "it takes two to compare" in look("one.png", "--model", "dlib-resnet")


def command(*arguments):
    """As a person has it: of the decoder's own words nothing."""
    return subprocess.run(
        [sys.executable, "-m", "coordinator.cli", "look", *arguments, *HOG],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_video_without_frames_ends_the_command_with_one_line(here):
    (here / "cut.mp4").write_bytes(
        bytes.fromhex("0000001c6674797069736f6d00000200") + b"isomiso2mp41" + bytes(4)
    )
    done = command("cut.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "datamask: cut.mp4: no frame of a video can be read; save it as MP4 (H.264), or give a photo\n"
    )


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="there is a camera")
def test_without_a_camera_the_command_ends_with_one_line(here):
    done = command("--webcam")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "datamask: no camera here that OpenCV can open; connect one, or give a photo or a video\n"
    )
