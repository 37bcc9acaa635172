"""What a service does that was given a folder for a secret, and a coordinator that was given a wrong spec."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.infra.conftest import PORTS, make_secrets, use_secrets
from tests.support.compose import ROOT, Stage, playing, resolved
from tests.support.needs import need

GUARD = ROOT / "infra" / "guard.sh"
COORDINATE = ROOT / "infra" / "coordinate.py"


# -- secrets


def guarded(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    words = ["sh", str(GUARD), str(folder), *command]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)


def test_a_service_starts_with_its_secrets(tmp_path: Path) -> None:
    done = guarded(make_secrets(tmp_path / "made"), "printf", "%s|", "a b", "--c")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a b|--c|", "")


@pytest.mark.parametrize("name", ["redis_users", "broker_url", "grafana_password"])
@pytest.mark.parametrize(
    ("fault", "words"), [("folder", "a folder, expected a file"), ("empty", "an empty file")]
)
def test_no_service_starts_with_a_secret_that_is_none(
    tmp_path: Path, name: str, fault: str, words: str
) -> None:
    folder = make_secrets(tmp_path / "made")
    (folder / name).unlink()
    (folder / name).mkdir() if fault == "folder" else (folder / name).touch()
    done = guarded(folder, "echo", "started")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"secret {folder / name}: {words}; ")
    assert done.stderr.count("\n") == 1


def test_no_service_starts_without_any_secret(tmp_path: Path) -> None:
    done = guarded(tmp_path / "none", "echo", "started")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is none" in done.stderr


def test_redis_starts_with_no_list_of_users_that_lets_everybody_in(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path / "made")
    users = (folder / "redis_users").read_text().splitlines()
    (folder / "redis_users").write_text(users[1] + "\n")
    done = guarded(folder, "echo", "started")
    assert (done.returncode, done.stdout) == (1, "")
    assert "it lets in whoever has no password" in done.stderr


@pytest.fixture
def folders(tmp_path: Path) -> Stage:
    """The stack where an engine has made folders in place of all secrets."""
    need("docker-compose", "redis-server")
    model = resolved("docker-compose.yml", profiles=("cpu",))
    use_secrets(model, tmp_path / "made")
    for secret in model["secrets"].values():
        Path(secret["file"]).mkdir(parents=True)
    return Stage(model, tmp_path, PORTS)


def test_up_fails_at_once_where_secrets_are_folders(folders: Stage) -> None:
    with playing(folders):
        with pytest.raises(RuntimeError, match=r"check ended with 1:\nsecret .*: a folder, "):
            folders.up("coordinator")
        assert set(folders.running) == {"check"}


def test_redis_does_not_run_open(folders: Stage) -> None:
    """Whoever starts it alone, without the check before it, has it refuse by itself."""
    folders.model["services"]["redis"]["depends_on"] = {}
    with playing(folders):
        folders.up("redis")
        assert folders.wait_end("redis") == 1
    assert re.fullmatch(r"secret \S+: a folder, expected a file; .*\n", folders.log("redis"))


# -- specs


def coordinated(refusal: Path, *command: str, interrupt: signal.Signals | None = None) -> tuple[int, str]:
    """Exit code and standard error of a command under coordinate.py, interrupted once it has spoken."""
    words = [sys.executable, str(COORDINATE), *command]
    with subprocess.Popen(
        words, env={**os.environ, "DATAMASK_REFUSAL": str(refusal)}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        if interrupt is not None:
            said = process.stderr.readline()
            process.send_signal(interrupt)
        said += process.stderr.read()
    return process.returncode, said


def test_bad_input_ends_a_coordinator_and_is_told(tmp_path: Path) -> None:
    refusal = tmp_path / "refusal"
    spec = tmp_path / "wrong.toml"
    datamask = (
        sys.executable,
        "-m",
        "coordinator.cli",
        "evolve",
        str(spec),
        "--store",
        str(tmp_path / "runs"),
    )
    code, said = coordinated(refusal, *datamask)
    assert code == 0  # an engine that starts failed containers again leaves it alone
    assert refusal.read_text() == said.splitlines()[0] + "\n"
    assert refusal.read_text().startswith(f"datamask: {spec}: no such spec file")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_whatever_else_ends_a_coordinator_is_the_engine_s_business(tmp_path: Path, code: int) -> None:
    refusal = tmp_path / "refusal"
    refusal.write_text("of the life before\n")
    assert coordinated(refusal, "sh", "-c", f"echo words >&2; exit {code}") == (code, "words\n")
    assert not refusal.exists()


def test_a_coordinator_that_is_killed_has_failed(tmp_path: Path) -> None:
    assert coordinated(tmp_path / "refusal", "sh", "-c", "kill -9 $$") == (137, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_stop_tells_the_coordinator(tmp_path: Path, number: signal.Signals) -> None:
    patient = f"trap 'echo stopped >&2; exit 130' {number.name.removeprefix('SIG')}; echo there >&2; "
    patient += "while :; do sleep 0.05; done"
    began = time.monotonic()
    done = coordinated(tmp_path / "refusal", "sh", "-c", patient, interrupt=number)
    assert done == (130, "there\nstopped\n"), time.monotonic() - began
