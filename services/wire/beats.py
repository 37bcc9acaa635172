"""Signs of life in Redis: of a batch under work, and of the workers that listen to a queue.

Both expire by Redis's own clock, so that nobody's clock is compared with another's. Both are hints: without
them a coordinator sends batches again too early, or fewer at once, and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable, Sequence
from statistics import median_low
from types import TracebackType
from typing import NamedTuple, Self

import redis

from services.wire.bells import run_digest
from services.wire.messages import Work

BEAT_EVERY_S = 3.0
BEAT_TTL_S = 12
PRESENT_EVERY_S = 5.0
PRESENT_S = 20  # a worker that was not heard of for so long is not counted


def beat_key(work: Work) -> str:
    """The Redis key that lives while the batch is under work."""
    return f"datamask:beat:{run_digest(work)}:{work.batch}"


class Heartbeat:
    """Beats while its block runs, from its first moment, in a thread of its own.

    :meth:`tell` puts words into the next beat, for whoever waits.

    :param limit_s: after so long it beats no more: what it beats for hangs, and nobody else would see that.
    """

    def __init__(self, client: redis.Redis[bytes], work: Work, limit_s: float = math.inf) -> None:
        self._client, self._key, self._limit_s = client, beat_key(work), limit_s
        self._words = ""
        self._told = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._beat, name="datamask-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Beat until :meth:`stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; for every start once, in whatever thread."""
        self._over = True
        self._told.set()
        self._thread.join()

    def tell(self, stage: str, done: int, total: int) -> None:
        """Where the work stands."""
        self._words = f"{stage} {done}/{total}"
        self._told.set()

    def _beat(self) -> None:
        began = time.monotonic()
        while not self._over and time.monotonic() - began < self._limit_s:
            with contextlib.suppress(redis.RedisError):
                self._client.set(self._key, self._words, ex=BEAT_TTL_S)
            self._told.wait(BEAT_EVERY_S)
            self._told.clear()
        with contextlib.suppress(redis.RedisError):
            self._client.delete(self._key)


def beats(client: redis.Redis[bytes], works: Sequence[Work]) -> dict[str, str]:
    """What the batches under work said last, by batch; the others are left out.

    :raises redis.RedisError: if Redis cannot be reached.
    """
    if not works:
        return {}
    keys = [beat_key(work) for work in works]
    pipe = client.pipeline(transaction=False)
    pipe.mget(keys)
    for key in keys:
        pipe.pttl(key)
    found, *left_ms = pipe.execute()
    told = zip(works, found, left_ms, strict=True)
    # A beat that has longer to live than any was given is one from before Redis's clock went back.
    return {
        work.batch: words.decode(errors="replace")
        for work, words, left in told
        if words is not None and left <= BEAT_TTL_S * 1000
    }


class Presence:
    """Says every few seconds how many processes of a worker listen to which queues.

    :param pictures: that a process has room for at a time; 0: it does not say.
    """

    def __init__(
        self,
        client: redis.Redis[bytes],
        name: str,
        processes: int,
        queues: Iterable[str],
        pictures: int = 0,
    ) -> None:
        self._client, self._member = client, f"{processes} {pictures} {name}"
        self._keys = [_present_key(queue) for queue in queues]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="datamask-presence", daemon=True)

    def start(self) -> None:
        """Begin, in a thread that ends with the process or with :meth:`stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Take the worker off the list, if it ever was on it."""
        if not self._thread.is_alive():
            return
        self._over.set()
        self._thread.join()
        with contextlib.suppress(redis.RedisError):
            for key in self._keys:
                self._client.zrem(key, self._member)

    def _stay(self) -> None:
        while True:
            with contextlib.suppress(redis.RedisError):
                seconds, _ = self._client.time()
                for key in self._keys:
                    self._client.zadd(key, {self._member: seconds})
            if self._over.wait(PRESENT_EVERY_S):
                return


class Crew(NamedTuple):
    """Who listens to a queue. pictures: that the usual process has room for at a time; 0: none says."""

    processes: int = 0
    pictures: int = 0


def present(client: redis.Redis[bytes], queue: str) -> Crew:
    """Who listens to a queue. :raises redis.RedisError: if Redis cannot be reached."""
    seconds, _ = client.time()
    key = _present_key(queue)
    client.zremrangebyscore(key, "-inf", seconds - PRESENT_S)
    client.zremrangebyscore(key, seconds + PRESENT_S, "+inf")  # Redis's clock went back since
    said = [[_number(word) for word in m.split(b" ", 2)[:2]] for m in client.zrange(key, 0, -1)]
    rooms = [pictures for n, *rest in said for pictures in rest * min(n, 1000) if pictures]
    return Crew(sum(n for n, *_ in said), int(median_low(rooms)) if rooms else 0)


def _number(word: bytes) -> int:
    return int(word) if word.isdigit() and len(word) < 9 else 0


def _present_key(queue: str) -> str:
    return f"datamask:present:{queue}"
