"""A whole cluster on loopback: a coordinator without torch, a bucket, a worker; and rivals for one run."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest
import tomli_w

from coordinator.queue.executor import LocalExecutor
from coordinator.record.record import Record
from coordinator.run import evolve_run, open_run
from coordinator.spec.spec import parse_spec
from services.storage.open import open_store
from services.wire.objects import read_target
from tests.support.ports import free_port
from tests.support.processes import until
from worker.evaluate import Evaluator

SPEC = {
    "name": "tiny",
    "seed": 11,
    "search": {"islands": 2, "population": 4, "generations": 4},
    "migration": {"every": 2, "count": 1},
    "views": {"count": 2, "size_px": 96},
    "elites": {"count": 1, "candidates": 1, "ranking_views": 2},
    "store": {"masks": "all"},
    "verify": {"views": 1},
    "objective": [{"kind": "detect", "model": "dlib-hog"}],
}
FACE = {**SPEC, "objective": [{"kind": "identity", "model": "dlib-resnet", "images": ["face.png"]}]}


def without(*packages):
    """Lines of Python after which these are not installed."""
    return f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Absent())
"""


IMAGE = without("torch", "cv2", "pyrender", "OpenGL")  # the coordinator's image
BARE = without("torch", "dlib", "cv2", "pyrender", "OpenGL", "skimage")  # nothing that computes
ELSEWHERE = "import socket; socket.gethostname = lambda: 'elsewhere'\n"
IMPATIENT = "import coordinator.record.record as r; r.BEAT_EVERY_S, r.BEAT_FRESH_S = 0.3, 2.0\n"
MAIN = "from coordinator.cli import main; main()"


@pytest.fixture
def evolve(tmp_path, start_python):
    """``datamask evolve`` in a process of its own, after some lines of Python."""

    def start(before, store, redis, *words, spec=SPEC, log="coordinator.log"):
        options = ["--store", store, "--run", "run", "--executor", "celery", "--broker", redis, "--resume"]
        (tmp_path / "spec.toml").write_text(tomli_w.dumps(spec))
        return start_python("-c", before + MAIN, "evolve", "spec.toml", *options, *words, log=log)

    return start


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def hashes(run):
    keys = run.list("checkpoints/") + run.list("evaluations/")
    return {key: hashlib.sha256(run.get(key)).hexdigest() for key in keys}


@pytest.mark.slow
def test_a_whole_run_with_no_torch_at_the_coordinator(
    redis_server, start_worker, s3_server, evolve, tmp_path
):
    ports = free_port(), free_port()
    worker = start_worker("--metrics-port", f"{ports[1]}", "--log-format", "json")
    first = evolve(
        BARE, s3_server.url, redis_server.url, "--metrics-port", f"{ports[0]}", "--log-format", "json"
    )
    run = open_store(s3_server.url).sub("run")
    until(lambda: Record(run).head().parts, first)

    # While it goes on: figures, masks as they appear, and no place for a second coordinator.
    second = evolve(ELSEWHERE, s3_server.url, redis_server.url, log="second.log")
    until(lambda: run.list("masks/"), first)
    figures = scraped(ports[0])
    assert second.wait(30) == 2
    assert first.poll() is None
    assert "a coordinator is at work on this run" in (tmp_path / "second.log").read_text()
    for name in (
        'datamask_best_fitness{island="0",run="run"}',
        'datamask_generation{island="1",run="run"}',
        'datamask_objective_margin{objective="dlib-hog",run="run"}',
        'datamask_queue_depth{queue="masks.score.4"}',
        'datamask_batches_done_total{run="run"}',
        'datamask_epochs_total{run="run"}',
        'datamask_run_done{run="run"} 0.0',
    ):
        assert name in figures, figures

    out, _ = first.communicate(timeout=120)
    lines = (tmp_path / "coordinator.log").read_text().splitlines()
    assert first.returncode == 0, lines
    assert out.splitlines()[-1] == f"{s3_server.url}/run"
    assert Record(run).head().done
    told = [json.loads(line) for line in lines]
    assert {(t["island"], t["generation"]) for t in told if "island" in t} == {
        (island, generation) for island in (0, 1) for generation in range(4)
    }
    assert {t["run"] for t in told if "run" in t} == {"run"}

    # Every mask has its files, the elite its pictures, and nothing of the way is left.
    masks = {key.split("/")[1] for key in run.list("masks/") if key.endswith("/mask.glb")}
    assert len(masks) == 2 * 4 * 4
    assert len([key for key in run.list("masks/") if key.endswith("/front.png")]) == 1
    assert {"lineup.png", "audit.json", "film.mp4", "film.webp", "report.html"} <= set(run.list())
    assert "run run, pictures and audits: scored" in worker.text()
    assert run.list("batches/") == run.list("scores/") == run.list("failures/") == []

    figures = scraped(ports[1])
    views = next(line for line in figures.splitlines() if line.startswith("datamask_views_total{"))
    assert float(views.rpartition(" ")[2]) == 2 * (4 * 4 * 2 + 2 * 1 * 2)
    assert 'outcome="scored"' in figures
    assert "datamask_batch_seconds_count" in figures
    done = [json.loads(line) for line in worker.text().splitlines() if '"views": 8' in line]
    assert {"run", "island", "generation", "batch", "seconds"} <= set(done[0])

    # The same bytes as on one machine, which keeps only elites' files.
    here = open_store(tmp_path / "here", write=True).sub("run")
    record = Record(here)
    opened = open_run(parse_spec({**SPEC, "store": {"masks": "elites"}}, "test"), record, resume=False)
    evolve_run(opened, LocalExecutor(here, Evaluator("cpu")), [], lambda evolution: None)
    record.close()
    assert hashes(run) == hashes(here)
    assert worker.stop() == 0


def test_a_photo_stays_where_it_is(redis_server, evolve, tmp_path):
    (tmp_path / "face.png").write_bytes(b"a photo")
    words = ["--consent", "a test"]
    process = evolve(BARE, str(tmp_path / "runs"), redis_server.url, *words, spec=FACE)
    process.communicate(timeout=30)
    said = (tmp_path / "coordinator.log").read_text()
    assert process.returncode == 2
    assert "photos never leave their machine" in said
    assert "--resume" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("model", ["dlib-resnet", "lbp"])
def test_the_coordinator_s_image_begins_a_run_toward_what_dlib_itself_measures(
    model, redis_server, evolve, tmp_path
):
    objective = {"kind": "identity", "model": model, "images": ["skimage:astronaut"]}
    words = ["--consent", "a test"]
    store = str(tmp_path / "runs")
    process = evolve(IMAGE, store, redis_server.url, *words, spec={**SPEC, "objective": [objective]})
    run = open_store(store).sub("run")
    if model == "dlib-resnet":
        until(lambda: run.list("batches/"), process)  # for a worker
        (target,) = (Path(key).stem for key in run.list("targets/"))
        assert read_target(run, target).shape == (1, 128)
    else:
        assert process.wait(60) == 2
        assert f"{model} measures what a run is to resemble" in (tmp_path / "coordinator.log").read_text()
        assert not Record(run).exists()


def test_a_coordinator_that_was_given_up_stops(redis_server, start_worker, s3_server, evolve, tmp_path):
    worker = start_worker(module="bench.sleepers", environment={"DATAMASK_BENCH_SLEEP_S": "0.2"})
    worker.wait_ready()
    store = s3_server.url
    longer = {**SPEC, "search": {**SPEC["search"], "generations": 400}}
    first = evolve(IMPATIENT, store, redis_server.url, spec=longer)
    head = Record(open_store(store).sub("run")).head
    until(lambda: head().parts, first)
    os.kill(first.pid, signal.SIGSTOP)  # its host sleeps
    second = evolve(IMPATIENT + ELSEWHERE, store, redis_server.url, spec=longer, log="second.log")
    until(lambda: head().owner == 2, second)
    os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=30)
    assert first.returncode == 1
    assert "another coordinator has taken this run over" in (tmp_path / "coordinator.log").read_text()
    reached = head().epoch
    until(lambda: head().epoch > reached, second)
