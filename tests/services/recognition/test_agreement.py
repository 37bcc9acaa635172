"""Two detectors in one place: what is taken, beside a plain loop; and that company changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.recognition import catalog
from services.recognition.agreement import Agreement, Reading, overlapping
from services.recognition.detect import GradesEveryPlace, Windows

REGION = torch.tensor([[8.0, 8.0, 152.0, 152.0]])
PLAIN = Reading("score", 0.0, 1.0, 0.25)
ABLE = [info.name for info in catalog.models() if info.windows]


def reading(name: str) -> Reading:
    info = catalog.model_info(name)
    return Reading(info.measure, info.threshold, info.scale, 0.25)


def asked(
    names: list[str], images: torch.Tensor, regions: torch.Tensor
) -> tuple[torch.Tensor, list[Windows]]:
    detectors = [catalog.detector(name) for name in names]
    windows = [d.windows(images) for d in detectors if isinstance(d, GradesEveryPlace)]
    agreement = Agreement([reading(name) for name in names])
    return agreement.scores(windows, regions, images.shape[1:3]), windows


def by_hand(
    names: list[str], windows: list[Windows], region: NDArray[np.float32], picture: int
) -> list[float]:
    """The same, one picture and one anchor after the other."""
    boxes = [
        np.broadcast_to(w.boxes_px.numpy(), (*w.scores.shape, 4))[picture].astype(float) for w in windows
    ]
    inside = [w.inside(torch.from_numpy(region[None]).repeat(len(w.scores), 1))[picture] for w in windows]
    readings = [reading(name) for name in names]
    best, found = -np.inf, [w.floor for w in windows]
    for anchor in np.flatnonzero(inside[0]):
        said = [float(windows[0].scores[picture, anchor])]
        for k in range(1, len(windows)):
            a, b = boxes[0][anchor], boxes[k]
            common = np.maximum(np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]), 0).prod(axis=1)
            union = (a[2:] - a[:2]).prod() + (b[:, 2:] - b[:, :2]).prod(axis=1) - common
            near = (common >= 0.3 * union) & (common > 0) & inside[k].numpy()
            said.append(max(windows[k].scores[picture].numpy()[near].tolist(), default=windows[k].floor))
        pairs = zip(readings, said, strict=True)
        content = np.mean([float(how.content(torch.tensor([score]))) for how, score in pairs])
        if content > best + 1e-7:
            best, found = float(content), said
    return found


def test_machines_that_grade_every_place_are_those_that_say_so() -> None:
    shipped = [info for info in catalog.models() if info.kind == "detect" and catalog.installed(info)]
    able = [i.name for i in shipped if isinstance(catalog.detector(i.name), GradesEveryPlace)]
    assert able == ABLE
    assert {"dlib-hog", "dlib-mmod", "yunet"} <= set(able) < {i.name for i in shipped}


@pytest.mark.parametrize("name", ABLE)
def test_the_best_of_all_windows_is_what_a_detector_says_by_itself(name: str, photo_crops, renders) -> None:
    detector = catalog.detector(name)
    assert isinstance(detector, GradesEveryPlace)
    for pixels in (photo_crops[:3], renders.images.numpy()[:3]):
        images = torch.from_numpy(pixels)
        nowhere = torch.tensor([-50.0, -50.0, -40.0, -40.0])
        regions = torch.stack([REGION[0], torch.tensor([40.0, 40.0, 90.0, 90.0]), nowhere])
        own, best = detector.score(images, regions), detector.windows(images).best(regions)
        assert torch.equal(own.score, best.score)
        assert torch.equal(own.box_px, best.box_px)
        assert torch.equal(detector.score(images).score, detector.windows(images).best(None).score)
        assert best.score[2] == detector.windows(images).floor


@pytest.mark.parametrize("names", [["dlib-hog", "dlib-mmod"], ["yunet", "dlib-hog", "blazeface-short"]])
def test_the_place_is_the_one_that_a_plain_loop_finds(names: list[str], renders) -> None:
    images = renders.images[:2]
    regions = REGION.repeat(2, 1)
    scores, windows = asked(names, images, regions)
    for picture in range(2):
        assert scores[:, picture].tolist() == by_hand(names, windows, REGION[0].numpy(), picture)
    alone, _ = asked(names, images[1:], regions[1:])
    assert torch.equal(alone[:, 0], scores[:, 1])
    own = torch.stack([w.best(regions).score for w in windows])
    assert (scores <= own).all()


def test_two_faces_that_each_machine_sees_alone_are_none() -> None:
    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0], [60.0, 0.0, 100.0, 40.0], [30.0, 60.0, 70.0, 100.0]])
    region = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    left = Windows(torch.tensor([[2.0, -1.0, -0.5]]), boxes, -9.0)
    right = Windows(torch.tensor([[-1.5, 2.0, -0.5]]), boxes, -9.0)
    place = Agreement([PLAIN, PLAIN]).scores([left, right], region, (100, 100))
    assert place[:, 0].tolist() == [-1.0, 2.0]  # -0.25 in the mean, -0.5 in the third place
    whole = Reading("score", 0.0, 1.0, 1.0)
    assert Agreement([whole, whole]).scores([left, right], region, (100, 100))[:, 0].tolist() == [-1.0, 2.0]
    shy = Windows(torch.tensor([[-1.5, 0.3, -0.1]]), boxes, -9.0)
    refused = Windows(torch.tensor([[2.0, -1.0, -0.2]]), boxes, -9.0)
    assert Agreement([PLAIN, PLAIN]).scores([refused, shy], region, (100, 100))[
        :, 0
    ].tolist() == pytest.approx([-0.2, -0.1])
    elsewhere = torch.tensor([[0.0, 0.0, 45.0, 45.0]])
    assert Agreement([PLAIN, PLAIN]).scores([left, right], elsewhere, (100, 100))[:, 0].tolist() == [
        2.0,
        -1.5,
    ]
    nowhere = torch.tensor([[80.0, 80.0, 90.0, 90.0]])
    assert Agreement([PLAIN, PLAIN]).scores([left, right], nowhere, (100, 100))[:, 0].tolist() == [-9.0, -9.0]


def test_where_nothing_overlaps_it_is_the_floor() -> None:
    one = Windows(torch.tensor([[1.0]]), torch.tensor([[0.0, 0.0, 10.0, 10.0]]), -9.0)
    other = Windows(torch.tensor([[0.9]]), torch.tensor([[[50.0, 50.0, 90.0, 90.0]]]), 0.0)
    readings = [PLAIN, Reading("probability", 0.9, 2.0, 0.25)]
    assert Agreement(readings).scores([one, other], None, (100, 100))[:, 0].tolist() == [1.0, 0.0]


def test_compiled_loops_and_tensor_operations_find_the_same() -> None:
    rng = torch.Generator().manual_seed(1)
    corner = torch.rand((5, 40, 2), generator=rng) * 90
    boxes = torch.cat([corner, corner + 5 + torch.rand((5, 40, 2), generator=rng) * 40], dim=2)
    first = Windows(torch.rand((5, 40), generator=rng), boxes[0], -1.0)
    for others in (boxes, boxes[1]):
        second = Windows(torch.rand((5, 40), generator=rng), others, -1.0)
        both = Agreement([PLAIN, PLAIN]).scores([first, second], None, (100, 100))
        near = overlapping(first.boxes_px, second.boxes_px, second.scores, -1.0)
        place = ((PLAIN.content(first.scores) + PLAIN.content(near)) / 2).argmax(dim=1, keepdim=True)
        assert torch.equal(both[0], first.scores.gather(1, place)[:, 0])
        assert torch.equal(both[1], near.gather(1, place)[:, 0])
