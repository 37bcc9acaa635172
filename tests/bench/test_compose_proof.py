"""The proof on a real engine, without one: its table, its order, and that it knows every image."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.compose_proof import __main__ as proof
from bench.compose_proof import steps
from bench.compose_proof.engine import Failed, NoEngine, _start, an_engine
from bench.compose_proof.images import GRAFANA, PACKAGES
from tests.support.compose import ROOT, resolved
from tests.support.needs import need


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """As they were before the program took them."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGTERM, before)


def fails() -> str:
    raise Failed("it is\nopen | wide")


def test_after_a_step_that_fails_no_other_is_taken() -> None:
    said: list[str] = []
    wanted = [("up", lambda: "3 s"), ("locked down", fails), ("pulled", lambda: "never")]
    rows = proof.held(wanted, said.append)
    assert [row.held for row in rows] == [True, False, None]
    assert len(said) == 2
    lines = proof.table(rows, ["Docker 1.", "Stood in for: nothing."]).splitlines()
    assert lines[0] == "Docker 1. Stood in for: nothing."
    assert lines[-3:] == [
        "| up | 3 s | yes |",
        "| locked down | it is open \\| wide | NO |",
        "| pulled |  | not reached |",
    ]


def test_every_image_of_the_stack_has_a_stand_in_or_is_left_out_by_name() -> None:
    need("docker-compose")
    model = resolved("docker-compose.yml", profiles=("cpu",))
    named = {str(service["image"]) for service in model["services"].values() if "build" not in service}
    assert {image.partition(":")[0] for image in named} == {*PACKAGES, GRAFANA}
    for dockerfile in (ROOT / "infra").glob("*.Dockerfile"):
        bases = re.findall(r"^FROM (\S+:\S+)", dockerfile.read_text(), re.MULTILINE)
        assert {base.partition(":")[0] for base in bases} == {"debian"}


def test_a_machine_without_an_engine_is_told_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoEngine, match="no docker command"), an_engine(tmp_path):
        pass
    page = proof.PAGE.read_bytes()
    assert (proof.main(["--small"]), proof.main([])) == (0, 2)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["compose proof"] * 2
    assert proof.PAGE.read_bytes() == page


def test_an_engine_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    taken = tmp_path / "engine"
    taken.write_text("a file")
    with pytest.raises(NoEngine, match=r"--engine .*engine: expected a folder"):
        _start("dockerd", taken, taken / "docker.sock")


def test_the_time_that_it_is_given_is_all_that_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def waits(folder: Path) -> None:
        signal.pause()

    monkeypatch.setattr(proof, "an_engine", waits)
    assert proof.main(["--small", "--within", "1"]) == 0
    assert "left after 1 s" in capsys.readouterr().out


def test_a_run_that_differs_from_the_local_one_is_seen(tmp_path: Path) -> None:
    spec = tmp_path / "proof.toml"
    spec.write_text(proof.SPEC.format(generations=1))
    steps.evolved(spec, tmp_path / "pulled")
    assert "files of evaluations" in steps.same(spec, tmp_path)
    spec.write_text(spec.read_text().replace("seed = 7", "seed = 8"))
    steps.evolved(spec, tmp_path / "other")
    with pytest.raises(Failed, match="differ"):
        steps.compared(tmp_path / "other", tmp_path / "pulled")
