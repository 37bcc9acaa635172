"""What a mask is to resemble, from photographs or renders, as numbers. The photos stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.called import framed
from services.recognition.correlate import Correlator
from services.recognition.dlib import audit
from services.recognition.dlib.audit import find_face
from services.recognition.layout import from_dlib
from services.recognition.recognize import Recognizer
from services.rendering.views import ViewRanges, sample_views
from services.shape.catalog import DEFAULT_BASIS, facts_of
from worker.eye import Eye

DLIB = "dlib-resnet"
# Under which the neutral head is seen for a filter: from all sides of a front, in an even light.
REFERENCE_VIEWS = 9
REFERENCE_RANGES = ViewRanges(
    yaw_deg=(-20.0, 20.0),
    pitch_deg=(-10.0, 10.0),
    light_yaw_deg=(-20.0, 20.0),
    light_pitch_deg=(20.0, 30.0),
    blur_px=(0.0, 0.0),
    noise=(0.0, 0.0),
)


def embed_photos(paths: Sequence[Path], model: str = DLIB) -> NDArray[np.float32]:
    """Embeddings float32 (photos, d), each of the one face in its photo.

    dlib's recognizer sees them through dlib's own whole pipeline; every other by the landmarks that dlib
    finds, see layout.from_dlib.

    :raises BadInput: for a photo that cannot be read, or shows no face or several.
    """
    if model == DLIB:
        return audit.embed_photos(paths)
    machine = catalog.recognizer(model)
    return np.stack([machine.embed(*_aligned(path, machine))[0].numpy() for path in paths])


def build_filter(paths: Sequence[Path], model: str, basis: str) -> NDArray[np.float32]:
    """A correlation filter float32 (1, S, S), of the faces in photos or, without any, of the neutral head.

    :raises BadInput: as in :func:`embed_photos`.
    """
    machine = catalog.correlator(model)
    if paths:
        chips = [_chip(*_aligned(path, machine)) for path in paths]
        images, points = (torch.cat(parts) for parts in zip(*chips, strict=True))
    else:
        images, points = neutral_views(basis, machine)
    return machine.build(images, points)[None].numpy()


def neutral_views(basis: str, machine: Correlator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures uint8 (9, S, S, 3) of the neutral head and a machine's landmarks float32 (9, k, 2); of the
    default basis where this one's zero has no face.
    """
    eye = Eye(basis if facts_of(basis).face else DEFAULT_BASIS, [machine])
    neutral = np.zeros((1, len(eye.basis.gene_names)), np.float32)
    views = sample_views(REFERENCE_RANGES, REFERENCE_VIEWS, 0)
    rendered = eye.renderer.render(eye.vertices(neutral), views, eye.landmarks)
    return rendered.images[0], rendered.points_px[0]


def _aligned(path: Path, machine: Recognizer | Correlator) -> tuple[torch.Tensor, torch.Tensor]:
    """The photo uint8 (1, H, W, 3) and the machine's landmarks in it, float32 (1, k, 2).

    A machine without landmarks takes a whole picture: it gets the face as large in it as a mask is in a view.
    """
    face = find_face(path)
    if not machine.points:
        return torch.from_numpy(framed(face.photo, face.box)[None]), torch.zeros(1, 0, 2)
    points = from_dlib(torch.from_numpy(face.points_px[None]), machine.points)
    return torch.from_numpy(face.photo[None].copy()), points


def _chip(image: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A square cut-out of a photo about the face, so that photos of several sizes make one tensor."""
    side = 512
    center = points.mean(dim=1)[0]
    left, top = (int(edge) - side // 2 for edge in center)
    height, width = image.shape[1:3]
    cut = torch.zeros((1, side, side, 3), dtype=torch.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    cut[:, y0 - top : y1 - top, x0 - left : x1 - left] = image[:, y0:y1, x0:x1]
    return cut, points - torch.tensor([left, top])
