from __future__ import annotations

from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from services.errors import BadInput
from services.recognition import catalog
from services.recognition.dlib import alignment, audit
from services.recognition.dlib.mmod import MmodDetector
from services.recognition.dlib.resnet import DlibResNet

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face(astronaut: Pixels) -> Pixels:
    return np.ascontiguousarray(astronaut[0:260, 100:360])


def saved(folder: Path, picture: Pixels, name: str = "photo.png") -> Path:
    path = folder / name
    Image.fromarray(picture).save(path)
    return path


def test_audit_is_dlibs_own_pipeline(face: Pixels) -> None:
    (view,) = audit.audit(face[None])
    rects, scores, _ = dlib.get_frontal_face_detector().run(face, 0, 0.0)
    assert view.detected
    assert view.hog_score == pytest.approx(scores[0])
    weights = {
        name: str(catalog.verify(catalog.model_info(name))) for name in ("dlib-landmarks-5", "dlib-resnet")
    }
    shape = dlib.shape_predictor(weights["dlib-landmarks-5"])(face, rects[0])
    expected = dlib.face_recognition_model_v1(weights["dlib-resnet"]).compute_face_descriptor(face, shape)
    assert view.embedding is not None
    np.testing.assert_allclose(view.embedding, np.array(expected), atol=1e-6)
    assert view.distance is None


def test_distance_is_that_to_the_nearest_target(face: Pixels) -> None:
    (view,) = audit.audit(face[None])
    assert view.embedding is not None
    far = view.embedding + np.float32(0.1)
    (again,) = audit.audit(face[None], np.stack([far, view.embedding]))
    assert again.distance == pytest.approx(0.0, abs=1e-6)
    (other,) = audit.audit(face[None], far)
    assert other.distance == pytest.approx(0.1 * np.sqrt(128), abs=1e-4)


def test_nothing_is_embedded_where_nothing_is_detected() -> None:
    gray = np.full((2, 160, 160, 3), 127, dtype=np.uint8)
    for view in audit.audit(gray, np.zeros(128)):
        assert view == audit.AuditView(False, None, None, None, None)


def test_a_face_outside_the_region_does_not_count(face: Pixels) -> None:
    elsewhere = np.array([[0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 260.0, 260.0]])
    views = audit.audit(np.stack([face, face]), regions=elsewhere)
    assert [view.detected for view in views] == [False, True]


def test_batched_code_and_audit_agree_on_rendered_masks(renders: Any) -> None:
    """Landmarks differ (known ones against predicted ones), so the embeddings are near, not equal."""
    ours = DlibResNet("cpu").embed(alignment.chips(renders.images, renders.points_px)).numpy()
    views = audit.audit(renders.images.numpy(), regions=renders.box_px.numpy())
    near = [
        float(np.linalg.norm(view.embedding - embedding))
        for view, embedding in zip(views, ours, strict=True)
        if view.embedding is not None
    ]
    assert len(near) >= 3
    assert max(near) < 0.35


def test_mmod_scores_are_nan_where_nothing_is_detected(photo_crops: Pixels) -> None:
    pictures = np.stack([photo_crops[3], photo_crops[3], np.zeros_like(photo_crops[3])])
    everywhere, nowhere = [0.0, 0.0, 160.0, 160.0], [0.0, 0.0, 5.0, 5.0]
    scores = audit.mmod_scores(pictures, np.array([everywhere, nowhere, everywhere]))
    assert np.isnan(scores).tolist() == [False, True, True]
    ours = MmodDetector("cpu").score(torch.from_numpy(pictures[:1])).score
    assert scores[0] == pytest.approx(float(ours[0]), abs=1e-3)


def test_photo_gives_one_embedding_and_its_box(tmp_path: Path, astronaut: Pixels) -> None:
    embedding, box = audit.embed_photo(saved(tmp_path, astronaut))
    assert embedding.shape == (128,)
    assert embedding.dtype == np.float32
    assert box[0] < 222 < box[2]
    assert box[1] < 122 < box[3]
    large = np.array(Image.fromarray(astronaut).resize((2400, 2400)))
    from_large, large_box = audit.embed_photo(saved(tmp_path, large, "large.png"))
    assert float(np.linalg.norm(embedding - from_large)) < 0.2
    assert large_box[0] < 222 * 2400 / 512 < large_box[2]


def test_small_face_is_found_at_twice_the_size(tmp_path: Path, astronaut: Pixels) -> None:
    small = np.array(Image.fromarray(astronaut[0:300, 70:370]).resize((130, 130), Image.Resampling.LANCZOS))
    assert not audit.audit(small[None])[0].detected
    embedding, box = audit.embed_photo(saved(tmp_path, small))
    assert np.isfinite(embedding).all()
    assert 20 < box[2] - box[0] < 70


def test_turned_photo_is_read_by_its_exif_orientation(tmp_path: Path, astronaut: Pixels) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(np.rot90(astronaut).copy()).save(path, exif=exif, quality=95)
    _, box = audit.embed_photo(path)
    assert box[0] < 222 < box[2]


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (lambda face: face.mean(axis=2).astype("u2") * 257, {}),
        (lambda face: face.mean(axis=2).astype("u2") * 16, {}),  # twelve bits in sixteen
        (lambda face: 65535 - face.mean(axis=2).astype("u2"), {"photometric": "miniswhite"}),
        (lambda face: (face.mean(axis=2) * 2**24).astype("u4"), {}),
        (lambda face: (face.mean(axis=2) * 2**23 - 2**30).astype("i4"), {}),
        (lambda face: (face.mean(axis=2) / 255).astype("f4"), {}),
        (lambda face: face.astype("u2") * 4, {"photometric": "rgb"}),
    ],
)
def test_a_face_is_found_in_any_depth(tmp_path: Path, face: Pixels, values: Any, options: Any) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", values(face), **options)
    _, (left, top, right, bottom) = audit.embed_photo(tmp_path / "deep.tif")
    assert left < 122 < right
    assert top < 122 < bottom


def test_who_is_wholly_transparent_is_not_there(tmp_path: Path, face: Pixels) -> None:
    two = np.concatenate([face, face], axis=1)
    there = np.full(two.shape[:2], 255, np.uint8)
    there[:, face.shape[1] :] = 0
    _, box = audit.embed_photo(saved(tmp_path, np.dstack([two, there])))
    assert box[2] < face.shape[1]
    with pytest.raises(BadInput, match="no face found"):
        audit.embed_photo(saved(tmp_path, np.dstack([two, there * 0])))


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 5)])
def test_the_smallest_pictures_show_no_face(tmp_path: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="no face found"):
        audit.embed_photo(saved(tmp_path, np.full((*shape, 3), 90, np.uint8)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda photo: np.full((200, 200, 3), 90, np.uint8), "no face found"),
        (lambda photo: np.concatenate([photo[:260, 100:360]] * 2, axis=1), "2 faces found"),
    ],
)
def test_photos_without_exactly_one_face_are_refused(
    tmp_path: Path, astronaut: Pixels, make: Any, says: str
) -> None:
    path = saved(tmp_path, make(astronaut))
    with pytest.raises(BadInput, match=says) as caught:
        audit.embed_photo(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"not a picture", b"\x89PNG\r\n\x1a\n1234"])
def test_unreadable_photos_are_refused_with_their_path(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        audit.embed_photo(path)
    assert str(path) in str(caught.value)


def test_wrong_shapes_are_refused(face: Pixels) -> None:
    with pytest.raises(ValueError, match="images"):
        audit.audit(face)
    with pytest.raises(ValueError, match="target"):
        audit.audit(face[None], np.zeros(5))
    with pytest.raises(ValueError, match="regions"):
        audit.audit(face[None], regions=np.zeros((2, 4)))
