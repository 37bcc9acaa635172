"""MobileFaceNet in torch: equal to TensorFlow Lite's answers with another package's file of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.recognition import catalog, template
from services.recognition.layout import from_dlib
from services.recognition.networks import tfjs
from services.recognition.networks.mobilefacenet import MobileFaceNet
from services.recognition.networks.recognizer import NetworkRecognizer
from tests.support.weights import need_weights

TOLERANCE = 2e-6
ANSWERS = Path(__file__).parents[2] / "data" / "mobilefacenet.npz"  # python -m bench.tensorflow_lite


@pytest.fixture(scope="module")
def machine() -> NetworkRecognizer:
    need_weights("mobilefacenet")
    made = catalog.recognizer("mobilefacenet")
    assert isinstance(made, NetworkRecognizer)
    return made


@pytest.fixture(scope="module")
def answers() -> tuple[torch.Tensor, NDArray[np.float32]]:
    """Faces uint8 (7, 112, 112, 3), photographed and rendered, and what TensorFlow Lite says of them."""
    with np.load(ANSWERS) as file:
        return torch.from_numpy(file["chips"]), file["answers"]


def test_embeddings_equal_tensorflow_lites(
    machine: NetworkRecognizer, answers: tuple[torch.Tensor, NDArray[np.float32]]
) -> None:
    chips, expected = answers
    found = machine.embed_chips(chips)
    assert found.dtype == torch.float32
    assert found.shape == (len(chips), machine.size)
    assert np.abs(found.numpy() - expected).max() <= TOLERANCE


def test_the_packages_graph_as_it_stands_takes_all_for_one_person(
    answers: tuple[torch.Tensor, NDArray[np.float32]],
) -> None:
    """Why the slopes are turned round: see services/recognition/networks/mobilefacenet.py."""
    need_weights("mobilefacenet")
    weights = tfjs.read_weights(catalog.read_verified(catalog.model_info("mobilefacenet")), "file")
    there = {name: -value if name.endswith("/mul") else value for name, value in weights.items()}
    there |= {n: np.zeros_like(v) for n, v in weights.items() if n.endswith("SeparableConv2d/mul")}
    said = MobileFaceNet(there).embed(answers[0][:6])
    assert float((said @ said.T).min()) > 0.99


def test_neighbors_in_the_batch_change_nothing(
    machine: NetworkRecognizer, answers: tuple[torch.Tensor, NDArray[np.float32]]
) -> None:
    chips = answers[0]
    many = torch.cat([chips] * 5)  # more than one slice
    alone = torch.cat([machine.embed_chips(chips[k : k + 1]) for k in (0, 1, len(chips) - 1)])
    assert torch.equal(machine.embed_chips(many)[[0, 1, -1]], alone)


def test_it_aligns_by_arcfaces_template(machine: NetworkRecognizer, renders: Any) -> None:
    points = from_dlib(renders.points_px, template.POINT_NAMES)
    chips = template.chips(renders.images, points)
    assert torch.equal(machine.embed(renders.images, points), machine.embed_chips(chips))
    assert machine.points == template.POINT_NAMES


def test_middles_and_likeness_are_those_of_directions(machine: NetworkRecognizer) -> None:
    two = torch.nn.functional.normalize(torch.eye(machine.size)[:2] + 0.1, dim=1)
    middle = machine.center(two)
    assert float(middle.norm()) == pytest.approx(1.0)
    assert torch.equal(middle, machine.between(two))
    assert machine.compare(two, middle).tolist() == pytest.approx([float(two[0] @ middle)] * 2)
    assert machine.unlikeness(two)[0, 1].item() == pytest.approx(1.0 - float(two[0] @ two[1]))


def test_no_chips_give_no_embeddings(machine: NetworkRecognizer) -> None:
    assert machine.embed_chips(torch.zeros((0, 112, 112, 3), dtype=torch.uint8)).shape == (0, 192)


@pytest.mark.parametrize("shape", [(1, 160, 160, 3), (112, 112, 3), (1, 3, 112, 112)])
def test_other_shapes_are_refused(machine: NetworkRecognizer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="112"):
        machine.embed_chips(torch.zeros(shape, dtype=torch.uint8))


def test_half_precision_says_nearly_the_same(answers: tuple[torch.Tensor, NDArray[np.float32]]) -> None:
    need_weights("mobilefacenet")
    machine = catalog.recognizer("mobilefacenet")
    assert isinstance(machine, NetworkRecognizer)
    full = machine.embed_chips(answers[0][:2])
    machine.halve()
    half = machine.embed_chips(answers[0][:2])
    assert not torch.equal(half, full)
    assert float((half - full).norm(dim=1).max()) < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(
    machine: NetworkRecognizer, answers: tuple[torch.Tensor, NDArray[np.float32]]
) -> None:
    there = catalog.recognizer("mobilefacenet", "cuda")
    assert isinstance(there, NetworkRecognizer)
    torch.testing.assert_close(
        there.embed_chips(answers[0].cuda()).cpu(), machine.embed_chips(answers[0]), atol=1e-4, rtol=0
    )
