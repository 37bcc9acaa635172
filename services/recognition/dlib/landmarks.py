"""dlib's 5-point landmark predictor, batched in torch.

An ensemble of regression trees (Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of
Regression Trees", CVPR 2014) as dlib has it (dlib/image_processing/shape_predictor.h): a mean shape is laid
into the face's box; forest after forest compares pairs of pixels around it and adds what its trees say.

The recognizer sees a face as these points straighten it. A search that straightens a mask by its own vertices
instead works toward pictures that dlib never makes: dlib puts the outer eye corners of a mask, which has no
irises, 2 to 10 mm further in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from services.recognition.dlib.alignment import similarity
from services.recognition.dlib.forest import grow
from services.recognition.dlib.landmark_weights import DEPTH, LEAVES, SPLITS, load_landmarks
from services.rendering.gather import pick

# dlib's parts (right eye outer and inner, left eye outer and inner as the face has them, nose) in the order
# of align.POINT_NAMES.
_ORDER = (2, 3, 1, 0, 4)


class LandmarkPredictor:
    """Finds eye corners and nose base in face boxes, as ``dlib.shape_predictor`` does.

    device: where the images to come are.
    """

    name = "dlib-landmarks-5"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        weights = load_landmarks()

        def tensor(values: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(np.array(values)).to(device)

        forests, trees = weights.leaves.shape[:2]
        points = len(weights.mean_shape)
        self._mean = tensor(weights.mean_shape)
        self._anchors = tensor(weights.anchors)
        self._deltas = tensor(weights.deltas.transpose(0, 2, 1)[..., None])
        self._first = tensor(weights.first.reshape(forests, -1))
        self._second = tensor(weights.second.reshape(forests, -1))
        self._thresholds = tensor(weights.thresholds.reshape(forests, -1, 1))
        self._leaves = tensor(weights.leaves.reshape(forests, trees * LEAVES, 2 * points))
        self._first_leaf = (torch.arange(trees, device=device) * LEAVES)[:, None]
        by_tree = (trees, SPLITS)
        self._forests = [  # as grow takes them, of CPU tensors without a copy
            (
                self._anchors[k].numpy(),
                self._deltas[k, :, :, 0].numpy(),
                self._first[k].view(by_tree).numpy(),
                self._second[k].view(by_tree).numpy(),
                self._thresholds[k].view(by_tree).numpy(),
                self._leaves[k].view(trees, LEAVES, -1).numpy(),
            )
            for k in range(forests if self._leaves.device.type == "cpu" else 0)
        ]

    @torch.inference_mode()
    def find(self, images: torch.Tensor, boxes_px: torch.Tensor) -> torch.Tensor:
        """The five points of align.POINT_NAMES, float32 (n, 5, 2), x and y in continuous pixels, whole ones.

        images: uint8 (n, H, W, 3), sRGB. boxes_px: float32 (n, 4), left, top, right, bottom in continuous
        pixel coordinates, as detectors give them; dlib's corners are the centers of the outermost pixels.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images: expected uint8 (n, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        if boxes_px.shape != (len(images), 4):
            raise ValueError(f"boxes_px: expected ({len(images)}, 4), got {tuple(boxes_px.shape)}")
        # dlib's gray is the mean of the channels, cut off; a third of a whole number is never rounded up.
        total = images.reshape(-1, 3).float() @ torch.ones(3, 1, device=images.device)
        gray = total.div_(3.0).floor_().view(images.shape[:3])
        boxes = boxes_px.double()
        corner, extent = boxes[:, :2], boxes[:, 2:] - 1.0 - boxes[:, :2]
        shape = (self._one_by_one if images.device.type == "cpu" else self._all_at_once)(gray, corner, extent)
        found = torch.floor(shape * extent[:, None] + corner[:, None] + 0.5) + 0.5
        return found[:, _ORDER, :].float()

    def _all_at_once(self, gray: torch.Tensor, corner: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
        """The shape (n, p, 2) in each face's box, every split of every tree answered."""
        shape = self._mean.expand(len(gray), -1, 2)
        for k in range(len(self._leaves)):
            shape = self._step(k, gray, shape, corner, extent)
        return shape

    def _one_by_one(self, gray: torch.Tensor, corner: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
        """The same on CPU cores, where each face walks down its trees."""
        shape = self._mean.repeat(len(gray), 1, 1)
        box = torch.cat([corner, extent], dim=1).numpy()
        for forest in self._forests:
            turn = similarity(self._mean.double(), shape.double())[0].float()
            grow(gray.numpy(), shape.flatten(1).numpy(), turn.numpy(), box, *forest)
        return shape

    def _step(
        self, k: int, gray: torch.Tensor, shape: torch.Tensor, corner: torch.Tensor, extent: torch.Tensor
    ) -> torch.Tensor:
        """The shape (n, p, 2) with what forest k adds. Rows are pixels, splits or trees; columns are images.

        Rounded where dlib rounds, so that the same pixels are looked at: float32 in the face's box, float64
        in the image, and the trees added up one after the other.
        """
        (a, b), _ = (part.T.float() for part in similarity(self._mean.double(), shape.double()))
        across, down = self._deltas[k]
        x, y = shape.permute(2, 1, 0).index_select(1, self._anchors[k])
        x = (a * across - b * down + x).double() * extent[:, 0] + corner[:, 0]
        y = (b * across + a * down + y).double() * extent[:, 1] + corner[:, 1]
        pixels = _look(gray, x, y)
        went_left = pixels.index_select(0, self._first[k]).sub_(pixels.index_select(0, self._second[k]))
        went_left.gt_(self._thresholds[k])  # 1.0 or 0.0: a comparison into bytes takes five times as long
        leaf = _leaf(went_left.view(len(self._first_leaf), SPLITS, len(shape))) + self._first_leaf
        # A bag is summed in its order; the shape so far is its first row.
        so_far = torch.arange(len(shape), device=shape.device) + len(self._leaves[k])
        table = torch.cat((self._leaves[k], shape.reshape(len(shape), 2 * len(self._mean))))
        bags = torch.cat((so_far[None], leaf)).T.contiguous()
        return functional.embedding_bag(bags, table, mode="sum").view(shape.shape)


def _leaf(went_left: torch.Tensor) -> torch.Tensor:
    """Which leaf each tree ends in, int64 (t, n), from the answers 1.0 or 0.0 at all its splits (t, 15, n).

    The children of split i are 2 i + 1 (left) and 2 i + 2. All splits are answered, so nobody walks down:
    from below, each split passes on what its chosen child says, in a third of the time.
    """
    said = went_left[:, SPLITS // 2 :]
    for depth in reversed(range(DEPTH - 1)):
        here = went_left[:, 2**depth - 1 : 2 ** (depth + 1) - 1]
        said = torch.lerp(said[:, 1::2], said[:, 0::2], here).add_(here, alpha=LEAVES >> (depth + 1))
    return said[:, 0].long().neg_().add_(LEAVES - 1)


def _look(gray: torch.Tensor, x_px: torch.Tensor, y_px: torch.Tensor) -> torch.Tensor:
    """The nearest pixels' values float32 (k, n) at places (k, n) in pixel indices; 0 outside the image."""
    n, height, width = gray.shape
    column, row = x_px.add_(0.5).floor_().int(), y_px.add_(0.5).floor_().int()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = torch.where(inside, row * width + column, 0)
    index += torch.arange(n, device=gray.device, dtype=index.dtype) * (height * width)
    return pick(gray, index.view(-1)).view_as(index) * inside
