"""The Docker engine that the proof runs on: the one that answers, else Debian's own, started for as long."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.errors import reason_of

START_S = 60.0
STOP_S = 60.0


class NoEngine(RuntimeError):
    """No engine answers, and none can be started; the words say why, in one line."""


class Failed(RuntimeError):
    """A command of the engine, or something that must hold on it, failed."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers. version: of its server. ours: whether this process has started it."""

    environment: Mapping[str, str]
    version: str
    ours: bool

    def run(
        self, *words: str, given: str | None = None, timeout_s: float = 600.0
    ) -> subprocess.CompletedProcess[str]:
        """``docker WORDS``, whatever comes of it. given: its standard input."""
        return subprocess.run(
            ["docker", *words],
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def docker(self, *words: str, given: str | None = None, timeout_s: float = 600.0) -> str:
        """What ``docker WORDS`` prints. :raises Failed: with its last words."""
        done = self.run(*words, given=given, timeout_s=timeout_s)
        if done.returncode:
            raise Failed(f"docker {' '.join(words)[:200]}: {(done.stderr or done.stdout).strip()[-1500:]}")
        return done.stdout.strip()


def compose_command(environment: Mapping[str, str]) -> list[str]:
    """Docker's own plugin, else the program that ``make tools`` brings. :raises NoEngine: without either."""
    plugin = ["docker", "compose"]
    if _answer([*plugin, "version"], environment) is not None:
        return plugin
    beside = Path(sys.executable).with_name("docker-compose")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("docker-compose")
    if found is None:
        raise NoEngine("no Docker Compose: `make tools` brings it")
    return [found]


@contextlib.contextmanager
def an_engine(folder: Path) -> Iterator[Engine]:
    """The engine that answers here; else one of this machine's programs, with all it keeps in ``folder``.

    :raises NoEngine: where there is neither.
    """
    if shutil.which("docker") is None:
        raise NoEngine("no docker command: install Docker (Debian: apt install docker.io)")
    environment = dict(os.environ)
    version = _version(environment)
    if version is not None:
        yield Engine(environment, version, ours=False)
        return
    program = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/usr/local/sbin")
    if program is None or os.geteuid() != 0:
        raise NoEngine(
            "no Docker engine answers, and only root with dockerd (apt install docker.io) starts one"
        )
    socket = folder / "docker.sock"
    environment["DOCKER_HOST"] = f"unix://{socket}"
    process = _start(program, folder, socket)
    try:
        yield Engine(environment, _wait(process, environment, folder / "dockerd.log"), ours=True)
    finally:
        process.send_signal(signal.SIGTERM)  # it ends its containers and containerd itself
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _start(program: str, folder: Path, socket: Path) -> subprocess.Popen[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoEngine(f"--engine {folder}: expected a folder ({reason_of(error)})") from None
    # Where limits may not be raised (no CAP_SYS_RESOURCE), no container starts with the engine's own default.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = {"Name": "nofile", "Soft": most, "Hard": most}
    settings: dict[str, object] = {
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "docker.pid"),
        "hosts": [f"unix://{socket}"],
        "default-ulimits": {"nofile": files},
    }
    # Debian's package leaves docker-init out and suggests tini, which is the same program.
    init = shutil.which("docker-init") or shutil.which("tini-static") or shutil.which("tini")
    if init is None:
        raise NoEngine("the engine needs tini for `init: true` (apt install tini)")
    settings["init-path"] = init
    file = folder / "daemon.json"
    file.write_text(json.dumps(settings))
    with (folder / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            [program, "--config-file", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(process: subprocess.Popen[bytes], environment: Mapping[str, str], log: Path) -> str:
    """The version of an engine that is starting. :raises NoEngine: with the last line that it said."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if (version := _version(environment)) is not None:
            return version
        time.sleep(0.5)
    said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
    if process.poll() is None:
        process.kill()
    raise NoEngine(f"Docker's engine does not start here: {said[-1][-300:]}")


def _version(environment: Mapping[str, str]) -> str | None:
    return _answer(["docker", "version", "--format", "{{.Server.Version}}"], environment)


def _answer(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """What a command prints; None where it fails."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=START_S
    )
    return done.stdout.strip() if done.returncode == 0 else None
