"""Critics of many runs: each person at a threshold of its own, and what somebody else passes for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from bench.critics import Critics
from coordinator.record.record import Record
from coordinator.record.verification import Verified
from coordinator.spec.spec import parse_spec
from services.shape.catalog import basis_info
from services.storage import open_store
from services.wire.mask import Mask

PEOPLE = 300


def run_of(store: Path, objectives: list[dict[str, object]], genome: np.ndarray) -> Verified:
    spec = parse_spec({"objective": objectives, "views": {"yaw_deg": [-10, 10]}}, "spec")
    elite = Mask("i00-g0001-000", 0, 1, genome, 0.0, np.zeros(len(objectives), np.float32), 0.0)
    return Verified(Record(open_store(store)), spec, (elite,))


@pytest.fixture(scope="module")
def critics(tmp_path_factory: pytest.TempPathFactory) -> Critics:
    folder = tmp_path_factory.mktemp("faces")
    Image.fromarray(skimage.data.astronaut()[0:260, 100:360]).save(folder / "a.png")
    Image.fromarray(skimage.data.astronaut()[0:260, 100:360][:, ::-1]).save(folder / "b.png")
    faces = {"a": folder / "a.png", "b": folder / "b.png"}
    return Critics(("viola-jones", "dlib-resnet"), faces, 0.01, PEOPLE, open_store(folder))


def test_a_recognizer_is_asked_about_the_person_and_about_others(critics: Critics, tmp_path: Path) -> None:
    neutral = np.zeros(len(basis_info("makehuman-mask-1").gene_names), np.float32)
    run = run_of(tmp_path, [{"kind": "detect", "model": "dlib-hog"}], neutral)
    said = critics.say(run, 6, seed=1, person="a")
    assert set(said) == {
        "viola-jones: sees a face",
        "dlib-resnet: median distance",
        "dlib-resnet: takes it for the person at FAR 0.01",
        "dlib-resnet: takes it for another person at FAR 0.01",
        "dlib-resnet: passes the threshold of two rendered heads at FAR 0.01",
    }
    assert said["viola-jones: sees a face"] > 0.5
    assert 0.4 < said["dlib-resnet: median distance"] < 1.0
    assert said == critics.say(run, 6, seed=1, person="a")
    # The neutral head is nobody: at most a chance hit.
    assert said["dlib-resnet: takes it for the person at FAR 0.01"] < 0.5


def test_an_objective_is_no_critic(critics: Critics, tmp_path: Path) -> None:
    neutral = np.zeros(len(basis_info("makehuman-mask-1").gene_names), np.float32)
    run = run_of(tmp_path, [{"kind": "consistent", "model": "dlib-resnet"}], neutral)
    assert set(critics.say(run, 4, seed=1, person="a")) == {"viola-jones: sees a face"}


def test_nobody_s_run_is_asked_for_faces_alone(critics: Critics, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 3, len(basis_info("makehuman-mask-1").gene_names))
    run = run_of(tmp_path, [{"kind": "detect", "model": "dlib-hog"}], noise.astype(np.float32))
    assert critics.say(run, 4, seed=1, person=None) == {
        "viola-jones: sees a face": pytest.approx(0.0, abs=0.3)
    }
