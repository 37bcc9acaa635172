from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.dlib import weights
from services.recognition.dlib.mmod import MmodDetector
from services.recognition.dlib.resnet import DlibResNet
from services.recognition.dlib.weights import Convolution, Dense, FoldedConvolution, Relu, Scale


@pytest.fixture(scope="module")
def mmod_bytes() -> bytes:
    return catalog.verify(catalog.model_info("dlib-mmod")).read_bytes()


def test_mmod_is_read_to_the_last_byte(mmod_bytes: bytes) -> None:
    network = weights.parse(mmod_bytes, "mmod")
    assert network.loss == "loss_mmod_"
    assert network.window_px == (80, 80)
    assert network.mean_rgb == pytest.approx((122.782, 117.001, 104.298), abs=1e-5)
    convolutions = [layer for layer in network.layers if isinstance(layer, Convolution)]
    assert [layer.filters.shape for layer in convolutions] == [
        (16, 3, 5, 5),
        (32, 16, 5, 5),
        (32, 32, 5, 5),
        (45, 32, 5, 5),
        (45, 45, 5, 5),
        (45, 45, 5, 5),
        (1, 45, 9, 9),
    ]
    assert [(layer.stride, layer.padding) for layer in convolutions] == [(2, 0)] * 3 + [(1, 2)] * 3 + [(1, 4)]


def test_resnet_has_29_convolutions_and_one_dense_layer() -> None:
    network = weights.load(catalog.model_info("dlib-resnet"))
    assert sum(isinstance(layer, Convolution) for layer in network.layers) == 29
    last = network.layers[-1]
    assert isinstance(last, Dense)
    assert last.weights.shape == (256, 128)


def test_weights_are_read_only(mmod_bytes: bytes) -> None:
    first = weights.parse(mmod_bytes, "mmod").layers[0]
    assert isinstance(first, Convolution)
    with pytest.raises(ValueError, match="read-only"):
        first.filters[0, 0, 0, 0] = 1.0


@pytest.mark.parametrize("kept", [0, 1, 40, 500, 5000, 400_000])
def test_a_cut_file_is_corrupt(mmod_bytes: bytes, kept: int) -> None:
    with pytest.raises(CorruptData, match="mmod: byte"):
        weights.parse(mmod_bytes[:kept], "mmod")


def test_trailing_bytes_are_corrupt(mmod_bytes: bytes) -> None:
    with pytest.raises(CorruptData):
        weights.parse(mmod_bytes + b"\x01\x01", "mmod")


def test_a_number_that_is_not_finite_is_corrupt(mmod_bytes: bytes) -> None:
    first = weights.parse(mmod_bytes, "mmod").layers[0]
    assert isinstance(first, Convolution)
    at = mmod_bytes.index(first.filters.tobytes()[:16])
    broken = mmod_bytes[:at] + np.float32(np.nan).tobytes() + mmod_bytes[at + 4 :]
    with pytest.raises(CorruptData, match="not finite"):
        weights.parse(broken, "mmod")


def test_changed_structure_bytes_never_pass_silently(mmod_bytes: bytes) -> None:
    """Each of the first 160 bytes, which hold no weights, is flipped in one bit."""
    plain = weights.parse(mmod_bytes, "mmod")
    for at in range(160):
        broken = bytearray(mmod_bytes)
        broken[at] ^= 0x40
        try:
            network = weights.parse(bytes(broken), "mmod")
        except CorruptData:
            continue
        # Training's options and the means are numbers like any others: the hash guards them.
        assert len(network.layers) == len(plain.layers), at


@pytest.mark.parametrize(("name", "model"), [("dlib-mmod", MmodDetector), ("dlib-resnet", DlibResNet)])
def test_models_refuse_weights_with_another_hash(
    tmp_path: Path, name: str, model: type[MmodDetector] | type[DlibResNet]
) -> None:
    info = catalog.model_info(name)
    path = tmp_path / "weights.dat"
    path.write_bytes(catalog.verify(info).read_bytes()[:-1] + b"1")
    with pytest.raises(CorruptData, match=info.sha256):
        model("cpu", path)


def test_folding_equals_convolution_then_scale() -> None:
    rng = np.random.default_rng(3)
    filters = rng.standard_normal((4, 3, 5, 5), dtype=np.float32)
    bias, gamma, beta = rng.standard_normal((3, 4), dtype=np.float32)
    (folded,) = weights.fold((Convolution(filters, bias, 1, 0), Scale(gamma, beta), Relu()))
    assert isinstance(folded, FoldedConvolution)
    assert folded.relu
    window = rng.standard_normal((3, 5, 5), dtype=np.float32)
    plain = ((filters * window).sum(axis=(1, 2, 3)) + bias) * gamma + beta
    np.testing.assert_allclose((folded.filters * window).sum(axis=(1, 2, 3)) + folded.bias, plain, atol=1e-5)
