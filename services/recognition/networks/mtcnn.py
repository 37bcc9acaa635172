"""MTCNN, a cascade of three networks, as a graded detector.

Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks, IEEE Signal
Processing Letters 2016, with the weights and settings of facenet-pytorch, whose steps are followed. The first
network looks at windows of 12 x 12 pixels in a pyramid, the second at what it let pass, in 24 x 24, the third
in 48 x 48. Each drops most of what it is shown; how near a picture came to a face is in how far it got.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.detect import Detections
from services.recognition.networks.network import Array, Network, Step
from services.recognition.networks.precision import exact
from services.recognition.networks.suppress import suppressed
from services.recognition.networks.windows import SlicedDetector, cells, centered
from services.recognition.together import filled

NAME = "mtcnn"
THRESHOLDS = (0.6, 0.7, 0.7)
FLOOR = -3.0
"""Score of a picture without any window in its region."""

_SMALLEST_PX, _FACTOR = 20, 0.709
_CELL_PX, _STRIDE = 12, 2
_SIDES_PX = (24, 48)
_OVERLAPS = (
    0.5,
    0.7,
    0.7,
    0.7,
)  # within a level, within a picture, after the second network, after the third
_CPU_CROPS, _CUDA_CROPS = 32, 512
_LEAST = 1e-3  # what an accepted picture scores at least

Float = NDArray[np.float32]


@dataclass(frozen=True)
class _Found:
    """k windows: the picture of each (k,), boxes (k, 4), probabilities (k,), and what moves them (k, 4)."""

    picture: NDArray[np.int64]
    boxes: Float
    scores: Float
    moves: Float

    def __getitem__(self, chosen: NDArray[np.bool_]) -> _Found:
        return _Found(*(part[chosen] for part in vars(self).values()))


@dataclass(frozen=True)
class _Best:
    """The answers for n pictures so far; see :class:`Detections`."""

    scores: Float
    boxes: Float
    points: Float

    def reached(self, found: _Found, scores: Float, inside: NDArray[np.bool_], points: Float | None) -> None:
        """Put the best window of a stage in the place of what stands there, where it has any in a region."""
        for k in np.unique(found.picture[inside]):
            own = np.flatnonzero(inside & (found.picture == k))
            best = own[np.argmax(scores[own])]
            self.scores[k], self.boxes[k] = scores[best], found.boxes[best]
            if points is not None:
                self.points[k] = points[best]


class Mtcnn(SlicedDetector):
    """Scores above 0 where the cascade reports a face in the region: half the log odds by which its last
    network is surer than 0.7. Below 0 elsewhere: from -1 to 0 where a window got to the third network, from
    -2 where one got to the second, from -3 where none did, by how near it came to the next. Errors as
    :class:`YuNet`.
    """

    name = NAME

    def __init__(self, device: str | torch.device = "cpu") -> None:
        super().__init__(device)
        self._first, self._second, self._third = _networks(self._device)

    def _seen(self, images: torch.Tensor, regions: torch.Tensor | None) -> Detections:
        """Landmarks come along where the third network was asked; elsewhere they are zeros."""
        return self._told(self._cascade(images, regions)[0])

    @torch.inference_mode()
    def faces(self, image: torch.Tensor) -> Detections:
        """See :meth:`services.recognition.detect.ReportsFaces.faces`."""
        with exact(self._device):
            _, found = self._cascade(image[None], None)
        order = np.argsort(-found.scores, kind="stable")
        return self._told(_Best(*(part[order] for part in vars(found).values())))

    def _told(self, best: _Best) -> Detections:
        return Detections(*(torch.from_numpy(part).to(self._device) for part in vars(best).values()))

    def _cascade(self, images: torch.Tensor, regions: torch.Tensor | None) -> tuple[_Best, _Best]:
        """The best window of each picture, and every face that is reported in any."""
        n, height, width = images.shape[:3]
        best = _Best(
            np.full(n, FLOOR, np.float32), np.zeros((n, 4), np.float32), np.zeros((n, 5, 2), np.float32)
        )
        none = _Best(best.scores[:0], best.boxes[:0], best.points[:0])
        own = None if regions is None else regions.cpu().numpy()
        sums = _sums(images)
        windows = self._first_stage(images, regions, best)
        squares = _square(_moved(windows.boxes, windows.moves, 0))
        windows, corners = _cut(
            _Found(windows.picture, squares, windows.scores, windows.moves), height, width
        )
        if not len(windows.boxes):
            return best, none
        moves, scores = self._asked(self._second, sums, windows, corners, _SIDES_PX[0])
        best.reached(windows, _near(scores, 1) - 2.0, _inside(windows, own), None)
        windows = _Found(windows.picture, windows.boxes, scores, moves)[scores > THRESHOLDS[1]]
        windows = windows[suppressed(windows.boxes, windows.scores, windows.picture, _OVERLAPS[2], False)]
        squares = _square(_moved(windows.boxes, windows.moves, 1))
        windows, corners = _cut(
            _Found(windows.picture, squares, windows.scores, windows.moves), height, width
        )
        if not len(windows.boxes):
            return best, none
        moves, scores, marks = self._asked(self._third, sums, windows, corners, _SIDES_PX[1])
        points = _placed(windows.boxes, marks)
        best.reached(windows, _near(scores, 2) - 1.0, _inside(windows, own), points)
        boxes = _moved(windows.boxes, moves, 1)
        windows = _Found(windows.picture, boxes, scores, moves)
        passed = scores > THRESHOLDS[2]
        windows, points = windows[passed], points[passed]
        kept = suppressed(windows.boxes, windows.scores, windows.picture, _OVERLAPS[3], True)
        windows, points = windows[kept], points[kept]
        surer = np.maximum((_log_odds(windows.scores) - _log_odds(THRESHOLDS[2])) / 2.0, _LEAST)
        scores = surer.astype(np.float32)
        best.reached(windows, scores, _inside(windows, own), points)
        return best, _Best(scores, windows.boxes, points)

    def _first_stage(self, images: torch.Tensor, regions: torch.Tensor | None, best: _Best) -> _Found:
        """What the first network lets pass, without overlaps; its best windows go to ``best``."""
        height, width = images.shape[1:3]
        planes = images.permute(0, 3, 1, 2).float()
        highest = torch.zeros(len(images), device=self._device)
        box = torch.zeros((len(images), 4), device=self._device)
        found, levels = [], []
        for level, scale in enumerate(_scales(height, width)):
            shrunk = F.interpolate(planes, (int(height * scale + 1), int(width * scale + 1)), mode="area")
            moves, answers = self._first((shrunk - 127.5) * 0.0078125)
            scores = answers.softmax(dim=1)[:, 1]
            boxes = _cells(scores.shape[1], scores.shape[2], scale, scores.device)
            flat = scores.flatten(1)
            open_to = flat if regions is None else flat.masked_fill(~centered(boxes[None], regions), 0.0)
            here, index = open_to.max(dim=1)
            box = torch.where((here > highest)[:, None], boxes[index], box)
            highest = torch.maximum(here, highest)
            picture, cell = (flat >= THRESHOLDS[0]).nonzero(as_tuple=True)
            parts = picture, boxes[cell], flat[picture, cell], moves.flatten(2)[picture, :, cell]
            found.append(_Found(*(part.cpu().numpy() for part in parts)))
            levels.append(np.full(len(found[-1].picture), level))
        seen = highest.cpu().numpy()
        there = seen > 0
        best.scores[there], best.boxes[there] = (_near(seen, 0) - 3.0)[there], box.cpu().numpy()[there]
        if not found:
            empty = np.zeros((0, 4), np.float32)
            return _Found(np.zeros(0, np.int64), empty, empty[:, 0], empty)
        parts_of = zip(*(vars(level).values() for level in found), strict=True)
        windows = _Found(*(np.concatenate(parts) for parts in parts_of))
        groups = windows.picture * len(found) + np.concatenate(levels)
        windows = windows[suppressed(windows.boxes, windows.scores, groups, _OVERLAPS[0], False)]
        return windows[suppressed(windows.boxes, windows.scores, windows.picture, _OVERLAPS[1], False)]

    def _asked(
        self, network: Network, sums: torch.Tensor, windows: _Found, corners: NDArray[np.int64], side_px: int
    ) -> list[Float]:
        """Moves (k, 4), probabilities (k,) and what else a network says of crops, so many at a time."""
        most = _CPU_CROPS if self._device.type == "cpu" else _CUDA_CROPS
        pieces = []
        for start in range(0, len(corners), most):
            picture = torch.from_numpy(windows.picture[start : start + most]).to(self._device)
            where = torch.from_numpy(corners[start : start + most]).to(self._device)
            crops = (_crops(sums, picture, where, side_px) - 127.5) * 0.0078125
            moves, answers, *more = network(filled(crops, most))
            scores = answers.flatten(1).softmax(dim=1)[:, 1]
            parts = moves.flatten(1), scores, *(part.flatten(1) for part in more)
            pieces.append([part[: len(where)].cpu().numpy() for part in parts])
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def _networks(device: torch.device) -> tuple[Network, Network, Network]:
    info = catalog.model_info(NAME)
    data = catalog.read_verified(info)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        first = _steps("pnet", arrays, ((2, 2), None, None), ("conv4_2", "conv4_1"))
        second = _steps("rnet", arrays, ((3, 2), (3, 2), None), ("dense5_2", "dense5_1"), "dense4")
        pools = (3, 2), (3, 2), (2, 2), None
        third = _steps("onet", arrays, pools, ("dense6_2", "dense6_1", "dense6_3"), "dense5")
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptData(f"{NAME}: {info.file} holds other arrays ({error}); {info.how_to_get}") from None
    return tuple(Network(steps, heads, device) for steps, heads in (first, second, third))  # type: ignore[return-value]


def _steps(
    network: str,
    arrays: Mapping[str, Array],
    pools: tuple[tuple[int, int] | None, ...],
    heads: tuple[str, ...],
    dense: str | None = None,
) -> tuple[list[Step], tuple[str, ...]]:
    """One of the three: convolutions with PReLU and pools (size, stride) after them, then a dense layer where
    there is one, then heads. Dense layers are convolutions here that cover the whole map.
    """
    steps: list[Step] = []
    last = "picture"

    def append(layer: str, slope: Array | None, source: str) -> None:
        weight, bias = arrays[f"{network}.{layer}.weight"], arrays[f"{network}.{layer}.bias"]
        if weight.ndim == 2 and layer == dense:  # its inputs count columns, then rows, then channels
            channels = steps[-1].bias.size if steps[-1].bias is not None else 1
            side = round((weight.shape[1] / channels) ** 0.5)
            weight = weight.reshape(len(weight), side, side, channels).transpose(0, 3, 2, 1)
        elif weight.ndim == 2:
            weight = weight[:, :, None, None]
        steps.append(Step("convolve", (source,), layer, weight=weight, bias=bias, slope=slope))

    for k, pool in enumerate(pools, start=1):
        append(f"conv{k}", arrays[f"{network}.prelu{k}.weight"], last)
        last = f"conv{k}"
        if pool is not None:
            size, stride = pool
            steps.append(Step("pool", (last,), f"pool{k}", size=size, stride=stride, ceil=True))
            last = f"pool{k}"
    if dense is not None:
        append(dense, arrays[f"{network}.prelu{dense[-1]}.weight"], last)
        last = dense
    for head in heads:
        append(head, None, last)
    return steps, heads


def _scales(height: int, width: int) -> list[float]:
    """By what the picture is shrunk, level by level, so that faces fill a cell of 12 pixels."""
    scale = _CELL_PX / _SMALLEST_PX
    side, scales = min(height, width) * scale, []
    while side >= _CELL_PX:
        scales.append(scale)
        scale, side = scale * _FACTOR, side * _FACTOR
    return scales


@lru_cache(maxsize=256)
def _cells(rows: int, columns: int, scale: float, device: torch.device) -> torch.Tensor:
    """Boxes of a level's cells, float32 (rows * columns, 4)."""
    corner = cells(rows, columns, device) * _STRIDE
    first, last = ((corner + 1) / scale).floor(), ((corner + _CELL_PX) / scale).floor()
    return torch.cat([first, last], dim=1)


def _moved(boxes: Float, moves: Float, one: int) -> Float:
    """Boxes moved by shares of their size. one: what is added to a size, as pixels are counted there."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2] + np.float32(one), (1, 2))
    moved: Float = boxes + moves * size
    return moved


def _square(boxes: Float) -> Float:
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True) if len(size) else size[:, :1]
    corner = boxes[:, :2] + size * np.float32(0.5) - side * np.float32(0.5)
    square: Float = np.concatenate([corner, corner + side], axis=1)
    return square


def _cut(windows: _Found, height: int, width: int) -> tuple[_Found, NDArray[np.int64]]:
    """The windows of which a part lies in the picture, and that part (k, 4): whole pixels, ends excluded."""
    corners = np.trunc(windows.boxes).astype(np.int64)
    first = np.maximum(corners[:, :2], 1) - 1
    last = np.minimum(corners[:, 2:], (width, height))
    there: NDArray[np.bool_] = np.asarray((last > first).all(axis=1))
    return windows[there], np.concatenate([first, last], axis=1)[there]


def _placed(boxes: Float, marks: Float) -> Float:
    """Landmarks (k, 5, 2) from shares of the boxes (k, 10), all x before all y. Theirs are pixel indices."""
    size = boxes[:, None, 2:] - boxes[:, None, :2] + np.float32(1)
    shares = np.stack([marks[:, :5], marks[:, 5:]], axis=-1)
    points: Float = size * shares + boxes[:, None, :2] - np.float32(1) + np.float32(0.5)
    return points


def _inside(windows: _Found, regions: Float | None) -> NDArray[np.bool_]:
    """Which windows (k,) are centered in their picture's region."""
    if regions is None:
        return np.ones(len(windows.boxes), np.bool_)
    own = regions[windows.picture]
    center = (windows.boxes[:, :2] + windows.boxes[:, 2:]) / 2
    inside = (center >= own[:, :2]) & (center <= own[:, 2:])
    return np.asarray(inside.all(axis=1), np.bool_)


def _near(scores: Float, stage: int) -> Float:
    """From 0 to 1 at a stage's threshold and beyond: how near probabilities come to it."""
    short = np.minimum(_log_odds(scores) - _log_odds(THRESHOLDS[stage]), 0.0)
    near: Float = (2.0 / (1.0 + np.exp(-short / 2.0))).astype(np.float32)
    return near


def _log_odds(probability: Float | float) -> NDArray[np.float64]:
    p = np.clip(np.asarray(probability, np.float64), 1e-6, 1.0 - 1e-6)
    odds: NDArray[np.float64] = np.log(p / (1.0 - p))
    return odds


def _sums(images: torch.Tensor) -> torch.Tensor:
    """Sums int64 (n, H + 1, W + 1, 3) of all pixels above and left of each corner: exact."""
    return F.pad(images.long().cumsum(1).cumsum(2), (0, 0, 1, 0, 1, 0))


def _crops(sums: torch.Tensor, picture: torch.Tensor, corners: torch.Tensor, side_px: int) -> torch.Tensor:
    """Parts of pictures float32 (k, 3, side, side), each pixel the mean of those that it covers.

    As torch's ``interpolate(mode="area")`` shrinks (and enlarges) one crop. corners: int64 (k, 4).
    """
    steps = torch.arange(side_px, device=sums.device)
    first, last = corners[:, :2, None], corners[:, 2:, None]
    start = first + steps * (last - first) // side_px
    end = first + ((steps + 1) * (last - first) + side_px - 1) // side_px
    n = picture[:, None, None]
    before, after = start[:, 0, None, :], end[:, 0, None, :]
    above, below = start[:, 1, :, None], end[:, 1, :, None]
    total = sums[n, below, after] - sums[n, above, after] - sums[n, below, before] + sums[n, above, before]
    area = (below - above) * (after - before)
    return (total.float() / area[..., None]).permute(0, 3, 1, 2)
