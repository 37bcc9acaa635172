"""FaceNet in torch: equal to the package's frozen graph in OpenCV, and to itself in any company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.frozen_graph import opencv_network
from services.errors import CorruptData, Unavailable
from services.recognition import catalog, template
from services.recognition.dlib.audit import find_face
from services.recognition.layout import from_dlib
from services.recognition.networks import facenet
from services.recognition.networks.recognizer import NetworkRecognizer
from tests.support.weights import need_weights

TOLERANCE = 1e-6
ASTRONAUT = "astronaut.png"


@pytest.fixture(scope="module")
def machine() -> NetworkRecognizer:
    need_weights("facenet")
    made = catalog.recognizer("facenet")
    assert isinstance(made, NetworkRecognizer)
    return made


@pytest.fixture(scope="module")
def photo() -> tuple[torch.Tensor, torch.Tensor]:
    """A photograph uint8 (1, H, W, 3), and the landmarks in it."""
    import skimage.data

    face = find_face(Path(skimage.data.__file__).parent / ASTRONAUT)
    points = from_dlib(torch.from_numpy(face.points_px[None]), template.POINT_NAMES)
    return torch.from_numpy(face.photo[None].copy()), points


def own_points(renders: Any) -> torch.Tensor:
    """Landmarks of the renders' faces, as template.POINT_NAMES, from those that dlib's recognizer takes."""
    return from_dlib(renders.points_px, template.POINT_NAMES)


@pytest.fixture(scope="module")
def chips(photo: tuple[torch.Tensor, torch.Tensor], renders: Any) -> torch.Tensor:
    """A photograph, six renders, noise and white."""
    noise = np.random.default_rng(2).integers(0, 256, (1, 160, 160, 3), dtype=np.uint8)
    plain = np.full((1, 160, 160, 3), 255, np.uint8)
    cut = [facenet.chips(*photo), facenet.chips(renders.images, own_points(renders))]
    return torch.cat([*cut, torch.from_numpy(noise), torch.from_numpy(plain)])


def test_embeddings_equal_opencvs_of_the_packages_own_graph(
    machine: NetworkRecognizer, chips: torch.Tensor
) -> None:
    network = opencv_network(catalog.read_verified(catalog.model_info("facenet")))
    expected = []
    for chip in chips.numpy():
        network.setInput(((chip.astype(np.float32) - 127.5) / 128.0).transpose(2, 0, 1)[None])
        expected.append(network.forward()[0].copy())
    found = machine.embed_chips(chips)
    assert found.dtype == torch.float32
    assert found.shape == (len(chips), machine.size)
    assert np.abs(found.numpy() - np.stack(expected)).max() <= TOLERANCE


def test_neighbors_in_the_batch_change_nothing(machine: NetworkRecognizer, chips: torch.Tensor) -> None:
    many = torch.cat([chips, chips, chips, chips])  # more than one slice
    alone = torch.cat([machine.embed_chips(chips[k : k + 1]) for k in (0, 1, len(chips) - 1)])
    assert torch.equal(machine.embed_chips(many)[[0, 1, -1]], alone)


def test_one_person_is_nearer_to_herself_than_to_a_mask(
    machine: NetworkRecognizer, photo: tuple[torch.Tensor, torch.Tensor], renders: Any
) -> None:
    image, points = photo
    mirrored = points.clone()
    mirrored[..., 0] = image.shape[2] - points[..., 0]
    one, other = machine.embed(image, points), machine.embed(image.flip(2), mirrored[:, [1, 0, 2, 4, 3]])
    masks = machine.embed(renders.images, own_points(renders))
    assert float(machine.compare(other, one[0])) > 0.9
    assert float(machine.compare(masks, one[0]).max()) < catalog.model_info("facenet").threshold


def test_a_chip_shows_the_face_as_the_network_was_trained_with_it(renders: Any) -> None:
    """A picture whose colors say where its pixels are, cut by known points."""
    at = torch.arange(160, dtype=torch.uint8)
    compass = torch.stack(
        [at[None, :].expand(160, -1), at[:, None].expand(-1, 160), torch.zeros(160, 160).byte()], -1
    )
    box = torch.tensor(facenet._BOX) * torch.tensor([60.0, 60.0 * facenet._BOX_HEIGHT])
    points = (box + torch.tensor([50.0, 40.0]))[None].float()
    (chip,) = facenet.chips(compass[None], points).numpy().astype(int)
    # The box is 60 wide from 50 on and 78 high from 40 on; a chip shows 1.3 and 1.2 of it about its middle.
    width, height = 60 * facenet._SHOWN[0], 78 * facenet._SHOWN[1]
    left, top = 80 - width / 2, 79 - height / 2
    steps = (np.arange(160) + 0.5) / 160
    assert np.abs(chip[80, :, 0] - (left + width * steps - 0.5)).max() <= 1.0
    assert np.abs(chip[:, 80, 1] - (top + height * steps - 0.5)).max() <= 1.0


def test_a_large_photograph_gives_the_face_of_a_small_one(
    machine: NetworkRecognizer, photo: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Shrinking must not alias: four times the pixels are the same person."""
    image, points = photo
    large = image.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    one, other = machine.embed(image, points), machine.embed(large, points * 4)
    assert float(machine.compare(other, one[0])) > 0.98


def test_what_is_no_face_gives_numbers_all_the_same(machine: NetworkRecognizer, renders: Any) -> None:
    nowhere = torch.full((2, 5, 2), torch.nan)
    found = machine.embed(renders.images[:2], nowhere)
    assert torch.isfinite(found).all()
    assert machine.embed(renders.images[:0], nowhere[:0]).shape == (0, machine.size)


@pytest.mark.parametrize("shape", [(1, 112, 112, 3), (160, 160, 3), (1, 3, 160, 160)])
def test_other_shapes_are_refused(machine: NetworkRecognizer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="160"):
        machine.embed_chips(torch.zeros(shape, dtype=torch.uint8))


def test_half_precision_says_nearly_the_same(chips: torch.Tensor) -> None:
    need_weights("facenet")
    machine = catalog.recognizer("facenet")
    assert isinstance(machine, NetworkRecognizer)
    full = machine.embed_chips(chips[:2])
    machine.halve()
    half = machine.embed_chips(chips[:2])
    assert not torch.equal(half, full)
    assert float((half - full).norm(dim=1).max()) < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(machine: NetworkRecognizer, chips: torch.Tensor) -> None:
    there = catalog.recognizer("facenet", "cuda")
    assert isinstance(there, NetworkRecognizer)
    torch.testing.assert_close(
        there.embed_chips(chips.cuda()).cpu(), machine.embed_chips(chips), atol=1e-4, rtol=0
    )


def test_damaged_weights_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_weights("facenet")
    info = catalog.model_info("facenet")
    data = bytearray(catalog.read_verified(info))
    data[len(data) // 2] ^= 1
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATAMASK_MODELS", str(tmp_path))
    (tmp_path / "facenet.pb").write_bytes(data)
    with pytest.raises(CorruptData, match=f"expected {info.sha256}.*datamask models --get facenet") as caught:
        catalog.recognizer("facenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["facenet", "mobilefacenet"])
def test_missing_weights_say_how_to_get_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    with pytest.raises(Unavailable, match=f"^{name}: weights not found; .*datamask models --get {name}$"):
        catalog.recognizer(name)


def test_weights_are_found_by_their_hash_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_weights("mobilefacenet")
    info = catalog.model_info("mobilefacenet")
    data = catalog.read_verified(info)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATAMASK_MODELS", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"{info.sha256}.tfjs").write_bytes(data)
    assert catalog.verify(info) == tmp_path / "other" / f"{info.sha256}.tfjs"
    own = tmp_path / ".datamask" / "models"
    own.mkdir(parents=True)
    monkeypatch.delenv("DATAMASK_MODELS")
    (own / "mobilefacenet.tfjs").write_bytes(data)
    assert catalog.verify(info) == own / "mobilefacenet.tfjs"
