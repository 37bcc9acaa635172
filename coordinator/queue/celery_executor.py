"""Score batches on Celery workers. Redis carries ids there and bells back; the store alone is believed."""

from __future__ import annotations

import heapq
import logging
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from coordinator.queue.doorbell import Doorbell
from coordinator.queue.executor import (
    Finished,
    Traffic,
    fair_share,
    is_like,
    most_together,
    removed_meanwhile,
    stacked_scores,
)
from coordinator.queue.pace import Pace
from services.errors import CorruptData, Unavailable
from services.progress import Progress
from services.storage.open import open_store
from services.storage.store import ObjectMissing, Store
from services.wire.beats import BEAT_TTL_S
from services.wire.bells import Bell
from services.wire.messages import NOTHING_SAID, REALIZE, SCORE, Origin, Work
from services.wire.objects import MAX_ATTEMPTS, attempts, batch_key, given_up, scores_key
from services.wire.plan import Batch
from services.wire.stack import decode_stacked, encode_stack, is_stack, stack_id

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
    """A message that is being waited for: of one batch, of a stack, or of a job.

    due: when it counts as lost; None: not sent yet. stack: what is in it, by batch.
    """

    origin: Origin
    task: str = SCORE
    progress: Progress | None = None
    written: Future[bool] | None = None  # of the object
    due: float | None = None
    pause: float = 0.0
    beaten: bool = False  # whoever has it was heard of
    died: bool = False  # and is heard of no more
    stack: Mapping[str, _Ready] = field(default_factory=dict)
    work: Batch | None = None  # of one batch, if it was written here
    came_in: str = ""  # the stack that it was in before that was taken apart


@dataclass
class _Ready:
    """A batch that is to be sent. alone: not in a stack, for one went wrong."""

    batch: str
    origin: Origin
    work: Batch | None = None
    alone: bool = False
    came_in: str = ""


class CeleryExecutor:
    """Scores batches of one run on whatever workers listen to the broker. See the Executor protocol.

    :param run: the run's own store. store_url: the store it lies in, as workers reach it.
    :param patience_s: how long Redis may be out of reach before the run stops.
    :param resend_s: how long a batch may be silent, before batch times are measured, until it is sent again;
        two answers do no harm.
    :param check_owner: raises where this coordinator is to stop; called every few seconds.
    :param coordinators: how many processes coordinate the run. line: which of the run's lists of bells is
        this one's, see :class:`services.wire.messages.Work`.
    :param before_waiting: called whenever there is nothing to do but to wait for a bell.
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
        coordinators: int = 1,
        line: int = 0,
        before_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._store_url = open_store(store_url).url
        self._name = run_name
        self._session, self._list_number = secrets.token_hex(8), line
        self._resend_s, self._trouble_s = resend_s, trouble_s
        self._check_owner, self._before_waiting = check_owner, before_waiting
        self._woken, self._listens = threading.Event(), False
        self._pace = Pace(resend_s, coordinators)
        self._store_pool = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="datamask-store")
        self._ready: deque[_Ready] = deque()  # submitted, in no message yet
        self._out: dict[str, _Out] = {}  # messages by the name of what they are about
        self._unsent: deque[str] = deque()  # of those, what is being written
        self._dues: list[tuple[float, str]] = []
        self._done: deque[Finished] = deque()
        self._realized: dict[str, Finished] = {}
        self._queued: dict[str, int] = {}
        self._resent = 0
        self._listed = self._heard_at = self._lonely_since = time.monotonic()
        self._looked = 0.0
        self._pictures = 0  # that a worker has room for
        self._lonely_told = False
        self._trouble_since: float | None = None
        # After all that is looked at when Redis comes back, which may be now.
        self._line = Doorbell(broker_url, self._work("0" * 40), patience_s, self._hurry)
        # What a resumed run may know already; looked up once instead of once a batch.
        self._scored = self._stems("scores/")
        self._known = self._read_stacks(filter(is_stack, self._scored))
        self._given_up = given_up(run)

    def submit(self, batch: str, origin: Origin, work: Batch | None = None) -> None:
        """Send the batch's id to the workers, unless a resumed run has its answer already.

        It may be sent when somebody waits, with others in one message.

        :raises Unavailable: if Redis stays out of reach, or the store, told here or when somebody waits.
        """
        if batch in self._known:
            self._done.append(self._known.pop(batch))
        elif not self._answered_before(batch, SCORE):
            self._first_look()
            self._ready.append(_Ready(batch, origin, work))
            if len(self._ready) >= most_together(work, self._pictures):
                self._send_ready()

    def wait(self) -> Finished | None:
        """Block until a batch has its scores or was given up; None where :meth:`wake` ended that.

        :raises Unavailable: if Redis stays out of reach, or every worker is in trouble for too long.
        """
        if not (self._done or self._ready or any(out.task == SCORE for out in self._out.values())):
            raise RuntimeError("wait: no batch was submitted")
        while not self._done:
            if self._woken.is_set():
                self._woken.clear()
                return None
            self._step()
        return self._done.popleft()

    def wake(self) -> None:
        """Have :meth:`wait` return, now or when it is called next; for another thread."""
        self._woken.set()
        if self._listens:
            self._line.knock()

    def listen(self) -> None:
        """Hear what has come, and look at the clocks, without waiting: for whoever waits elsewhere."""
        self._step(wait=False)

    def realize(self, job: str, origin: Origin, progress: Progress | None = None) -> None:
        """Send a job's id to the workers; nobody waits for it."""
        if not self._answered_before(job, REALIZE):
            self._first_look()
            self._out[job] = _Out(origin, REALIZE, progress)
            self._send(job, self._out[job])

    def realized(self, job: str, *, wait: bool = False) -> Finished | None:
        """What became of a job, once; None while it is under work."""
        while wait and job not in self._realized:
            self._step()
        return self._realized.pop(job, None)

    def traffic(self) -> Traffic:
        """Figures of now."""
        sent = [o for o in list(self._out.values()) if o.due is not None and o.task == SCORE]
        out = sum(max(1, len(o.stack)) for o in sent)
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

    def _step(self, *, wait: bool = True) -> None:
        """Hear the bells of a moment, and look at the clocks."""
        self._send_ready(wait=True)
        if wait:
            self._before_waiting()
        self._listens = wait  # first, so that whoever wakes us either sees it or is seen
        bells = self._line.bells(BELL_S if wait and not self._woken.is_set() else 0)
        self._listens = False
        for bell, data in zip(bells, self._store_pool.map(self._answer, bells), strict=True):
            self._heard(bell, data)
        now = time.monotonic()
        if self._out and not bells and now - self._listed >= LISTING_S:
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
            if out.stack:
                self._finish_stack(bell.batch, data, scored=bell.views > 0)
            else:
                self._finish(Finished(bell.batch, bell.views, data=data))
        elif bell.outcome == "apart" and out.stack:
            self._take_apart(bell.batch, "a worker says so")
        elif bell.outcome in ("refused", "trouble"):
            self._in_trouble(bell, out)
        elif attempts(self._run, bell.batch) >= MAX_ATTEMPTS:
            self._finish(Finished(bell.batch, failed=True))
        elif self._run.exists(batch_key(bell.batch)):
            self._again(bell.batch, out, "it failed")
        elif out.work is not None or out.stack:
            # Another island had the very same one, and was done with it.
            self._run.create(batch_key(bell.batch), _encoded(out))
            self._again(bell.batch, out, "it was removed")
        else:
            raise removed_meanwhile(self._run, bell.batch)

    def _answer(self, bell: Bell) -> bytes | None:
        if bell.batch not in self._out or bell.outcome in ("refused", "trouble"):
            return None
        return self._scores_of(bell.batch)

    def _scores_of(self, name: str) -> bytes | None:
        """What lies in the store; read at once, for another process of the run may remove it."""
        try:
            return self._run.get(scores_key(name))
        except ObjectMissing:
            return None

    def _finish(self, finished: Finished) -> None:
        out = self._out.pop(finished.batch)
        self._trouble_since = None
        if out.task == SCORE:
            self._done.append(replace(finished, stack=out.came_in))
        else:
            self._realized[finished.batch] = finished

    def _finish_stack(self, name: str, data: bytes, *, scored: bool) -> None:
        out = self._out.pop(name)
        self._trouble_since = None
        where = f"{self._run.url}/{scores_key(name)}"
        found = decode_stacked(data, where)
        if found.keys() != out.stack.keys():
            raise CorruptData(f"{where}: the scores of other batches; remove it, and go on with --resume")
        for batch, scores in found.items():
            views = scores.coverage.size if scored else 0
            self._done.append(Finished(batch, views, scores=scores, stack=name))

    def _take_apart(self, name: str, reason: str) -> None:
        """Send a stack's batches one by one, before all others: one of them may be what is wrong."""
        out = self._out.pop(name)
        self._resent += 1
        log.info("%d batches go one by one: %s", len(out.stack), reason, extra=out.origin.facts())
        singles = [replace(ready, alone=True, came_in=name) for ready in out.stack.values()]
        self._ready.extendleft(reversed(singles))

    def _finish_unheard(self, name: str) -> bool:
        """Whether there is an answer that nobody rang for."""
        data = self._scores_of(name)
        if data is None:
            return False
        if self._out[name].stack:
            self._finish_stack(name, data, scored=False)
        else:
            self._finish(Finished(name, data=data))
        return True

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
                self._finish_unheard(batch)
            elif batch in failed:
                self._finish(Finished(batch, failed=True))

    def _look(self, now: float) -> None:
        """Count the workers and what waits for them; hear how long jobs get on."""
        self._looked = now
        self._check_owner()
        crew = self._line.crew(SCORE)
        self._pace.processes, self._pictures = crew
        self._queued = dict(self._line.queued())
        wanted = {out.task for out in self._out.values()} | ({SCORE} if self._ready else set())
        lonely = [task for task in wanted if not self._line.crew(task).processes]
        if not lonely:
            self._lonely_since, self._lonely_told = now, False
        elif now - self._lonely_since >= LONELY_S and not self._lonely_told and self._list_number <= 1:
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
                out.beaten, out.died = False, True

    def _beating(self, batches: list[str]) -> dict[str, str]:
        return dict(self._line.beats([self._work(batch) for batch in batches]))

    # -- sending

    def _answered_before(self, name: str, task: str) -> bool:
        """Finish what a resumed run has an answer to."""
        # Attempts at a job are forgotten when its run is resumed, so what was counted is looked up again.
        data = self._scores_of(name) if name in self._scored else None
        self._scored.discard(name)
        failed = data is None and name in self._given_up and attempts(self._run, name) >= MAX_ATTEMPTS
        if data is not None or failed:
            self._out[name] = _Out(NOTHING_SAID, task)
            self._finish(Finished(name, failed=failed, data=data))
        return data is not None or failed

    def _first_look(self) -> None:
        if not self._looked:
            self._look(time.monotonic())

    def _send_ready(self, *, wait: bool = False) -> None:
        """Put out what the workers will take soon, in order, once it is written."""
        while self._ready and len(self._out) < self._pace.most_out():
            first = self._ready[0]
            # Whatever islands wait for: what comes of it will be sent in its turn.
            under_way = len(self._ready) + sum(max(1, len(out.stack)) for out in self._out.values())
            share = fair_share(under_way, self._pace.share)
            self._write(1 if first.alone else min(share, most_together(first.work, self._pictures)))
        while self._unsent:
            out = self._out.get(self._unsent[0])
            if out is not None and out.written is not None:
                if not (wait or out.written.done()):
                    return
                out.written.result()
            name = self._unsent.popleft()
            if out is not None:
                self._send(name, out)

    def _write(self, count: int) -> None:
        """Have the first batches that are ready written, as the object that a message is about."""
        first = self._ready.popleft()
        group = {first.batch: first}
        while len(group) < count and self._ready and _goes_with(self._ready[0], first):
            ready = self._ready.popleft()
            group[ready.batch] = ready
        if len(group) > 1:
            out = _Out(_said_of(list(group.values())), stack=group)
            name = stack_id(data := _encoded(out))
        else:
            out = _Out(first.origin, work=first.work, came_in=first.came_in)
            name, data = first.batch, b"" if first.work is None else _encoded(out)
        if data:
            out.written = self._store_pool.submit(self._run.create, batch_key(name), data)
        self._out[name] = out
        self._unsent.append(name)

    def _send(self, batch: str, out: _Out) -> None:
        self._line.send(out.task, self._work(batch, out.origin))
        out.beaten = out.died = False
        queued = max(len(self._out), self._queued.get(out.task, 0))
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
            elif self._finish_unheard(batch):
                continue
            elif out.stack and out.died:
                self._take_apart(batch, "the process that worked on them died")
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
        return Work(self._store_url, self._name, batch, self._session, origin, self._list_number)

    def _stems(self, prefix: str) -> set[str]:
        return {key.removeprefix(prefix) for key in self._run.list(prefix)}

    def _read_stacks(self, names: Iterable[str]) -> dict[str, Finished]:
        found: dict[str, Finished] = {}
        for part in self._store_pool.map(lambda name: stacked_scores(self._run, [name]), names):
            found |= part
        return found

    def _facts(self, batch: str) -> dict[str, object]:
        out = self._out.get(batch)
        return {"run": self._name, "batch": batch, **(out.origin.facts() if out else {})}


def _goes_with(one: _Ready, first: _Ready) -> bool:
    return first.work is not None and not (first.alone or one.alone) and is_like(one.work, first.work)


def _encoded(out: _Out) -> bytes:
    """The object of a message whose batches are known here."""
    if out.work is not None:
        return out.work.encoded()
    return encode_stack({batch: ready.work for batch, ready in out.stack.items() if ready.work is not None})


def _said_of(group: Sequence[_Ready]) -> Origin:
    """What a stack is, for people."""
    first = group[0].origin
    return replace(first, island=None, number=None, of=None, what=f"{len(group)} batches")


def _tell(progress: Progress | None, words: str) -> None:
    """Pass on what a beat says, "stage done/total"."""
    stage, _, count = words.rpartition(" ")
    done, _, total = count.partition("/")
    if progress is not None and re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", count):
        progress(stage, int(done), int(total))
