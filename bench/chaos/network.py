"""Cables that are cut, packets that get lost, lines that are slow."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

from bench.chaos.hosts import Apart, on_hosts
from bench.chaos.place import Place, Scenario, finished, in_bucket, refused
from bench.chaos.relay import slow_line

CUT_S = 45.0  # longer than a beat, a worker's presence and the shortest deadline of a batch
STORE_CUT_S = 40.0  # two requests in a row time out; the store's patience lasts longer
LOST = 0.1  # of the packets, each way
DELAY_S = 0.1  # each way, on average


def _begun(place: Place) -> tuple[Apart, subprocess.Popen[bytes]]:
    """Two workers on their host and the coordinator on its own, the first checkpoint committed."""
    assert isinstance(place, Apart)
    on = place.hosts.on
    return place, place.begun({"before": on("workers")}, before=on("coordinator"))


def workers_cut_from_redis(place: Place) -> str:
    """Bells, beats and messages stop; the store can be reached."""
    apart, coordinator = _begun(place)
    with apart.hosts.cut("workers", place.redis.port):
        time.sleep(CUT_S)
    finished(place, coordinator)
    return f"cut for {CUT_S:.0f} s"


def redis_lost_while_cut(place: Place) -> str:
    """Meanwhile Redis comes back empty: the workers hold connections that nobody else knows of."""
    apart, coordinator = _begun(place)
    with apart.hosts.cut("workers", place.redis.port):
        time.sleep(CUT_S / 2)
        place.redis.stop()
        place.redis.start()
        time.sleep(CUT_S / 2)
    finished(place, coordinator)
    return f"cut for {CUT_S:.0f} s"


def workers_unplugged(place: Place) -> str:
    """Neither Redis nor store can be reached."""
    apart, coordinator = _begun(place)
    with apart.hosts.unplugged("workers"):
        time.sleep(CUT_S)
    finished(place, coordinator)
    return f"unplugged for {CUT_S:.0f} s"


def coordinator_cut_from_redis(place: Place) -> str:
    """For less than the coordinator's patience, then until it gives up."""
    apart, coordinator = _begun(place)
    with apart.hosts.cut("coordinator", place.redis.port):
        time.sleep(15)
    place.wait_for_epoch(1, coordinator)
    with apart.hosts.cut("coordinator", place.redis.port):
        refused(place, coordinator, "did not answer for 30 s")
    finished(place, place.coordinator(before=apart.hosts.on("coordinator")))
    return "15 s were waited out; then ended with one line, resumed"


def coordinator_cut_from_store(place: Place) -> str:
    """For less than the store's patience."""
    apart, coordinator = _begun(place)
    with apart.hosts.cut("coordinator", place.s3.port):
        time.sleep(STORE_CUT_S)
    finished(place, coordinator)
    return f"cut for {STORE_CUT_S:.0f} s"


def coordinator_cut_for_long(place: Place) -> str:
    """Until the coordinator gives up."""
    apart, coordinator = _begun(place)
    with apart.hosts.cut("coordinator", place.s3.port):
        refused(place, coordinator, "does not answer as it should")
    finished(place, place.coordinator(before=apart.hosts.on("coordinator")))
    return "ended with one line, resumed"


def packets_lost(place: Place) -> str:
    """On every line, from the first packet to the last."""
    assert isinstance(place, Apart)
    with ExitStack() as stack:
        for host in ("workers", "coordinator"):
            for port in (place.redis.port, place.s3.port):
                stack.enter_context(place.hosts.cut(host, port, lost=LOST))
        _, coordinator = _begun(place)
        finished(place, coordinator)
    return f"{LOST:.0%} each way"


def slow_lines(place: Place) -> str:
    """Between everybody and Redis and store."""
    with ExitStack() as stack:
        redis = stack.enter_context(slow_line(place.redis.port, DELAY_S))
        s3 = stack.enter_context(slow_line(place.s3.port, DELAY_S))
        place.broker = place.redis.url.replace(str(place.redis.port), str(redis))
        environment = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3}"}
        for _ in range(2):
            place.worker(environment=environment)
        finished(place, place.coordinator(environment=environment))
    return f"{DELAY_S * 1000:.0f} ms each way"


SCENARIOS = {
    "cut-redis": Scenario("2 workers cut from Redis", workers_cut_from_redis, on_hosts, heavy=True),
    "cut-redis-empty": Scenario(
        "2 workers cut from Redis, which comes back empty", redis_lost_while_cut, on_hosts, heavy=True
    ),
    "unplugged": Scenario("2 workers cut from Redis and S3", workers_unplugged, on_hosts, heavy=True),
    "cut-coordinator": Scenario(
        "coordinator cut from Redis", coordinator_cut_from_redis, on_hosts, heavy=True
    ),
    "cut-s3": Scenario("coordinator cut from S3", coordinator_cut_from_store, on_hosts, heavy=True),
    "cut-s3-long": Scenario(
        "coordinator cut from S3 for longer than it waits", coordinator_cut_for_long, on_hosts, heavy=True
    ),
    "loss": Scenario("packets lost, Redis and S3", packets_lost, on_hosts, heavy=True),
    "latency": Scenario("slow lines to Redis and S3", slow_lines, in_bucket, heavy=True),
}
