from __future__ import annotations

from typing import Any

import dlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.transform import resize

from services.recognition import catalog
from services.recognition.dlib import alignment
from services.recognition.dlib.resnet import DlibResNet

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def resnet() -> DlibResNet:
    return DlibResNet("cpu")


@pytest.fixture(scope="module")
def chips(photo_crops: NDArray[np.uint8], renders: Any) -> torch.Tensor:
    """Chips of photographs and renders, noise, and two plain ones."""
    photos = [(resize(crop, (150, 150)) * 255).round().astype(np.uint8) for crop in photo_crops[:4]]
    noise = np.random.default_rng(2).integers(0, 256, (1, 150, 150, 3), dtype=np.uint8)
    plain = np.stack([np.zeros((150, 150, 3), np.uint8), np.full((150, 150, 3), 255, np.uint8)])
    fixed = torch.from_numpy(np.concatenate([np.stack(photos), noise, plain]))
    return torch.cat([fixed, alignment.chips(renders.images, renders.points_px)])


def test_embeddings_equal_dlibs(resnet: DlibResNet, chips: torch.Tensor) -> None:
    theirs = dlib.face_recognition_model_v1(str(catalog.verify(catalog.model_info("dlib-resnet"))))
    expected = np.array([np.array(theirs.compute_face_descriptor(chip)) for chip in chips.numpy()])
    found = resnet.embed(chips)
    assert found.dtype == torch.float32
    assert found.shape == (len(chips), 128)
    assert np.abs(found.numpy() - expected).max() <= TOLERANCE


def test_neighbors_in_the_batch_change_nothing(resnet: DlibResNet, chips: torch.Tensor) -> None:
    alone = torch.cat([resnet.embed(chips[index : index + 1]) for index in range(5)])
    assert torch.equal(resnet.embed(chips)[:5], alone)


def test_no_chips_give_no_embeddings(resnet: DlibResNet) -> None:
    assert resnet.embed(torch.zeros((0, 150, 150, 3), dtype=torch.uint8)).shape == (0, 128)


@pytest.mark.parametrize("shape", [(1, 149, 150, 3), (150, 150, 3), (1, 3, 150, 150)])
def test_other_shapes_are_refused(resnet: DlibResNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="150"):
        resnet.embed(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(resnet: DlibResNet, chips: torch.Tensor) -> None:
    there = DlibResNet("cuda").embed(chips.cuda()).cpu()
    torch.testing.assert_close(there, resnet.embed(chips), atol=1e-4, rtol=0)
