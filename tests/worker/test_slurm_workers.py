"""examples/slurm-workers.sh, as a node of a cluster would start it; what Slurm adds is in its comments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm-workers.sh"


@pytest.fixture
def home(tmp_path):
    """A folder with datamask in .venv and secrets, as the script wants it."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    datamask = tmp_path / ".venv" / "bin" / "datamask"
    datamask.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m coordinator.cli "$@"\n')
    datamask.chmod(0o755)
    (tmp_path / "infra" / "secrets").mkdir(parents=True)
    return tmp_path


def run(home, *words, **environment):
    environment = {**os.environ, "DATAMASK_HOME": str(home), **environment}
    command = ["bash", str(SCRIPT), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_a_node_joins_a_run_and_leaves_when_there_is_no_work(home, redis_server):
    done = run(home, "--device", "cpu", DATAMASK_BROKER=redis_server.url, IDLE_S="1")
    assert done.returncode == 0, done.stderr
    assert "this worker leaves" in done.stdout + done.stderr


def test_a_node_finds_the_main_hosts_certificate_where_it_lies(home):
    secrets = home / "infra" / "secrets"
    url = "rediss://datamask:word@192.0.2.1:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/run/secrets/ca"
    (secrets / "broker_url").write_text(url)
    run(home, "--device", "cpu", DATAMASK_ADDRESS="192.0.2.1", IDLE_S="1")
    here = secrets / "broker_url.slurm"
    assert here.read_text() == url.replace("/run/secrets/ca", str(secrets / "ca"))
    assert here.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in secrets.iterdir()) == ["broker_url", "broker_url.slurm"]


def test_a_node_whose_gpu_cannot_be_used_says_so(home, redis_server):
    done = run(home, DATAMASK_BROKER=redis_server.url, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "no CUDA device: check nvidia-smi" in done.stderr


def test_a_bucket_may_be_elsewhere(home):
    (home / "infra" / "secrets" / "broker_url").write_text("rediss://192.0.2.1")
    (home / ".venv" / "bin" / "datamask").write_text("#!/bin/sh\nenv\n")
    there = {"DATAMASK_S3_ENDPOINT": "https://s3.example.org", "DATAMASK_CA": "/authorities"}
    for more, place, authority in (
        ({}, "https://192.0.2.1:8334", f"{home}/infra/secrets/ca"),
        (there, "https://s3.example.org", "/authorities"),
    ):
        lines = run(home, DATAMASK_ADDRESS="192.0.2.1", **more).stdout.splitlines()
        assert {f"AWS_ENDPOINT_URL_S3={place}", f"AWS_CA_BUNDLE={authority}"} < set(lines)
