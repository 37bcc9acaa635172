"""Score batches on Celery workers. Redis carries ids there and bells back; the store alone is believed."""

from __future__ import annotations

import heapq
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import redis
from kombu.exceptions import OperationalError

from coordinator.executor import Finished
from services.errors import CorruptData, Unavailable
from services.storage.store import Store, open_store
from worker import pin
from worker.app import make_app
from worker.bell import Bell, bell_list, connect, decode_bell, redacted
from worker.messages import QUEUE, TASK, Score
from worker.objects import MAX_ATTEMPTS, attempts, batch_key, scores_key

log = logging.getLogger(__name__)

BELL_S = 1  # longest silence before the clocks below are looked at
LISTING_S = 10.0  # how often the store is asked when no bell comes
RESEND_S = 60.0  # first deadline of a message; doubled each time up to a quarter of an hour
RESEND_MAX_S = 900.0
TROUBLE_S = 60.0  # so long may every worker be in trouble before the coordinator stops
PATIENCE_S = 30.0  # so long may Redis be away


T = TypeVar("T")


@dataclass
class _Out:
    """A batch that is being waited for. due: when its message counts as lost."""

    label: str
    due: float
    pause: float


class CeleryExecutor:
    """Scores batches of one run on whatever workers listen to the broker. See the Executor protocol.

    :param run: the run's own store. store_url: the store it lies in, as workers reach it.
    :param patience_s: how long Redis may be out of reach before the run stops.
    :param resend_s: how long a batch may be silent before it is sent again; two answers do no harm.
    :raises BadInput: if the URLs or the run's name cannot be used; :raises Unavailable: without Redis.
    """

    def __init__(
        self,
        run: Store,
        store_url: str,
        run_name: str,
        broker_url: str,
        *,
        patience_s: float = PATIENCE_S,
        resend_s: float = RESEND_S,
        trouble_s: float = TROUBLE_S,
    ) -> None:
        self._run = run
        self._store_url = open_store(store_url).url
        self._name = run_name
        self._broker = redacted(broker_url)
        self._app = make_app(broker_url)
        self._redis = connect(broker_url)
        self._bells = bell_list(Score(self._store_url, run_name, "0" * 40))
        self._patience_s, self._resend_s, self._trouble_s = patience_s, resend_s, trouble_s
        self._out: dict[str, _Out] = {}
        self._dues: list[tuple[float, str]] = []
        self._done: deque[Finished] = deque()
        self._listed = self._heard_at = time.monotonic()
        self._trouble_since: float | None = None
        self._with_redis(self._redis.ping)

    def submit(self, batch: str, label: str) -> None:
        """Send the batch's id to the workers, unless a resumed run has its answer already.

        :raises Unavailable: if Redis stays out of reach.
        """
        self._out[batch] = _Out(label, 0.0, self._resend_s)
        if self._run.exists(scores_key(batch)):
            self._finish(Finished(batch))
        elif attempts(self._run, batch) >= MAX_ATTEMPTS:
            self._finish(Finished(batch, failed=True))
        else:
            self._send(batch)

    def wait(self) -> Finished:
        """Block until a batch has its scores or was given up.

        :raises Unavailable: if Redis stays out of reach, or every worker is in trouble for too long.
        """
        if not self._out and not self._done:
            raise RuntimeError("wait: no batch was submitted")
        while not self._done:
            bell = self._next_bell()
            if bell is not None:
                self._heard(bell)
            now = time.monotonic()
            if bell is None and now - self._listed >= LISTING_S:
                self._list()
            self._resend_overdue(now)
        return self._done.popleft()

    def fingerprint(self) -> dict[str, str] | None:
        """What the run's workers have pinned; None before the first score and where any worker may join."""
        return pin.pinned(self._run) or None

    def close(self) -> None:
        """Let go of the connections. Messages that are out stay out: their scores wait in the store."""
        self._redis.close()
        self._app.close()

    # -- hearing

    def _next_bell(self) -> Bell | None:
        found = self._with_redis(lambda: self._redis.brpop([self._bells], timeout=BELL_S))
        return None if found is None else decode_bell(found[1])

    def _heard(self, bell: Bell) -> None:
        """Look into the store for what the bell is about."""
        self._heard_at = time.monotonic()
        out = self._out.get(bell.batch)
        if out is None:  # an old bell, or the second of two
            return
        if self._run.exists(scores_key(bell.batch)):
            self._finish(Finished(bell.batch, bell.views))
        elif bell.outcome in ("refused", "trouble"):
            self._in_trouble(bell, out)
        elif attempts(self._run, bell.batch) >= MAX_ATTEMPTS:
            self._finish(Finished(bell.batch, failed=True))
        elif self._run.exists(batch_key(bell.batch)):
            self._send(bell.batch)
        else:
            where = f"{self._run.url}/{batch_key(bell.batch)}"
            raise CorruptData(f"{where}: it was removed while the run waits for it; go on with --resume")

    def _finish(self, finished: Finished) -> None:
        del self._out[finished.batch]
        self._trouble_since = None
        self._done.append(finished)

    def _in_trouble(self, bell: Bell, out: _Out) -> None:
        # Not the batch's fault: send it again in a moment, perhaps to another worker.
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
            log.warning("a worker cannot score (%s); the batch is sent again", bell.detail)
        elif now - self._trouble_since > self._trouble_s:
            raise Unavailable(
                f"no worker could score for {self._trouble_s:.0f} s; the last one said: {bell.detail}. "
                "Mend it and go on with --resume"
            )
        out.due = now + 1.0
        heapq.heappush(self._dues, (out.due, bell.batch))

    def _list(self) -> None:
        """Ask the store: bells may have been lost."""
        self._listed = time.monotonic()
        scored = {key.removeprefix("scores/") for key in self._run.list("scores/")}
        failures = Counter(key.split("/")[1] for key in self._run.list("failures/"))
        for batch in list(self._out):
            if batch in scored:
                self._finish(Finished(batch))
            elif failures[batch] >= MAX_ATTEMPTS:
                self._finish(Finished(batch, failed=True))

    # -- sending

    def _send(self, batch: str) -> None:
        out = self._out[batch]
        message = Score(self._store_url, self._name, batch)
        label = f"run {self._name}, {out.label}"
        self._with_redis(
            lambda: self._app.send_task(
                TASK, kwargs=message.kwargs(), queue=QUEUE, argsrepr=label, kwargsrepr="", retry=False
            )
        )
        out.due = time.monotonic() + out.pause
        heapq.heappush(self._dues, (out.due, batch))

    def _resend_overdue(self, now: float) -> None:
        while self._dues and self._dues[0][0] <= now and not self._done:
            due, batch = heapq.heappop(self._dues)
            out = self._out.get(batch)
            if out is None or out.due != due:  # done, or sent again since
                continue
            if self._run.exists(scores_key(batch)):
                self._finish(Finished(batch))
                continue
            if now - self._heard_at >= self._resend_s:
                self._heard_at = now
                log.warning(
                    "no worker has answered for %.0f s; is one running? datamask worker --broker %s",
                    self._resend_s,
                    self._broker,
                )
            out.pause = min(2 * out.pause, max(RESEND_MAX_S, self._resend_s))
            self._send(batch)

    def _with_redis(self, action: Callable[[], T]) -> T:
        """The action's result, tried while patience lasts. What a lost Redis forgot is sent again."""
        away_since: float | None = None
        while True:
            try:
                result = action()
            except (redis.AuthenticationError, redis.ResponseError) as error:
                raise Unavailable(
                    f"Redis at {self._broker} refuses us ({error}); put its password into the broker's URL, "
                    "redis://:PASSWORD@host:6379/0, and go on with --resume"
                ) from None
            except (redis.RedisError, OperationalError, OSError) as error:
                now = time.monotonic()
                if away_since is None:
                    away_since = now
                    log.warning(
                        "Redis at %s does not answer (%s); waiting up to %.0f s",
                        self._broker,
                        error,
                        self._patience_s,
                    )
                if now - away_since >= self._patience_s:
                    raise Unavailable(
                        f"Redis at {self._broker} did not answer for {self._patience_s:.0f} s ({error}); "
                        "start it (redis-server), or name another with --broker or DATAMASK_BROKER, "
                        "and go on with --resume"
                    ) from None
                time.sleep(1.0)
                continue
            if away_since is not None:
                log.warning("Redis at %s is back", self._broker)
                self._hurry()
            return result

    def _hurry(self) -> None:
        """After Redis was away: whatever is out may be lost, so it is due now."""
        now = time.monotonic()
        self._dues = []
        for batch, out in self._out.items():
            out.due = now
            self._dues.append((now, batch))
        heapq.heapify(self._dues)
        self._listed = 0.0
