"""insightface's networks, batched: the package's own answers on the same weights, one image at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import onnx_models as make
from services.errors import BadInput, Unavailable
from services.recognition import catalog, files, template
from services.recognition.networks import onnx_files

pytest.importorskip("insightface", reason='pip install "datamask[insightface]"')
from insightface import model_zoo
from insightface.utils import face_align

HERE = Path(__file__)
# A folder that may lie beside or above the checkout; nothing here depends on it.
PLACES = [parent / "shared" / "models" for parent in HERE.parents[3:6]]
if "DATAMASK_TEST_MODELS" in os.environ:
    PLACES = [Path(os.environ["DATAMASK_TEST_MODELS"])]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder of models that is searched."""
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))
    monkeypatch.setattr(files, "_known", {})  # by name, of tests before this one in the same process
    monkeypatch.setattr(files, "insightface_folder", lambda: tmp_path / "none")
    return tmp_path


def trained() -> Path:
    for place in PLACES:
        if (place / "mobileface.onnx").is_file():
            return place / "mobileface.onnx"
    pytest.skip("no trained recognizer; name a folder with mobileface.onnx in DATAMASK_TEST_MODELS")


def their(path: Path) -> Any:
    return model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])


def their_embeddings(path: Path, images: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The package's own loop: one image at a time, BGR, landmarks as pixel indices."""
    model = their(path)
    found = []
    for image, marks in zip(images, points, strict=True):
        aligned = face_align.norm_crop(image[..., ::-1], marks - 0.5, model.input_size[0])
        found.append(model.get_feat(aligned)[0])
    return np.stack(found)


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    """Eleven smooth random pictures uint8 (n, 160, 160, 3) with five landmarks each, some near the border."""
    random = np.random.default_rng(3)
    small = torch.from_numpy(random.uniform(0, 255, (11, 3, 12, 12)).astype(np.float32))
    large = torch.nn.functional.interpolate(small, (160, 160), mode="bicubic").clamp(0, 255)
    images = large.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    points = np.float32(template.TEMPLATE)[None] * random.uniform(0.6, 1.3, (11, 1, 1))
    turn = np.stack([np.cos(a := random.uniform(-0.5, 0.5, 11)), np.sin(a)], axis=1)
    x, y = points[..., 0], points[..., 1]
    c, s = turn[:, :1], turn[:, 1:]
    points = np.stack([c * x - s * y, s * x + c * y], axis=-1) + random.uniform(0, 40, (11, 1, 2))
    return images, (points + random.normal(0, 2, points.shape)).astype(np.float32)


def test_chips_are_norm_crops(faces: tuple[np.ndarray, np.ndarray]) -> None:
    images, points = faces
    ours = template.chips(torch.from_numpy(images), torch.from_numpy(points)).numpy().astype(int)
    theirs = np.stack([face_align.norm_crop(i, p - 0.5) for i, p in zip(images, points, strict=True)])
    # OpenCV's warp knows positions to 1/32 of a pixel.
    assert np.abs(ours - theirs).max() <= 4
    assert np.abs(ours - theirs).mean() < 0.3
    wide = template.chips(torch.from_numpy(images[:1]), torch.from_numpy(points[:1]), 128).numpy().astype(int)
    assert np.abs(wide[0] - face_align.norm_crop(images[0], points[0] - 0.5, 128)).max() <= 4


def test_points_that_are_not_finite_give_a_black_chip(faces: tuple[np.ndarray, np.ndarray]) -> None:
    images, points = (torch.from_numpy(array[:2].copy()) for array in faces)
    points[0, 2, 1] = torch.nan
    points[1] = 50.0
    assert not template.chips(images, points).any()


@pytest.mark.parametrize(
    ("batch", "stuck", "together"), [("N", False, True), (1, False, True), (1, True, False)]
)
def test_a_recognizer_gives_the_packages_own_embeddings(
    folder: Path, faces: tuple[np.ndarray, np.ndarray], batch: int | str, stuck: bool, together: bool
) -> None:
    path = make.arcface(folder / "small.onnx", batch=batch, stuck=stuck)
    machine: Any = catalog.recognizer("onnx:small.onnx")
    assert machine.size == 512
    assert (machine._network.micro > 1) == together
    images, points = faces
    theirs = their_embeddings(path, images, points)
    ours = machine.embed(torch.from_numpy(images), torch.from_numpy(points)).numpy()
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, atol=0.02 * scale)
    same = template.chips(torch.from_numpy(images), torch.from_numpy(points))
    alone = np.concatenate([their(path).get_feat(chip[..., ::-1].copy()) for chip in same.numpy()])
    np.testing.assert_allclose(machine.embed_chips(same).numpy(), alone, atol=1e-5 * scale)


def test_an_embedding_does_not_depend_on_its_neighbors(
    folder: Path, faces: tuple[np.ndarray, np.ndarray]
) -> None:
    make.arcface(folder / "small.onnx")
    machine = catalog.recognizer("onnx:small.onnx")
    images, points = (torch.from_numpy(array) for array in faces)
    whole = machine.embed(images, points)
    for rows in ([3], [10, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8]):
        assert torch.equal(machine.embed(images[rows], points[rows]), whole[rows])


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_a_detector_gives_the_packages_own_answers(folder: Path, points: bool, old: bool) -> None:
    path = make.scrfd(folder / "det.onnx", points=points, old=old)
    model = their(path)
    images = np.random.default_rng(1).integers(0, 256, (9, 96, 160, 3), dtype=np.uint8)
    machine: Any = catalog.detector("onnx:det.onnx")
    assert machine._network.micro > 1
    ours = machine.score(torch.from_numpy(images))
    for k, image in enumerate(images):
        boxes, marks = model.detect(image[..., ::-1], input_size=(160, 96), det_thresh=1e-6)
        assert ours.score[k].item() == pytest.approx(boxes[0, 4], rel=1e-4)
        np.testing.assert_allclose(ours.box_px[k].numpy(), boxes[0, :4], atol=1e-2)
        if points:
            assert ours.points_px is not None
            np.testing.assert_allclose(ours.points_px[k].numpy() - 0.5, marks[0], atol=1e-2)
        else:
            assert ours.points_px is None
    part = machine.score(torch.from_numpy(images[4:5]))
    assert torch.equal(part.score, ours.score[4:5])


def test_only_boxes_centered_in_the_region_count(folder: Path) -> None:
    make.scrfd(folder / "det.onnx")
    machine = catalog.detector("onnx:det.onnx")
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8))
    anywhere = machine.score(images)
    left, top, right, bottom = anywhere.box_px[0].tolist()
    x, y = (left + right) / 2, (top + bottom) / 2
    around = torch.tensor([[x - 1, y - 1, x + 1, y + 1]]).expand(2, 4)
    assert machine.score(images, around).score[0] == anywhere.score[0]
    nowhere = machine.score(images, torch.full((2, 4), -1000.0))
    assert nowhere.score.tolist() == [0.0, 0.0]
    assert not nowhere.box_px.any()


def test_a_detector_of_one_size_scores_enlarged_pictures(folder: Path) -> None:
    path = make.scrfd(folder / "det.onnx", side=320)
    ours = catalog.detector("onnx:det.onnx").score(torch.full((3, 160, 160, 3), 90, dtype=torch.uint8))
    boxes, _ = their(path).detect(np.full((160, 160, 3), 90, np.uint8), det_thresh=1e-6)
    np.testing.assert_allclose(ours.score.numpy(), boxes[0, 4], rtol=1e-4)
    np.testing.assert_allclose(ours.box_px[0].numpy(), boxes[0, :4], atol=1e-2)


def test_a_pack_is_listed_by_pack_and_file(folder: Path) -> None:
    make.scrfd(folder / "buffalo_l" / "det_10g.onnx")
    make.arcface(folder / "buffalo_l" / "w600k_r50.onnx", batch=1)
    (folder / "buffalo_l" / "genderage.onnx").write_bytes(b"no model")
    kinds = {info.name: info for info in catalog.found()}
    assert {name: info.kind for name, info in kinds.items()} == {
        "insightface:buffalo_l/det_10g": "detect",
        "insightface:buffalo_l/w600k_r50": "recognize",
    }
    assert all(info.research_only and "non-commercial" in info.licence for info in kinds.values())
    assert "WIDER" in kinds["insightface:buffalo_l/det_10g"].training_data
    assert catalog.recognizer("insightface:buffalo_l/w600k_r50").size == 512


def test_a_file_travels_under_its_hash(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    original = make.arcface(tmp_path_factory.mktemp("elsewhere") / "mine.onnx")
    sha256 = files.sha256_of(original)
    with pytest.raises(Unavailable, match=r"onnx:mine\.onnx.*DATAMASK_MODELS"):
        catalog.model_info("onnx:mine.onnx", sha256)
    assert catalog.model_info("onnx:mine.onnx", needed=False).kind == "unknown"
    original.rename(folder / f"{sha256}.onnx")
    assert catalog.model_info("onnx:mine.onnx", sha256).sha256 == sha256
    make.arcface(folder / "mine.onnx", size=64)
    assert catalog.model_info("onnx:mine.onnx", sha256).sha256 == sha256
    assert catalog.model_info("onnx:mine.onnx").sha256 != sha256


def test_files_of_another_shape_are_refused_in_one_line(folder: Path) -> None:
    (folder / "text.onnx").write_text("not a network")
    make.arcface(folder / "small.onnx", side=96)
    make.arcface(folder / "pair.onnx", batch=2)
    for name, words in (("text", "not an ONNX file"), ("small", "S >= 112"), ("pair", "2 images at a time")):
        with pytest.raises(BadInput, match=words) as refused:
            catalog.model_info(f"onnx:{name}.onnx")
        assert "\n" not in str(refused.value)
        assert f"{name}.onnx" in str(refused.value)
    with pytest.raises(BadInput, match=r"onnx:PATH\.onnx"):
        catalog.model_info("onnx:weights.dat", needed=False)
    with pytest.raises(BadInput, match="insightface:PACK/FILE"):
        catalog.model_info("insightface:buffalo_l", needed=False)


def test_weights_outside_of_the_file_are_refused(folder: Path) -> None:
    import onnx

    model = onnx.load(str(make.arcface(folder / "whole.onnx")))
    onnx.save(
        model, str(folder / "split.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0
    )
    with pytest.raises(BadInput, match="save the model as one file"):
        onnx_files.inspect(folder / "split.onnx")


def test_a_file_that_changes_is_noticed(folder: Path) -> None:
    make.arcface(folder / "mine.onnx")
    info = catalog.model_info("onnx:mine.onnx")
    make.arcface(folder / "mine.onnx", size=64)
    from services.recognition.networks.arcface import ArcFaceRecognizer

    with pytest.raises(BadInput, match="has changed"):
        ArcFaceRecognizer(info)


def test_reading_a_header_loads_no_runtime(folder: Path) -> None:
    make.arcface(folder / "mine.onnx")
    script = (
        "import sys; from services.recognition import catalog;"
        "print(catalog.model_info('onnx:mine.onnx').kind,"
        "sorted({'torch', 'onnxruntime', 'insightface', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "recognize []"


def test_trained_weights_give_the_packages_own_embeddings(
    folder: Path, faces: tuple[np.ndarray, np.ndarray]
) -> None:
    path = trained()
    (folder / path.name).symlink_to(path)
    machine = catalog.recognizer("onnx:mobileface.onnx")
    images, points = faces
    ours = machine.embed(torch.from_numpy(images), torch.from_numpy(points))
    theirs = torch.from_numpy(their_embeddings(path, images, points))
    assert torch.nn.functional.cosine_similarity(ours, theirs).min() > 0.998
