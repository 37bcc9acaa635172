"""A compose file on loopback, without containers: its services' own commands, started as they are written.

What a container would give each service is put in its place, and nothing else: published names become
127.0.0.1, ports become free ones, paths in the container become the files and folders that are mounted there.
Commands, environments, mounted configurations, secrets, health checks and the order of start are the file's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.ports import free_pair
from tests.support.redis_server import find_redis_server

ROOT = Path(__file__).parents[2]
IN_IMAGE = "/opt/datamask/infra"  # where our images keep what they need of infra/
HOW_TO_GET = {
    "docker-compose": "make tools",
    "weed": "make tools",
    "hadolint": "make tools",
    "redis-server": "apt install redis-server",
    "prometheus": "apt install prometheus",
    "promtool": "apt install prometheus",
    "chromium": "apt install chromium",
    "redis-cli": "apt install redis-tools",
    "wget": "apt install wget",
    "openssl": "apt install openssl",
    "shellcheck": "apt install shellcheck",
}
READY_S = 180.0  # a machine that runs many things at once is slow to start Python


class Missing(FileNotFoundError):
    """A program that is not here; its words say how to get it."""


def program(name: str) -> str:
    """Path of a program: beside this Python, else the system's. :raises Missing: if it is nowhere."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None and name == "redis-server":
        found = find_redis_server()
    if found is None:
        raise Missing(f"no {name}: {HOW_TO_GET.get(name, 'install it')}")
    return found


def resolved(
    *files: str, profiles: Sequence[str] = (), environment: Mapping[str, str] | None = None, root: Path = ROOT
) -> dict[str, Any]:
    """What Docker Compose reads from the files: checked against its schema, merged, with variables filled in.

    :raises Missing: without docker-compose; :raises ValueError: with its words, if it refuses the files.
    """
    command = [program("docker-compose")]
    command += [word for file in files for word in ("--file", str(root / file))]
    command += [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(environment or {})},
        timeout=60,
    )
    if done.returncode:
        raise ValueError(done.stderr.strip())
    model: dict[str, Any] = json.loads(done.stdout)
    return model


@dataclass
class Stage:
    """The services of one compose model, playable.

    :param model: of :func:`resolved`. folder: for volumes, logs and staged files.
    :param ports: of each service, every port number that its command listens on.
    :param absent: modules of this Python that a service's image does not have.
    :param elsewhere: ports of hosts that this stage does not play, and the ports that stand for them.
    :param edits: further changes of a mounted file's text, by its name, where loopback cannot do as the
        network of containers does.
    """

    model: dict[str, Any]
    folder: Path
    ports: Mapping[str, Sequence[int]]
    edits: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    elsewhere: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken: set[int] = set()
        self._ports: dict[str, dict[int, int]] = {name: dict(known) for name, known in self.elsewhere.items()}
        for service, numbers in self.ports.items():
            self._ports[service] = {}
            for number in numbers:
                self._ports[service][number] = free_pair(taken)

    def port(self, service: str, number: int) -> int:
        """The port of 127.0.0.1 that stands for a service's."""
        return self._ports[service][number]

    def log(self, service: str) -> str:
        """What a service has said so far."""
        path = self.folder / f"{service}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def secret(self, name: str) -> str:
        """A secret as the services see it."""
        return (self.folder / "secrets" / name).read_text().strip()

    # -- starting and stopping

    def up(self, service: str) -> None:
        """Start a service once those that it depends on are as it wants them.

        :raises RuntimeError: with its log, if one of them fails or does not get healthy in time.
        """
        if service in self.running:
            return
        for needed, how in (self._service(service).get("depends_on") or {}).items():
            self.up(needed)
            if how["condition"] == "service_healthy":
                self.wait_healthy(needed)
            elif how["condition"] == "service_completed_successfully":
                code = self.wait_end(needed)
                if code:
                    raise RuntimeError(f"{needed} ended with {code}:\n{self.log(needed)}")
        self.running[service] = self._start(service)

    def healthy(self, service: str) -> bool:
        """Run the service's own health check."""
        kind, *words = self._service(service)["healthcheck"]["test"]
        argv = ["sh", "-c", *words] if kind == "CMD-SHELL" else list(words)
        argv = [self._staged(service, word, own_ports=True) for word in argv]
        return (
            subprocess.run(
                _command(argv), env=self.environment(service), capture_output=True, check=False, timeout=30
            ).returncode
            == 0
        )

    def wait_healthy(self, service: str, timeout_s: float = READY_S) -> None:
        """:raises RuntimeError: with its log, if it ends or does not get healthy in time."""
        deadline = time.monotonic() + timeout_s
        while not self.healthy(service):
            if self.running[service].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{service} does not get healthy:\n{self.log(service)[-3000:]}")
            time.sleep(0.2)

    def wait_end(self, service: str, timeout_s: float = 120.0) -> int:
        """Exit code of a service that ends by itself. :raises TimeoutExpired: if it does not."""
        return self.running[service].wait(timeout_s)

    def stop(self, service: str, timeout_s: float = 20.0) -> int:
        """End a service as ``docker stop`` does; returns its exit code."""
        process = self.running.pop(service)
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def down(self) -> None:
        """End whatever runs; nobody needs what it would still write."""
        for process in self.running.values():
            process.terminate()
        for service in list(self.running):
            self.stop(service, timeout_s=3.0)

    # -- what a container would give

    def argv(self, service: str) -> list[str]:
        """The service's command with names, ports and paths of loopback."""
        spec = self._service(service)
        words = [*(spec.get("entrypoint") or []), *(spec.get("command") or [])]
        return [self._staged(service, word, own_ports=True) for word in words]

    def environment(self, service: str) -> dict[str, str]:
        """The service's environment and what every process needs; nothing of ours leaks in."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        ours = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": f"{self._hidden(service)}:{ROOT}",
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        given = self._service(service).get("environment") or {}
        return ours | {
            name: self._staged(service, str(value), own_ports=False) for name, value in given.items()
        }

    def _hidden(self, service: str) -> Path:
        """A folder of modules that cannot be imported, as if they were not installed."""
        folder = self.folder / "absent" / service
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.absent.get(service, ()):
            refusal = f"raise ModuleNotFoundError('the image of {service} has no {name}')\n"
            (folder / f"{name}.py").write_text(refusal)
        return folder

    def _service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.model["services"][name]
        return found

    def _start(self, service: str) -> subprocess.Popen[bytes]:
        volumes = [m for m in self._service(service).get("volumes", ()) if m["type"] == "volume"]
        where = self._volume(volumes[0]["source"]) if volumes else self.folder
        with (self.folder / f"{service}.log").open("ab") as log:
            return subprocess.Popen(
                _command(self.argv(service)),
                env=self.environment(service),
                cwd=where,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _mounts(self, service: str) -> dict[str, Path]:
        """Where each path of the container lies here."""
        spec = self._service(service)
        found = {IN_IMAGE: ROOT / "infra", "/run/secrets": self.folder / "secrets"}
        for mount in spec.get("volumes", ()):
            if mount["type"] == "volume":
                found[mount["target"]] = self._volume(mount["source"])
            else:
                name = mount["target"].strip("/").replace("/", "-")
                found[mount["target"]] = self.folder / "mounts" / service / name
        for secret in spec.get("secrets", ()):
            found[secret["target"]] = self.folder / "secrets" / secret["source"]
        return found

    def _volume(self, name: str) -> Path:
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _staged(self, service: str, text: str, *, own_ports: bool) -> str:
        """A text with names, ports and paths of loopback; what is mounted in the service is staged too."""
        spec, mounts = self._service(service), self._mounts(service)
        for secret in spec.get("secrets", ()):
            # A password may hold digits that look like a port, so only whole addresses are changed in it.
            source = Path(self.model["secrets"][secret["source"]]["file"])
            self._stage(service, source, mounts[secret["target"]], own_ports=False)
        for mount in spec.get("volumes", ()):
            if mount["type"] == "bind":
                self._stage(service, Path(mount["source"]), mounts[mount["target"]], own_ports=True)
        return self._named(service, _moved(text, mounts), own_ports=own_ports)

    def _named(self, service: str, text: str, *, own_ports: bool) -> str:
        for other, numbers in self._ports.items():
            for number, free in numbers.items():
                text = re.sub(rf"(?<![\w.-]){re.escape(other)}:{number}(?!\d)", f"127.0.0.1:{free}", text)
        if own_ports:
            for number, free in self._ports.get(service, {}).items():
                text = re.sub(rf"(?<![\w.]){number}(?!\w)", str(free), text)
        return text.replace("0.0.0.0", "127.0.0.1").replace("$$", "$")

    def _stage(self, service: str, source: Path, staged: Path, *, own_ports: bool) -> None:
        """A copy of a mounted file or folder, with its text staged likewise."""
        if staged.exists():
            return
        if source.is_dir():
            staged.mkdir(parents=True)
            for path in sorted(p for p in source.rglob("*") if p.is_file()):
                self._stage(service, path, staged / path.relative_to(source), own_ports=own_ports)
            return
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = source.read_text()
        except UnicodeDecodeError:
            shutil.copy(source, staged)
            return
        text = self._named(service, _moved(text, self._mounts(service)), own_ports=own_ports)
        staged.write_text(self.edits.get(source.name, str)(text))


def _moved(text: str, mounts: Mapping[str, Path]) -> str:
    """The text with each path of the container where it lies here, in one pass."""
    targets = "|".join(re.escape(target) for target in sorted(mounts, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{targets})(?![\w.-])", lambda found: str(mounts[found[0]]), text)


def _command(argv: Sequence[str]) -> list[str]:
    """The same with the programs of this machine; ours run from the checkout.

    A command may begin with programs that start the next one: ``sh guard.sh FOLDER weed ...``.
    """
    ours = {
        "datamask": [sys.executable, "-m", "coordinator.cli"],
        "celery": [sys.executable, "-m", "celery"],
        "python": [sys.executable],
    }
    words = []
    for word in argv:
        known = word == argv[0] or word in HOW_TO_GET
        words += ours.get(word) or ([program(word)] if known else [word])
    return words


@contextlib.contextmanager
def playing(stage: Stage) -> Iterator[Stage]:
    """The stage for as long as the context lasts; then everything on it ends."""
    try:
        yield stage
    finally:
        stage.down()
