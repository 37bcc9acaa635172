"""Secrets made by the script that makes them, and the whole compose file played once on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import ROOT, Stage, playing, resolved
from tests.support.needs import need

RUN = "tiny"
SPEC = """
name = "tiny"
seed = 3
[search]
islands = 2
population = 4
generations = 2
batch = 2
[migration]
every = 2
count = 1
[views]
count = 2
[[objective]]
kind = "detect"
model = "dlib-hog"
[elites]
count = 1
candidates = 1
ranking_views = 2
[verify]
views = 1
"""
# What the coordinator's image leaves out, of what infra/image_requirements.py calls pixels.
LIGHT = ("torch", "cv2", "pyrender")
# Ports that each service's command listens on.
PORTS = {
    "redis": (6379,),
    "s3": (8333, 9333, 8080, 8888),
    "coordinator": (9100,),
    "worker-cpu": (9100,),
    "flower": (5555,),
    "watch": (8300,),
    "prometheus": (9090,),
}


def make_secrets(folder: Path, *names: str) -> Path:
    """What infra/secrets.sh makes, in a folder of the test's."""
    command = [str(ROOT / "infra" / "secrets.sh"), *names]
    subprocess.run(
        command,
        env={**os.environ, "DATAMASK_SECRETS": str(folder)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


def use_secrets(model: dict[str, Any], folder: Path) -> None:
    """Let a compose model read its secrets from the folder."""
    for secret in model["secrets"].values():
        secret["file"] = str(folder / Path(secret["file"]).name)


def watched(stage: Stage, path: str = "/", token: str | None = None) -> tuple[int, str]:
    """Status and text that the watch service answers to a visitor with its token, or another one."""
    url = f"http://127.0.0.1:{stage.port('watch', 8300)}{path}"
    word = stage.secret("watch_token") if token is None else token
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(
            urllib.request.Request(url, headers={"Authorization": f"Bearer {word}"}), timeout=60
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@dataclass(frozen=True)
class Played:
    """A run that coordinator, worker and all the rest have brought to its end.

    code: the coordinator's. early: what the watch service said before the run began: status and text.
    refused: exit code of a coordinator that was given no such spec, and what the watch service said then.
    """

    stage: Stage
    code: int
    early: tuple[int, str]
    refused: tuple[int, tuple[int, str]]


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    need("docker-compose", "redis-server", "redis-cli", "weed", "wget", "prometheus")
    folder = tmp_path_factory.mktemp("compose")
    (folder / "specs").mkdir()
    (folder / "specs" / "tiny.toml").write_text(SPEC)
    environment = {
        "DATAMASK_SPECS": str(folder / "specs"),
        "DATAMASK_SPEC": "tiny.toml",
        "DATAMASK_RUN": RUN,
    }
    model = resolved("docker-compose.yml", profiles=("cpu",), environment=environment)
    use_secrets(model, make_secrets(folder / "made"))

    def without_name_server(text: str) -> str:
        """Loopback has no name server to ask for the workers' addresses."""
        port = stage.port("worker-cpu", 9100)
        found = re.sub(
            r"dns_sd_configs:.*?refresh_interval: \S+",
            f"static_configs: [{{targets: ['127.0.0.1:{port}']}}]",
            text,
            flags=re.DOTALL,
        )
        assert found != text
        return found

    stage = Stage(
        model,
        folder,
        PORTS,
        {"prometheus.yml": without_name_server},
        absent=dict.fromkeys(("bucket", "coordinator", "flower", "watch"), LIGHT),
    )
    with playing(stage):
        for service in ("prometheus", "flower", "watch", "worker-cpu"):
            stage.up(service)
        for service in ("prometheus", "flower", "watch", "worker-cpu"):
            stage.wait_healthy(service)
        early = watched(stage)
        right = stage.model["services"]["coordinator"]["command"]
        wrong = [word.replace("tiny.toml", "wrong.toml") for word in right]
        stage.model["services"]["coordinator"]["command"] = wrong
        stage.up("coordinator")
        refused = stage.wait_end("coordinator"), watched(stage)
        del stage.running["coordinator"]
        stage.model["services"]["coordinator"]["command"] = right
        stage.up("coordinator")
        stage.wait_healthy("coordinator")
        yield Played(stage, stage.wait_end("coordinator", timeout_s=400), early, refused)
