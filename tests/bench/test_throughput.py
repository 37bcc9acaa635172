"""The benchmark on a tiny workload: what it reports must hang together. How fast it is, is not tested."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.outcome import write
from bench.report import RATIOS, SIDES, show
from bench.throughput import STAGES, Settings, throughput
from services.recognition.catalog import models

ROOT = Path(__file__).parents[2]
TINY = Settings(masks=3, usual_masks=2, peer_images=1, rounds=1)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return throughput(TINY)


def _needs_usual_loop(result: dict[str, Any]) -> None:
    reason = result["usual_loop"].get("skipped")
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def test_every_side_has_a_speed(result: dict[str, Any]) -> None:
    _needs_usual_loop(result)
    assert set(result["views_per_second"]) == set(SIDES)
    for speed in result["views_per_second"].values():
        assert len(speed["rounds"]) == TINY.rounds
        assert all(math.isfinite(value) and value > 0 for value in speed["rounds"])
        assert speed["min"] <= speed["median"] <= speed["max"]


def test_ratios_are_the_quotients_of_each_round(result: dict[str, Any]) -> None:
    _needs_usual_loop(result)
    speed = result["views_per_second"]
    assert set(result["ratios"]) == set(RATIOS)
    for name, other in (
        ("datamask_to_usual_loop", "usual_loop"),
        ("datamask_to_networks_alone", "networks_alone"),
    ):
        quotients = [a / b for a, b in zip(speed["datamask"]["rounds"], speed[other]["rounds"], strict=True)]
        assert result["ratios"][name]["rounds"] == pytest.approx(quotients)
        assert math.isfinite(result["ratios"][name]["median"])


def test_every_torch_model_is_part_of_a_measurement(result: dict[str, Any]) -> None:
    every = result["every_torch_model"]
    torch_models = {info.name for info in models() if info.kind in ("detect", "recognize", "correlate")}
    # Viola-Jones is OpenCV's own code; the weights of the other two are not in the package.
    assert set(every["models"]) == torch_models - {"viola-jones", "facenet", "mobilefacenet"}
    speed = every["views_per_second"]
    quotients = [
        a / b for a, b in zip(speed["datamask"]["rounds"], speed["models_alone"]["rounds"], strict=True)
    ]
    assert every["ratio"]["rounds"] == pytest.approx(quotients)


def test_all_stages_are_timed_on_both_sides(result: dict[str, Any]) -> None:
    _needs_usual_loop(result)
    assert tuple(result["stages_ms"]) == STAGES
    assert all(value > 0 for value in result["stages_ms"].values())
    assert tuple(result["usual_loop"]["stages_ms"]) == STAGES
    assert set(result["dlib_ms"]) == {"hog", "mmod", "resnet"}


def test_the_networks_alone_do_the_work_of_the_whole_loop(result: dict[str, Any]) -> None:
    assert result["checks"]["networks_alone_gave_the_same_scores"] is True


def test_the_usual_loop_finds_faces_where_there_are_some(result: dict[str, Any]) -> None:
    _needs_usual_loop(result)
    # Three masks: noise, half-way noise and the neutral face; the loop got the first two.
    usual = result["usual_loop"]
    assert usual["images"] == TINY.usual_masks * result["settings"]["views"]
    assert max(usual["hog_found"], usual["mmod_found"]) <= usual["images"]
    assert usual["hog_found"] > 0


def test_the_result_is_plain_json_and_can_be_shown(result: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "new" / "latest.json"
    write(result, path)
    assert json.loads(path.read_text()) == result
    assert {"cpu", "cores", "threads", "date", "versions"} <= set(result["machine"])
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: SIM115
    show(result, console)
    assert "views per second" in console.export_text()


def test_without_opengl_the_usual_loop_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    code = (
        "import json\n"
        "from bench.throughput import Settings, throughput\n"
        "r = throughput(Settings(masks=1, usual_masks=1, peer_images=1, rounds=1))\n"
        "print(json.dumps([r['usual_loop'], r['ratios'], r['views_per_second']['usual_loop']]))\n"
    )
    # A platform that the pinned PyOpenGL cannot load stands for a machine without OpenGL.
    environment = {**os.environ, "PYOPENGL_PLATFORM": "osmesa", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    usual, ratios, speed = json.loads(done.stdout.splitlines()[-1])
    assert "OpenGL" in usual["skipped"]
    assert speed is None
    assert ratios["datamask_to_usual_loop"] is None
    assert ratios["datamask_to_networks_alone"]["median"] > 0
