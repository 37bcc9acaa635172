"""Figures for Prometheus, log lines for machines."""

from __future__ import annotations

import json
import logging
import socket
import urllib.request
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from coordinator.cli.journal import Journal
from coordinator.cli.progress import Progress
from coordinator.cli.prometheus import Metrics
from coordinator.queue.executor import Finished, Traffic
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, Unavailable
from services.logs import JsonFormatter
from services.metrics_server import serve_metrics
from services.recognition.fitness import Fitness, Objective
from services.wire.messages import Origin, Work, decode_work

SPEC = {"search": {"generations": 10}, "objective": [{"kind": "detect", "model": "dlib-hog"}]}


class Still:
    """An executor with known traffic."""

    def traffic(self):
        return Traffic(3, 2, {"masks.score": 5, "masks.realize": 0})


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(s.name, *sorted(s.labels.values())): s.value for f in families for s in f.samples}


def test_a_run_can_be_asked_for_its_figures():
    metrics = Metrics("portrait", [Objective("detect", "dlib-hog", 1.0, 0.0)], Still())
    metrics.batch_done(Finished("a" * 40, 8), 4)
    metrics.batch_done(Finished("b" * 40, failed=True), 4)
    port = serve_metrics(0, metrics.registry)
    found = scraped(port)
    assert found["datamask_batches_done_total", "portrait"] == 2
    assert found["datamask_batches_set_aside_total", "portrait"] == 1
    assert found["datamask_batches_reissued_total", "portrait"] == 2
    assert found["datamask_batches_in_flight", "portrait"] == 3
    assert found["datamask_queue_depth", "masks.score"] == 5
    assert found["datamask_run_done", "portrait"] == 0
    metrics.done()
    assert scraped(port)["datamask_run_done", "portrait"] == 1


def test_what_was_not_scored_has_no_figure(caplog):
    def generation(*fitness):
        given = np.array(fitness, np.float32)
        result = Fitness(given, np.full((len(given), 1), np.nan, np.float32), np.zeros((len(given), 1, 0)))
        return SimpleNamespace(island=0, number=7, result=result)

    metrics = Metrics("portrait", [Objective("detect", "dlib-hog", 1.0, 0.0)], Still())
    metrics.generation_done(generation(-np.inf, -np.inf))
    found = scraped(serve_metrics(0, metrics.registry))
    assert found["datamask_generation", "0", "portrait"] == 7
    assert not [name for name, *_ in found if name.endswith("_fitness")]
    with caplog.at_level(logging.INFO):
        Journal("portrait").generation_done(generation(-np.inf, -np.inf))
        Journal("portrait").generation_done(generation(-np.inf, 0.25))
    assert [line.rpartition(": ")[2] for line in caplog.messages] == ["not scored", "best +0.250"]
    bars = Progress(Console(), parse_spec(SPEC, "test"), [Objective("detect", "dlib-hog", 1.0, 0.0)])
    bars.generation_done(generation(-np.inf, -np.inf))
    with bars._console.capture() as shown:
        bars._console.print(bars.view())
    assert shown.get().splitlines()[1].split() == ["0", "8/10", "-", "-", "-"]
    metrics.generation_done(generation(-np.inf, 0.25))
    found = scraped(serve_metrics(0, metrics.registry))
    assert found["datamask_best_fitness", "0", "portrait"] == 0.25
    assert found["datamask_median_fitness", "0", "portrait"] == 0.25


def test_a_port_that_is_taken_and_a_host_that_is_none(monkeypatch):
    metrics = Metrics("portrait", [], Still())
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(Unavailable, match="another --metrics-port"):
            serve_metrics(holder.getsockname()[1], metrics.registry)
    monkeypatch.setenv("DATAMASK_METRICS_HOST", "no such host")
    with pytest.raises(BadInput, match="DATAMASK_METRICS_HOST"):
        serve_metrics(0, metrics.registry)


def test_a_line_is_one_json_object_with_the_facts():
    made = logging.LogRecord("worker", logging.INFO, "f", 1, "batch %s\nis done", ("x",), None)
    made.run, made.island = "portrait", 3
    line = JsonFormatter().format(made)
    assert "\n" not in line
    found = json.loads(line)
    assert {"time", "level", "logger"} < set(found)
    assert (found["message"], found["run"], found["island"]) == ("batch x\nis done", "portrait", 3)


def test_what_a_batch_is_travels_as_fields_and_words_are_made_of_them():
    origin = Origin(island=3, generation=41, number=2, of=4)
    assert origin.facts() == {"island": 3, "generation": 41}
    assert origin.words == "island 3, generation 41, batch 2/4"
    assert Origin(island=3, epoch=2, number=1, of=1).words == "island 3, ranking after epoch 2, batch 1/1"
    work = Work("s3://masks", "007", "a" * 40, "", origin)
    assert decode_work(json.loads(json.dumps(work.kwargs()))) == work
    assert work.facts() == {"run": "007", "batch": "a" * 40, "island": 3, "generation": 41}
    for strange in ({"island": -1}, {"island": "3"}, {"what": "a\nb"}, {"else": 1}, {"generation": True}):
        with pytest.raises(BadInput, match="message: "):
            decode_work({**work.kwargs(), "origin": {**asdict(origin), **strange}})
