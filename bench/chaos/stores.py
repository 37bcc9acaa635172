"""Stores with bad days: an S3 server that fails at random, a disk that fills."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.chaos.place import Broken, Place, Scenario, Skipped, finished, in_environment, refused
from bench.chaos.relay import bad_days
from bench.support import ROOT, support

# Of all requests: answered 503 and not carried out; carried out and answered 500; carried out, answer lost.
REFUSED, FAILED, LOST = 0.1, 0.05, 0.05
DISK = "96m"
S3_PORTS = (8333, 9333, 8080, 8888)  # SeaweedFS's, in docker-compose.yml


@contextlib.contextmanager
def in_seaweedfs(folder: Path, spec: Path) -> Iterator[Place]:
    """A fresh Redis and the S3 server of docker-compose.yml, started as it stands there."""
    compose = support("compose")
    try:
        model = compose.resolved("docker-compose.yml")
        for program in ("weed", "wget"):
            compose.program(program)
    except compose.Missing as missing:
        raise Skipped(f"{missing}") from None
    secrets = folder / "made"
    subprocess.run(
        [str(ROOT / "infra" / "secrets.sh")],
        env={**os.environ, "DATAMASK_SECRETS": str(secrets)},
        check=True,
        capture_output=True,
    )
    for secret in model["secrets"].values():
        secret["file"] = str(secrets / Path(secret["file"]).name)
    with ExitStack() as stack:
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        stage = stack.enter_context(compose.playing(compose.Stage(model, folder, {"s3": S3_PORTS})))
        stage.up("bucket")
        if stage.wait_end("bucket"):
            raise Broken(stage.log("bucket"))
        variables = {k: v for k, v in stage.environment("coordinator").items() if k.startswith("AWS_")}
        stack.enter_context(in_environment(variables))
        place = Place(folder, spec, "s3://datamask/runs", redis, stage)
        stack.callback(place.end)
        yield place


def errors_at_random(place: Place) -> str:
    """All that datamask asks of the store passes a gate that spoils a share of it."""
    port = place.s3.port("s3", 8333)
    with bad_days(port, refused=REFUSED, failed=FAILED, lost=LOST) as gate:
        environment = {"AWS_ENDPOINT_URL_S3": gate.endpoint}
        for _ in range(2):
            place.worker(environment=environment)
        finished(place, place.coordinator(environment=environment))
        counts = gate.counts
    if not all(counts[fate] for fate in ("refused", "failed", "lost")):
        raise Broken(f"nothing was spoilt: {dict(counts)}")
    return (
        f"of {counts.total()} requests {counts['refused']} got 503, {counts['failed']} got 500 after they "
        f"were carried out, {counts['lost']} no answer"
    )


@contextlib.contextmanager
def on_small_disk(folder: Path, spec: Path) -> Iterator[Place]:
    """A fresh Redis and a folder on a file system of its own that is soon full."""
    disk = folder / "disk"
    disk.mkdir()
    with ExitStack() as stack:
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "datamask-chaos", str(disk)]
        try:
            subprocess.run(words, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or f"{error}"
            raise Skipped(f"no file system can be mounted here: {' '.join(said.split())}") from None
        stack.callback(subprocess.run, ["umount", str(disk)], check=True)
        redis = stack.enter_context(support("redis_server").running_redis(folder))
        place = Place(folder, spec, str(disk / "runs"), redis)
        stack.callback(place.end)
        yield place


def disk_full(place: Place) -> str:
    """The disk is filled to its last byte in mid-run, and freed when the coordinator has given up."""
    coordinator = place.begun()
    ballast = Path(place.store).parent / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        refused(place, coordinator, "No space left on device")
    finally:
        ballast.unlink()
    finished(place, place.coordinator())
    return "ended with one line, resumed when it was freed"


SCENARIOS = {
    "s3-errors": Scenario("SeaweedFS answers 503, 500 or not", errors_at_random, in_seaweedfs, heavy=True),
    "disk": Scenario("the disk fills and is freed, a folder", disk_full, on_small_disk, heavy=True),
}
