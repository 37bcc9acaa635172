"""Score batches on Celery workers. Redis carries ids there and bells back; the store alone is believed."""

from __future__ import annotations

import heapq
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from coordinator.queue.doorbell import Doorbell
from coordinator.queue.executor import Finished, Traffic
from coordinator.queue.pace import Pace
from services.errors import CorruptData, Unavailable
from services.progress import Progress
from services.storage.open import open_store
from services.storage.store import ObjectMissing, Store
from services.wire.beats import BEAT_TTL_S
from services.wire.bells import Bell
from services.wire.messages import NOTHING_SAID, REALIZE, SCORE, Origin, Work
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, given_up, scores_key

log = logging.getLogger(__name__)

BELL_S = 1  # longest silence before the clocks below are looked at
LOOK_S = 2.0  # how often the workers are counted
LISTING_S = 10.0  # how often the store is asked when no bell comes
RESEND_S = 60.0  # first deadline of a message, while no batch time was measured
RESEND_MAX_S = 900.0  # deadlines double each time up to this
TROUBLE_S = 60.0  # so long may every worker be in trouble before the coordinator stops
PATIENCE_S = 30.0  # so long may Redis be away
STORE_THREADS = 16  # a write waits for a disk or a network, many writes wait together
LONELY_S = 15.0  # so long without any worker before a person is told


@dataclass
class _Out:
    """A batch that is being waited for. due: when its message counts as lost; None: not sent yet."""

    origin: Origin
    task: str = SCORE
    progress: Progress | None = None
    written: Future[bool] | None = None  # of the batch object
    due: float | None = None
    pause: float = 0.0
    beaten: bool = False  # whoever has it was heard of


class CeleryExecutor:
    """Scores batches of one run on whatever workers listen to the broker. See the Executor protocol.

    :param run: the run's own store. store_url: the store it lies in, as workers reach it.
    :param patience_s: how long Redis may be out of reach before the run stops.
    :param resend_s: how long a batch may be silent, before batch times are measured, until it is sent again;
        two answers do no harm.
    :param check_owner: raises where this coordinator is to stop; called every few seconds.
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
        check_owner: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._store_url = open_store(store_url).url
        self._name = run_name
        self._session = secrets.token_hex(8)
        self._resend_s, self._trouble_s = resend_s, trouble_s
        self._check_owner = check_owner
        self._line = Doorbell(broker_url, self._work("0" * 40), patience_s, self._hurry)
        self._pace = Pace(resend_s)
        self._store_pool = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="datamask-store")
        self._out: dict[str, _Out] = {}
        self._ready: deque[str] = deque()  # submitted, not sent yet
        self._dues: list[tuple[float, str]] = []
        self._done: deque[Finished] = deque()
        self._realized: dict[str, Finished] = {}
        self._queued: dict[str, int] = {}
        self._resent = 0
        self._listed = self._heard_at = self._lonely_since = time.monotonic()
        self._looked = 0.0
        self._lonely_told = False
        self._trouble_since: float | None = None
        # What a resumed run may know already; looked up once instead of once a batch.
        self._scored = self._stems("scores/")
        self._given_up = given_up(run)

    def submit(self, batch: str, origin: Origin, data: bytes | None = None) -> None:
        """Send the batch's id to the workers, unless a resumed run has its answer already.

        :raises Unavailable: if Redis stays out of reach, or the store, told here or when somebody waits.
        """
        written = None
        if data is not None:
            written = self._store_pool.submit(self._run.create, batch_key(batch), data)
        self._begin(batch, _Out(origin, written=written))

    def wait(self) -> Finished:
        """Block until a batch has its scores or was given up.

        :raises Unavailable: if Redis stays out of reach, or every worker is in trouble for too long.
        """
        if not self._done and not any(out.task == SCORE for out in self._out.values()):
            raise RuntimeError("wait: no batch was submitted")
        while not self._done:
            self._step()
        return self._done.popleft()

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        """Send a job's id to the workers; nobody waits for it."""
        self._begin(job, _Out(origin, REALIZE, progress))

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        """What became of a job, once; None while it is under work."""
        while wait and job not in self._realized:
            self._step()
        return self._realized.pop(job, None)

    def traffic(self) -> Traffic:
        """Figures of now."""
        out = sum(o.due is not None and o.task == SCORE for o in list(self._out.values()))
        return Traffic(out, self._resent, dict(self._queued))

    @property
    def waited_s(self) -> float:
        """Seconds in which there was nothing to do but to wait for a bell."""
        return self._line.waited_s

    def join(self) -> None:
        """Every worker joins for itself."""

    def close(self) -> None:
        """Let go of the connections. Messages that are out stay out: their scores wait in the store."""
        self._store_pool.shutdown(wait=False, cancel_futures=True)
        self._line.close()

    # -- hearing

    def _step(self) -> None:
        """Hear the bells of a moment, and look at the clocks."""
        self._send_ready(wait=True)
        bells = self._line.bells(BELL_S)
        for bell, data in zip(bells, self._store_pool.map(self._answer, bells), strict=True):
            self._heard(bell, data)
        now = time.monotonic()
        if not bells and now - self._listed >= LISTING_S:
            self._list()
        if now - self._looked >= LOOK_S:
            self._look(now)
        self._resend_overdue(now)

    def _heard(self, bell: Bell, data: bytes | None) -> None:
        """Believe what lies in the store: the answer, or nothing."""
        self._heard_at = time.monotonic()
        out = self._out.get(bell.batch)
        if out is None:  # an old bell, or the second of two
            return
        if data is not None:
            if out.task == SCORE and bell.outcome == "scored":
                self._pace.measured(bell.seconds)
            self._finish(Finished(bell.batch, bell.views, data=data))
        elif bell.outcome in ("refused", "trouble"):
            self._in_trouble(bell, out)
        elif attempts(self._run, bell.batch) >= MAX_ATTEMPTS:
            self._finish(Finished(bell.batch, failed=True))
        elif self._run.exists(batch_key(bell.batch)):
            self._again(bell.batch, out, "it failed")
        else:
            where = f"{self._run.url}/{batch_key(bell.batch)}"
            raise CorruptData(f"{where}: it was removed while the run waits for it; go on with --resume")

    def _answer(self, bell: Bell) -> bytes | None:
        if bell.batch not in self._out or bell.outcome in ("refused", "trouble"):
            return None
        try:
            return self._run.get(scores_key(bell.batch))
        except ObjectMissing:
            return None

    def _finish(self, finished: Finished) -> None:
        out = self._out.pop(finished.batch)
        self._trouble_since = None
        if out.task == SCORE:
            self._done.append(finished)
        else:
            self._realized[finished.batch] = finished

    def _in_trouble(self, bell: Bell, out: _Out) -> None:
        # Not the batch's fault: send it again in a moment, perhaps to another worker.
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
            log.warning(
                "a worker cannot score (%s); the batch is sent again",
                bell.detail,
                extra=self._facts(bell.batch),
            )
        elif now - self._trouble_since > self._trouble_s and not self._beating(list(self._out)):
            raise Unavailable(
                f"no worker could score for {self._trouble_s:.0f} s; the last one said: {bell.detail}. "
                "Mend it and go on with --resume"
            )
        self._expect(bell.batch, out, 1.0)

    def _list(self) -> None:
        """Ask the store: bells may have been lost."""
        self._listed = time.monotonic()
        scored = self._stems("scores/")
        failed = given_up(self._run)
        for batch in list(self._out):
            if batch in scored:
                self._finish(Finished(batch))
            elif batch in failed:
                self._finish(Finished(batch, failed=True))

    def _look(self, now: float) -> None:
        """Count the workers and what waits for them; hear how long jobs get on."""
        self._looked = now
        self._check_owner()
        self._pace.processes = self._line.processes(SCORE)
        self._queued = dict(self._line.queued())
        lonely = [task for task in {out.task for out in self._out.values()} if not self._line.processes(task)]
        if not lonely:
            self._lonely_since, self._lonely_told = now, False
        elif now - self._lonely_since >= LONELY_S and not self._lonely_told:
            self._lonely_told = True
            log.warning(
                "no worker listens to %s; the run waits. Start one: datamask worker --broker %s",
                *(" and ".join(sorted(lonely)), self._line.broker),
            )
        sent = {batch: out for batch, out in self._out.items() if out.due is not None}
        beating = self._beating(list(sent))
        if beating:  # whoever is at a job of hours answers in time
            self._heard_at = now
        for batch, out in sent.items():
            if batch in beating:
                out.beaten = True
                _tell(out.progress, beating[batch])
            elif out.beaten:  # its worker died, or has just rung
                self._expect(batch, out, 0.0)
                out.beaten = False

    def _beating(self, batches: list[str]) -> dict[str, str]:
        return dict(self._line.beats([self._work(batch) for batch in batches]))

    # -- sending

    def _begin(self, batch: str, out: _Out) -> None:
        self._out[batch] = out
        if batch in self._scored:
            self._scored.discard(batch)
            if self._run.exists(scores_key(batch)):
                self._finish(Finished(batch))
                return
        # Attempts at a job are forgotten when its run is resumed, so what was counted is looked up again.
        if batch in self._given_up and attempts(self._run, batch) >= MAX_ATTEMPTS:
            self._finish(Finished(batch, failed=True))
            return
        if not self._looked:
            self._look(time.monotonic())
        self._ready.append(batch)
        self._send_ready()

    def _send_ready(self, *, wait: bool = False) -> None:
        """Put out what the workers will take soon, in order, once it is written."""
        while self._ready:
            batch = self._ready[0]
            out = self._out.get(batch)
            if out is not None and out.due is None:
                if out.task == SCORE and self._under_way() >= self._pace.most_out():
                    return
                if out.written is not None:
                    if not (wait or out.written.done()):
                        return
                    out.written.result()
                self._send(batch, out)
            self._ready.popleft()

    def _under_way(self) -> int:
        return len(self._out) - len(self._ready)

    def _send(self, batch: str, out: _Out) -> None:
        self._line.send(out.task, self._work(batch, out.origin))
        out.beaten = False
        queued = max(self._under_way(), self._queued.get(out.task, 0))
        deadline = self._pace.deadline_s(queued) if out.task == SCORE else self._resend_s
        out.pause = min(max(deadline, 2 * out.pause), max(RESEND_MAX_S, deadline))
        self._expect(batch, out, out.pause)

    def _again(self, batch: str, out: _Out, reason: str) -> None:
        self._resent += 1
        log.info("batch %s is sent again: %s", batch, reason, extra=self._facts(batch))
        self._send(batch, out)

    def _expect(self, batch: str, out: _Out, seconds: float) -> None:
        out.due = time.monotonic() + seconds
        heapq.heappush(self._dues, (out.due, batch))

    def _resend_overdue(self, now: float) -> None:
        overdue = []
        while self._dues and self._dues[0][0] <= now:
            due, batch = heapq.heappop(self._dues)
            out = self._out.get(batch)
            if out is not None and out.due == due:  # else it is done, or was sent again since
                overdue.append(batch)
        beating = self._beating(overdue)
        for batch in overdue:
            out = self._out[batch]
            if batch in beating:  # slow, not lost
                self._expect(batch, out, float(BEAT_TTL_S))
            elif self._run.exists(scores_key(batch)):
                self._finish(Finished(batch))
            else:
                self._again(batch, out, "no answer in time")
        if overdue and self._pace.processes and now - self._heard_at >= max(self._resend_s, RESEND_S):
            self._heard_at = now
            log.warning("no worker has answered for %.0f s, though some listen; see their logs", RESEND_S)

    def _hurry(self) -> None:
        """After Redis was away: whatever was sent may be lost, so it is due now."""
        now = time.monotonic()
        self._dues = []
        for batch, out in self._out.items():
            if out.due is not None:
                out.due = now
                self._dues.append((now, batch))
        heapq.heapify(self._dues)
        self._listed = 0.0

    # -- names

    def _work(self, batch: str, origin: Origin = NOTHING_SAID) -> Work:
        return Work(self._store_url, self._name, batch, self._session, origin)

    def _stems(self, prefix: str) -> set[str]:
        return {key.removeprefix(prefix) for key in self._run.list(prefix)}

    def _facts(self, batch: str) -> dict[str, object]:
        out = self._out.get(batch)
        return {"run": self._name, "batch": batch, **(out.origin.facts() if out else {})}


def _tell(progress: Progress | None, words: str) -> None:
    """Pass on what a beat says, "stage done/total"."""
    stage, _, count = words.rpartition(" ")
    done, _, total = count.partition("/")
    if progress is not None and re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", count):
        progress(stage, int(done), int(total))
