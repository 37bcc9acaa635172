"""Redis as the coordinator uses it: messages out, bells in, and patience while it is away."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import redis
from kombu.exceptions import OperationalError

from services.errors import Unavailable
from services.wire.app import make_app
from services.wire.beats import Crew, beats, present
from services.wire.bells import Bell, bell_list, connect, decode_bell
from services.wire.broker_url import ENCODE, SHAPE, check_broker, redacted, scrubbed
from services.wire.messages import QUEUES, Work

log = logging.getLogger(__name__)

MOST_BELLS = 200  # read at a time

T = TypeVar("T")


def reach(broker_url: str, patience_s: float) -> None:
    """Wait until the broker's Redis answers: what is wrong with either shows before a run is begun.

    :param patience_s: how long an answer is waited for.
    :raises BadInput, Unavailable: as :class:`Doorbell`.
    """
    client = connect(broker_url)
    try:
        _patiently(client.ping, check_broker(broker_url), patience_s, "give the command again")
    finally:
        client.close()


class Doorbell:
    """One run's line to its workers. Every call waits while Redis is away, as long as patience lasts.

    :param of_run: any work of the run. on_return: called when Redis is back, with all that it held forgotten.
    :raises BadInput: if the URL is not one of Redis; every call :raises Unavailable: if Redis stays out of
        reach or refuses the password.
    """

    def __init__(
        self, broker_url: str, of_run: Work, patience_s: float, on_return: Callable[[], None]
    ) -> None:
        self._url = check_broker(broker_url)
        self.broker = redacted(broker_url)
        self._app = make_app(broker_url)
        self._redis = connect(broker_url)
        self._bells = bell_list(of_run)
        self._patience_s, self._on_return = patience_s, on_return
        self.waited_s = 0.0  # in all, for the first bell: the coordinator had nothing else to do
        self._patiently(self._redis.ping)

    def send(self, task: str, work: Work) -> None:
        """Put a message into the task's queue; what it is stands beside it in words, for Flower."""
        words = f"run {work.run}, {work.origin.words}"
        self._patiently(
            lambda: self._app.send_task(
                task, kwargs=work.kwargs(), queue=task, argsrepr=words, kwargsrepr="", retry=False
            )
        )

    def bells(self, timeout_s: int) -> list[Bell]:
        """The bells that were rung; waits for the first one, unless ``timeout_s`` is 0."""
        rung: list[bytes] = []
        if timeout_s:
            began = time.monotonic()
            first = self._patiently(lambda: self._redis.brpop([self._bells], timeout=timeout_s))
            self.waited_s += time.monotonic() - began
            if first is None:
                return []
            rung.append(first[1])
        rung += self._patiently(lambda: self._redis.rpop(self._bells, MOST_BELLS)) or ()
        return [bell for bell in map(decode_bell, rung) if bell is not None]

    def knock(self) -> None:
        """End :meth:`bells` soon; for another thread."""
        with contextlib.suppress(redis.RedisError):  # then it ends when its time is over
            self._redis.lpush(self._bells, b"")

    def crew(self, queue: str) -> Crew:
        """Workers' processes that listen to a queue."""
        return self._patiently(lambda: present(self._redis, queue))

    def queued(self) -> Mapping[str, int]:
        """Messages that no worker has taken yet, by queue, of all runs."""
        names = list(QUEUES.values())
        return dict(zip(names, self._patiently(lambda: [self._redis.llen(n) for n in names]), strict=True))

    def beats(self, works: Sequence[Work]) -> Mapping[str, str]:
        """What the batches under work said last, by batch."""
        return self._patiently(lambda: beats(self._redis, works))

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()
        self._app.close()

    def _patiently(self, action: Callable[[], T]) -> T:
        return _patiently(action, self._url, self._patience_s, "go on with --resume", self._on_return)


def _patiently(
    action: Callable[[], T],
    url: str,
    patience_s: float,
    mend: str,
    on_return: Callable[[], None] = lambda: None,
) -> T:
    """The action's result, tried while patience lasts. url: as check_broker returned it."""
    away_since: float | None = None
    while True:
        try:
            result = action()
        except (redis.AuthenticationError, redis.ResponseError) as error:
            raise Unavailable(
                f"Redis at {redacted(url)} refuses us ({scrubbed(error, url)}); check the broker's URL, "
                f"{SHAPE} ({ENCODE}), and {mend}"
            ) from None
        except (redis.RedisError, OperationalError, OSError) as error:
            away_since = _wait(scrubbed(error, url), redacted(url), patience_s, away_since, mend)
            continue
        if away_since is not None:
            log.warning("Redis at %s is back; what it may have forgotten is sent again", redacted(url))
            on_return()
        return result


def _wait(reason: str, broker: str, patience_s: float, away_since: float | None, mend: str) -> float:
    now = time.monotonic()
    if away_since is None:
        away_since = now
        log.warning("Redis at %s does not answer (%s); waiting up to %.0f s", broker, reason, patience_s)
    if now - away_since >= patience_s:
        raise Unavailable(
            f"Redis at {broker} did not answer for {patience_s:.0f} s ({reason}); "
            f"start it (redis-server), or name another with --broker or DATAMASK_BROKER, and {mend}"
        ) from None
    time.sleep(min(1.0, patience_s))
    return away_since
