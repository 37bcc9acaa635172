"""Clocks that jump while a run goes on: wall clocks, as when a host's clock is set, never monotonic ones."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.chaos.place import (
    Broken,
    Place,
    Scenario,
    Skipped,
    finished,
    in_bucket,
    kill,
    refused,
    signal_all,
)
from bench.chaos.stores import in_seaweedfs
from bench.support import support

HOUR_S = 3600
DAY_S = 24 * HOUR_S


# Not libfaketime: with it Python's sleep fails, for it shifts deadlines of the monotonic clock, too.
_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset;

__attribute__((constructor)) static void open_offset(void) {
    int file = open(getenv("CHAOS_CLOCK"), O_RDONLY | O_CLOEXEC);
    void *found = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (found == MAP_FAILED) _exit(99);
    close(file);
    offset = found;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int code = syscall(SYS_clock_gettime, id, now);
    if (!code && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return code;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    int code = clock_gettime(CLOCK_REALTIME, &found);
    if (now) { now->tv_sec = found.tv_sec; now->tv_usec = found.tv_nsec / 1000; }
    return code;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
"""


class Clock:
    """A wall clock that can be set; the processes that go by it see that at once.

    :raises Skipped: without a C compiler, or on another system than Linux.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path, self._library = folder / name, folder / "clock.so"
        self.set(0)
        if not self._library.exists():
            source = folder / "clock.c"
            source.write_text(_SOURCE)
            words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(source)]
            try:
                subprocess.run(words, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise Skipped(
                    f"no C compiler for a clock that can be set ({error}): apt install gcc"
                ) from None

    def set(self, seconds: int) -> None:
        """So far ahead of the true time; negative: behind."""
        # Not anew: the file is mapped.
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))

    @property
    def environment(self) -> Mapping[str, str]:
        """Of a process that goes by this clock."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._path)}


def clocks_jump(place: Place) -> str:
    """The clocks of coordinator and workers go a day ahead and a day back, never together."""
    clocks = [Clock(place.folder, f"clock-{k}") for k in range(3)]
    for clock in clocks[1:]:
        place.worker(environment=clock.environment)
    coordinator = place.coordinator(environment=clocks[0].environment)
    for epoch, days in enumerate(((1, -1, 0), (-1, 1, 1), (0, 0, -1))):
        place.wait_for_epoch(epoch, coordinator)
        for clock, offset in zip(clocks, days, strict=True):
            clock.set(offset * DAY_S)
    finished(place, coordinator)
    return "a day ahead and a day back, three times"


def clock_refused(place: Place) -> str:
    """SeaweedFS takes no requests that were signed more than 15 minutes off."""
    clock = Clock(place.folder, "clock")
    coordinator = place.begun(environment=clock.environment)
    clock.set(HOUR_S)
    refused(place, coordinator, "this machine's clock is off")
    clock.set(0)
    finished(place, place.coordinator(environment=clock.environment))
    return "ended with one line, resumed when it was set"


class Clocked(Place):
    """A place whose Redis goes by a clock of its own."""

    clock: Clock


@contextlib.contextmanager
def by_another_clock(folder: Path, spec: Path) -> Iterator[Clocked]:
    """A Redis whose clock can be set, and an empty folder."""
    clock = Clock(folder, "clock")
    with ExitStack() as stack:
        running = support("redis_server").running_redis
        redis = stack.enter_context(running(folder, environment=clock.environment))
        place = Clocked(folder, spec, str(folder / "runs"), redis)
        place.clock = clock
        stack.callback(place.end)
        yield place


def clock_of_redis(place: Place) -> str:
    """A worker dies and it goes back an hour: the worker's sign of life would last that hour."""
    assert isinstance(place, Clocked)
    worker = place.worker()
    coordinator = place.coordinator()
    client = place.redis.client()
    place.wait_for_epoch(0, coordinator)
    while coordinator.poll() is None:  # until the worker has stopped in the midst of a batch
        signal_all(worker, signal.SIGSTOP)
        if client.keys("datamask:beat:*"):
            break
        signal_all(worker, signal.SIGCONT)
        time.sleep(0.1)
    place.clock.set(-HOUR_S)
    kill(worker)
    left_s = max((client.ttl(key) for key in client.keys("datamask:beat:*")), default=0)
    if left_s < HOUR_S / 2:
        raise Broken(f"no beat from before Redis's clock went back: the last one has {left_s} s to live")
    place.worker()
    place.wait_for_epoch(1, coordinator)
    place.clock.set(HOUR_S)
    finished(place, coordinator)
    return "an hour back, later two ahead"


SCENARIOS = {
    "clocks": Scenario("clocks of coordinator and workers jump, S3", clocks_jump, in_bucket, heavy=True),
    "clock-s3": Scenario(
        "the coordinator's clock is an hour off, SeaweedFS", clock_refused, in_seaweedfs, heavy=True
    ),
    "clock-redis": Scenario(
        "a worker is killed, Redis's clock goes back an hour", clock_of_redis, by_another_clock, heavy=True
    ),
}
