"""What every store promises, tried on the very S3 server of docker-compose.yml."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.storage import Store, open_store
from tests.infra.conftest import PORTS, make_secrets, use_secrets
from tests.services.storage.test_store import *  # noqa: F403  (the promises themselves)
from tests.support.compose import Stage, playing, resolved
from tests.support.needs import need

pytestmark = pytest.mark.slow  # four processes race in several of them

numbers = itertools.count()


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The services s3 and bucket."""
    need("docker-compose", "weed", "wget")
    folder: Path = tmp_path_factory.mktemp("seaweedfs")
    model = resolved("docker-compose.yml")
    use_secrets(model, make_secrets(folder / "made"))
    with playing(Stage(model, folder, {"s3": PORTS["s3"]})) as stage:
        stage.up("bucket")
        assert stage.wait_end("bucket") == 0, stage.log("bucket")
        yield stage


@pytest.fixture(params=["bucket"])  # some promises are tried less often on a bucket, and know it by this name
def store(seaweedfs: Stage, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty place of its own for each test."""
    for name, value in seaweedfs.environment("coordinator").items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return open_store(f"s3://datamask/runs-{next(numbers)}")
