"""Reads the networks in dlib's ``.dat`` files, field by field.

The format is that of dlib's own serialize() functions (dlib/serialize.h, dlib/dnn/core.h, layers.h, loss.h
and input.h). A file starts with the loss layer; then come the versions of all layers, from the output to the
input; then the input layer; then every layer's own fields, from the input to the output, each followed by
what training left behind. Whatever is not exactly as expected raises CorruptData: nothing is guessed,
searched or unpickled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.dlib.numbers import Numbers

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Convolution:
    """filters float32 (out, in, k, k), bias float32 (out,); stride and padding in pixels, both ways."""

    filters: Array
    bias: Array
    stride: int
    padding: int


@dataclass(frozen=True)
class Scale:
    """x * gamma + beta per channel, float32 (c,) each; batch norm becomes this by its running values."""

    gamma: Array
    beta: Array


@dataclass(frozen=True)
class Pool:
    """Largest ("max") or mean ("avg") value of size x size windows; size 0 means the whole image."""

    kind: str
    size: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class AddPrevious:
    """Adds an earlier layer's output, the smaller operand padded with zeros."""


@dataclass(frozen=True)
class Dense:
    """x @ weights, float32 (in, out), no bias."""

    weights: Array


Layer = Convolution | Scale | Pool | Relu | AddPrevious | Dense


@dataclass(frozen=True)
class Network:
    """A parsed file.

    loss: dlib's name of the loss layer. window_px: (width, height) of the sliding window, None without one.
    mean_rgb: what is taken off red, green and blue (0 to 255) before division by 256.
    layers: from the input to the output.
    """

    loss: str
    window_px: tuple[int, int] | None
    mean_rgb: tuple[float, float, float]
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class FoldedConvolution:
    """A convolution with the scale that follows it folded in, and whether max(x, 0) follows that."""

    filters: Array
    bias: Array
    stride: int
    padding: int
    relu: bool


def fold(layers: tuple[Layer, ...]) -> tuple[FoldedConvolution | Pool | Relu | AddPrevious | Dense, ...]:
    """The same network with every Scale folded into the convolution before it, in double precision."""
    folded: list[FoldedConvolution | Pool | Relu | AddPrevious | Dense] = []
    waiting = list(reversed(layers))
    while waiting:
        layer = waiting.pop()
        if not isinstance(layer, Convolution):
            if isinstance(layer, Scale):
                raise CorruptData(
                    "a dlib network scales where no convolution comes before: install the weights again"
                )
            folded.append(layer)
            continue
        filters, bias = layer.filters.astype(np.float64), layer.bias.astype(np.float64)
        if waiting and isinstance(waiting[-1], Scale):
            scale = waiting[-1]
            waiting.pop()
            filters = filters * scale.gamma[:, None, None, None]
            bias = bias * scale.gamma + scale.beta
        relu = bool(waiting) and isinstance(waiting[-1], Relu)
        if relu:
            waiting.pop()
        single = filters.astype(np.float32), bias.astype(np.float32)
        folded.append(FoldedConvolution(*single, layer.stride, layer.padding, relu))
    return tuple(folded)


def load(info: catalog.ModelInfo, path: Path | None = None) -> Network:
    """The network of a catalog entry, from path or from where the catalog finds it.

    Unavailable if the file is missing; CorruptData if its SHA-256 or its format is not the expected one.
    """
    return parse(catalog.read_verified(info, path), info.name)


def parse(data: bytes, where: str) -> Network:
    """The network in a ``.dat`` file's bytes; where names it in the CorruptData that any surprise raises."""
    reader = _Reader(data, where)
    reader.expect(1, "version of the loss layer")
    loss, window_px = _read_loss(reader)
    innermost_version = _read_layer_versions(reader)
    mean_rgb = _read_input(reader)
    layers: list[Layer] = [_read_layer(reader)]
    if innermost_version == 3:
        reader.expect(1, "sample expansion factor")
    while not reader.at_end():
        layers.append(_read_layer(reader))
    return Network(loss, window_px, mean_rgb, tuple(layers))


class _Reader(Numbers):
    """dlib's other values, too."""

    def __init__(self, data: bytes, where: str) -> None:
        super().__init__(data, where, "not a dlib network that datamask knows: install the weights again")

    def boolean(self, what: str) -> bool:
        letter = self.take(1, what)
        if letter not in (b"0", b"1"):
            raise self.fail(f"{what} is {letter!r}, expected '0' or '1'")
        return letter == b"1"

    def text(self, what: str) -> str:
        raw = self.take(self.count(f"length of {what}", 0, 64), what)
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError:
            raise self.fail(f"{what} is {raw!r}, expected plain letters") from None

    def expect_text(self, expected: tuple[str, ...], what: str) -> str:
        found = self.text(what)
        if found not in expected:
            raise self.fail(f"{what} is {found!r}, expected {' or '.join(expected)}")
        return found

    def shape(self, what: str) -> tuple[int, int, int, int]:
        names = ("samples", "channels", "rows", "columns")
        dims = [self.count(f"{name} of {what}") for name in names]
        return dims[0], dims[1], dims[2], dims[3]

    def alias(self, what: str) -> tuple[int, int, int, int]:
        """The shape of a view into a layer's parameters (dlib's alias_tensor)."""
        self.expect(1, f"version of {what}")
        return self.shape(what)

    def tensor(self, what: str) -> Array:
        """Version 2, four dimensions, then little-endian float32; read-only, of that shape."""
        self.expect(2, f"version of {what}")
        shape = self.shape(what)
        size = math.prod(shape)
        if size * 4 > len(self._data):
            raise self.fail(f"{what} claims {size} numbers")
        values = np.frombuffer(self.take(size * 4, what), dtype="<f4").reshape(shape)
        if not np.isfinite(values).all():
            raise self.fail(f"{what} holds numbers that are not finite")
        return values.astype(np.float32, copy=False)


def _read_loss(reader: _Reader) -> tuple[str, tuple[int, int] | None]:
    name = reader.expect_text(("loss_mmod_", "loss_metric_", "loss_metric_2"), "the loss layer")
    if name == "loss_mmod_":
        reader.expect(1, "version of the detector's options")
        window = (reader.count("window width", 1, 4096), reader.count("window height", 1, 4096))
        for what in (
            "loss per false alarm",
            "loss per missed target",
            "overlap of a match",
            "overlap of suppression",
            "cover of suppression",
            "overlap of ignored boxes",
            "cover of ignored boxes",
        ):
            reader.real(what)
        return name, window
    if name == "loss_metric_2":
        reader.real("margin")
        reader.real("distance threshold")
    return name, None


def _read_layer_versions(reader: _Reader) -> int:
    """Passes over the versions of all layers and returns that of the innermost.

    The first integer that is no version is the length of the input layer's name.
    """
    version = 0
    while 1 <= reader.peek_integer() <= 3:
        version = reader.integer("version of a layer")
    if version < 2:
        raise reader.fail(f"the innermost layer has version {version}, expected 2 or 3")
    return version


def _read_input(reader: _Reader) -> tuple[float, float, float]:
    known = ("input_rgb_image_pyramid", "input_rgb_image_sized")
    name = reader.expect_text(known, "the input layer")
    red, green, blue = (reader.real(f"mean of {color}") for color in ("red", "green", "blue"))
    if name == "input_rgb_image_sized":
        reader.expect(150, "input rows")
        reader.expect(150, "input columns")
    return red, green, blue


def _read_layer(reader: _Reader) -> Layer:
    name = reader.text("a layer's name")
    layer = _read_fields(reader, name)
    for flag in ("is set up", "has a stale gradient", "hides its output"):
        reader.boolean(f"'{flag}' of {name}")
    for left_behind in ("gradient", "cached output", "parameter gradient"):
        if reader.tensor(f"{left_behind} of {name}").size:
            raise reader.fail(f"{name} carries a {left_behind}, as if training had been cut off")
    return layer


def _read_fields(reader: _Reader, name: str) -> Layer:
    if name == "con_4":
        return _read_convolution(reader)
    if name == "affine_":
        return _read_affine(reader)
    if name == "bn_con2":
        return _read_batch_norm(reader)
    if name == "fc_2":
        return _read_dense(reader)
    if name in ("max_pool_2", "avg_pool_2"):
        return _read_pool(reader, name)
    if name == "relu_":
        return Relu()
    if name == "add_prev_":
        return AddPrevious()
    raise reader.fail(f"unknown layer {name!r}")


def _same(reader: _Reader, what: str, high: int) -> int:
    """One value that is stored for rows and for columns, and must be the same."""
    rows, columns = reader.count(f"{what} in rows", 0, high), reader.count(f"{what} in columns", 0, high)
    if rows != columns:
        raise reader.fail(f"{what} is {rows} in rows but {columns} in columns")
    return rows


def _read_convolution(reader: _Reader) -> Convolution:
    params = reader.tensor("convolution parameters").reshape(-1)
    count = reader.count("number of filters", 1, 4096)
    size = _same(reader, "filter size", 64)
    stride = _same(reader, "stride", 16)
    padding = _same(reader, "padding", 64)
    filters, bias = reader.alias("filters"), reader.alias("biases")
    _read_multipliers(reader, 4)
    split = math.prod(filters)
    if filters[0] != count or filters[2:] != (size, size) or bias != (1, count, 1, 1):
        raise reader.fail(
            f"filters {filters} and biases {bias} do not belong to {count} filters of size {size}"
        )
    if split + count != params.size:
        raise reader.fail(f"a convolution has {params.size} parameters, expected {split + count}")
    return Convolution(params[:split].reshape(filters), params[split:], stride, padding)


def _read_affine(reader: _Reader) -> Scale:
    params = reader.tensor("affine parameters").reshape(-1)
    scale = _split_scale(reader, params)
    reader.integer("mode of an affine layer")
    return scale


def _read_batch_norm(reader: _Reader) -> Scale:
    params = reader.tensor("batch norm parameters").reshape(-1)
    scale = _split_scale(reader, params)
    for what in ("last means", "last inverse deviations"):
        reader.tensor(what)
    means = reader.tensor("running means").reshape(-1)
    variances = reader.tensor("running variances").reshape(-1)
    reader.count("number of updates", 0, 1 << 40)
    reader.count("statistics window", 0, 1 << 40)
    _read_multipliers(reader, 4)
    epsilon = reader.real("epsilon")
    if means.size != scale.gamma.size or variances.size != scale.gamma.size or (variances < 0).any():
        raise reader.fail("running means and variances do not fit the batch norm")
    # (x - mean) / sqrt(variance + epsilon) * gamma + beta, in double so that folding costs no accuracy
    factor = scale.gamma.astype(np.float64) / np.sqrt(variances.astype(np.float64) + epsilon)
    shift = scale.beta - factor * means
    return Scale(factor.astype(np.float32), shift.astype(np.float32))


def _split_scale(reader: _Reader, params: Array) -> Scale:
    gamma, beta = reader.alias("gamma"), reader.alias("beta")
    count = math.prod(gamma)
    if gamma != beta or gamma[1] != count or params.size != 2 * count:
        raise reader.fail(f"gamma {gamma} and beta {beta} do not share {params.size} parameters")
    return Scale(params[:count], params[count:])


def _read_dense(reader: _Reader) -> Dense:
    outputs, inputs = reader.count("outputs", 1), reader.count("inputs", 1)
    params = reader.tensor("dense parameters")
    weights = reader.alias("dense weights")
    reader.alias("dense biases")
    reader.expect(1, "dense layer's bias mode (1: none)")
    _read_multipliers(reader, 4)
    if params.size != inputs * outputs or math.prod(weights) != params.size:
        raise reader.fail(f"a dense layer has {params.size} parameters, expected {inputs} x {outputs}")
    return Dense(params.reshape(inputs, outputs))


def _read_pool(reader: _Reader, name: str) -> Pool:
    size, stride, padding = (_same(reader, what, 64) for what in ("window", "stride", "padding"))
    if stride == 0:
        raise reader.fail(f"{name} has stride 0")
    return Pool("max" if name == "max_pool_2" else "avg", size, stride, padding)


def _read_multipliers(reader: _Reader, count: int) -> None:
    """Learning rate and weight decay multipliers, which only training needs."""
    for _ in range(count):
        reader.real("a training multiplier")
