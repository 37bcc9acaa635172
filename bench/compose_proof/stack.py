"""One project of docker-compose.yml on an engine: started, asked, broken and taken down again."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.compose_proof.engine import Engine, Failed
from bench.support import ROOT
from coordinator.record.record import Head, Record
from services.errors import DatamaskError
from services.storage.open import open_store

RUN = "proof"
STORE = "s3://datamask/runs"
PUBLISHED = {"s3": "DATAMASK_S3_PORT", "flower": "DATAMASK_FLOWER_PORT", "watch": "DATAMASK_WATCH_PORT"}
PUBLISHED["grafana"] = "DATAMASK_GRAFANA_PORT"
UP_S = 900.0
RUN_S = 1800.0
RESTART_S = 3.0
# No proxy of the environment has a say in what this host answers.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@dataclass
class Stack:
    """A project. folder: for secrets, spec and what is changed of the file. ports: on loopback, by service.

    override: what differs from docker-compose.yml, as a compose model of its own.
    """

    engine: Engine
    command: Sequence[str]
    project: str
    folder: Path
    ports: Mapping[str, int]
    override: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 2

    def __post_init__(self) -> None:
        self._environment = {
            **self.engine.environment,
            **{PUBLISHED[service]: str(port) for service, port in self.ports.items()},
            "COMPOSE_PROJECT_NAME": self.project,
            "DATAMASK_SECRETS": str(self.folder / "secrets"),
            "DATAMASK_SPECS": str(self.folder / "specs"),
            "DATAMASK_SPEC": "proof.toml",
            "DATAMASK_RUN": RUN,
        }
        # What this program's own parts and `datamask pull` read of the bucket.
        self.bucket = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.ports['s3']}",
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "secrets" / "s3_credentials"),
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def prepare(self, spec: str) -> None:
        """Secrets, spec and overrides, in the folder."""
        (self.folder / "specs").mkdir(parents=True, exist_ok=True)
        (self.folder / "specs" / "proof.toml").write_text(spec)
        (self.folder / "override.json").write_text(json.dumps(self.override, indent=1))
        subprocess.run(
            [str(ROOT / "infra" / "secrets.sh")], env=self._environment, check=True, capture_output=True
        )

    def compose(
        self, *words: str, timeout_s: float = UP_S, secrets: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``docker compose WORDS``, whatever comes of it; nobody's ``.env`` has a say."""
        other = {} if secrets is None else {"DATAMASK_SECRETS": str(secrets)}
        files = [ROOT / "docker-compose.yml", self.folder / "override.json"]
        named = [word for file in files if file.exists() for word in ("--file", str(file))]
        return subprocess.run(
            [*self.command, "--env-file", os.devnull, *named, "--profile", "cpu", *words],
            env={**self._environment, "DATAMASK_WORKERS": str(self.workers), **other},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def model(self) -> dict[str, Any]:
        """The compose model, with variables filled in."""
        found: dict[str, Any] = json.loads(self.must("config", "--format", "json"))
        return found

    def must(self, *words: str, timeout_s: float = UP_S) -> str:
        """What ``docker compose WORDS`` prints. :raises Failed: with its last words."""
        done = self.compose(*words, timeout_s=timeout_s)
        if done.returncode:
            raise Failed(f"compose {' '.join(words)}: {(done.stderr or done.stdout).strip()[-1500:]}")
        return done.stdout

    def up(self, *services: str) -> None:
        """``up --detach``; images are there."""
        self.must("up", "--detach", "--no-build", "--pull", "never", *services)

    def down(self) -> None:
        """Everything of the project, volumes, too."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")

    # -- asking

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What the engine says of each container of a service, or of the project."""
        words = ["ps", "--all", "--quiet", *([service] if service else [])]
        ids = self.must(*words).split()
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *ids)) if ids else []
        return sorted(found, key=lambda one: str(one["Name"]))

    def service_of(self, container: Mapping[str, Any]) -> str:
        """Whose container it is."""
        return str(container["Config"]["Labels"]["com.docker.compose.service"])

    def inside(self, service: str, *words: str, index: int = 1) -> subprocess.CompletedProcess[str]:
        """A command in a service's container, as its user."""
        return self.compose("exec", "--no-TTY", "--index", str(index), service, *words)

    def logs(self, service: str) -> str:
        """What the containers of a service have said."""
        done = self.compose("logs", "--no-color", service)
        return done.stdout + done.stderr

    def secret(self, name: str) -> str:
        """One of the project's passwords."""
        return (self.folder / "secrets" / name).read_text().strip()

    def ask(self, service: str, path: str, login: str = "", token: str = "") -> tuple[int, str]:
        """Status and text that a published port answers; 0 where nobody does."""
        headers = {}
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        try:
            with opener.open(urllib.request.Request(url, headers=headers), timeout=60) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def head(self) -> Head:
        """What is committed; an empty HEAD where the bucket does not answer."""
        try:
            return Record(open_store(STORE).sub(RUN)).head()
        except (DatamaskError, OSError):
            return Head()

    # -- waiting

    def ended(self) -> int | None:
        """The coordinator's exit code; None while it runs, or is about to be started again."""
        for pause_s in (RESTART_S, 0.0):  # one that the engine starts again has ended for a moment
            (one,) = self.containers("coordinator")
            if one["State"]["Status"] not in ("exited", "dead"):
                return None
            time.sleep(pause_s)
        return int(one["State"]["ExitCode"])

    def wait_epoch(self, epoch: int) -> None:
        """Until a checkpoint is committed. :raises Failed: where the run ends before, or nothing goes on."""
        deadline = time.monotonic() + RUN_S
        while time.monotonic() < deadline:
            head = self.head()
            if head.parts and head.epoch >= epoch:
                return
            if head.done:
                raise Failed(f"the run ended before epoch {epoch}: more --generations")
            if self.ended() is not None and not self.head().done:
                raise Failed(f"the coordinator ended: {self.logs('coordinator')[-1500:]}")
            time.sleep(0.5)
        raise Failed(f"no epoch {epoch} after {RUN_S:.0f} s: {self.logs('coordinator')[-1500:]}")

    def wait_end(self) -> int:
        """The coordinator's exit code. :raises Failed: where it does not end."""
        deadline = time.monotonic() + RUN_S
        while time.monotonic() < deadline:
            if (code := self.ended()) is not None:
                return code
            time.sleep(1.0)
        raise Failed(f"the run did not end in {RUN_S:.0f} s: {self.logs('coordinator')[-1500:]}")

    def wait_running(self, service: str, count: int, restarts: int = 0) -> int:
        """Until as many containers of a service run, having been started again that often; how often."""
        deadline = time.monotonic() + 120.0
        while True:
            found = self.containers(service)
            up = [one for one in found if one["State"]["Running"] and not one["State"]["Restarting"]]
            again = sum(int(one["RestartCount"]) for one in found)
            if len(up) == count and again >= restarts:
                return again
            if time.monotonic() > deadline:
                raise Failed(f"{service}: {len(up)} of {count} run, started again {again} times")
            time.sleep(0.5)
