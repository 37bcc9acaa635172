"""Machines of one's own: callables that people hand over in this process, or install as entry points.

A spec calls them ``own:NAME``. A name is looked for among what this process was handed (:func:`add`), then
among the entry points ``datamask.machines`` of installed packages; it is never a path to code, for specs come
from strangers' buckets. No torch.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import re
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, get_args

from services import plugins
from services.errors import BadInput, Unavailable
from services.faults import said
from services.recognition.model import AnswerKind
from services.words import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

GROUP: plugins.Group = "datamask.machines"
PREFIX = "own"
Gives = Literal["scores", "embeddings"]
_MEASURES: dict[Gives, tuple[AnswerKind, ...]] = {
    "scores": ("score", "probability"),
    "embeddings": ("distance", "similarity"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class MachineFault(Unavailable):
    """A machine of one's own raised, hangs, or answers with what cannot be used."""


@dataclass(frozen=True)
class Machine:
    """A callable as a machine.

    :param call: takes uint8 (n, H, W, 3), sRGB, and gives one answer a picture, as an array or a tensor:
        scores (n,), higher is more of a face; or embeddings (n, d), alike for one person's faces. It is not
        called twice at once. A picture's answer must not depend on the others.
    :param threshold: the score, probability or similarity above which it says yes, or the distance below
        which it does.
    :param measure: ``score`` or ``probability``; of embeddings ``distance`` (Euclidean) or ``similarity``
        (cosine). None: the first of them.
    :param scale: how far beyond the threshold a margin of 1 lies, in that measure (of a probability: in log
        odds).
    :param exact: whether its author promises the same bits for the same pictures, whatever else is in a
        batch.
    :param licence, training_data: for the record: on what terms, and whose faces it learned from.
    :param timeout_s: how long one call may take.
    source, sha256: the file that it was written in and its hash; None and empty where there is none.
    :raises BadInput: naming what cannot be so.
    """

    call: Callable[[Pixels], Any]
    gives: Gives = "scores"
    threshold: float = math.nan
    measure: AnswerKind | None = None
    scale: float = 1.0
    exact: bool = False
    licence: str = "its author's own, not said"
    training_data: str = "not said by its author"
    timeout_s: float = 60.0
    source: Path | None = field(init=False)
    sha256: str = field(init=False)
    _caller: _Caller = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.call):
            raise BadInput(f"call: expected a callable, got {type(self.call).__name__}")
        if self.gives not in get_args(Gives):
            raise BadInput(f"gives {shown(self.gives)}: expected one of {', '.join(get_args(Gives))}")
        measures = _MEASURES[self.gives]
        if self.measure is None:
            object.__setattr__(self, "measure", measures[0])
        elif self.measure not in measures:
            raise BadInput(
                f"measure {shown(self.measure)}: {self.gives} are compared as {' or '.join(measures)}"
            )
        if not _is_number(self.threshold):
            raise BadInput(
                f"threshold {shown(self.threshold)}: expected a number, the {self.measure} from which it "
                "says yes"
            )
        for name in ("scale", "timeout_s"):
            value = getattr(self, name)
            if not _is_number(value) or value <= 0:
                raise BadInput(f"{name} {shown(value)}: expected a number above 0")
        object.__setattr__(self, "_caller", _Caller(self.call))
        source = _source_of(self.call)
        object.__setattr__(self, "source", source)
        # Of the code as it is now: a file that changes later is not what runs in this process.
        digest = "" if source is None else hashlib.sha256(source.read_bytes()).hexdigest()
        object.__setattr__(self, "sha256", digest)

    def ask(self, name: str, images: Pixels) -> NDArray[np.float32]:
        """Its answers, float32 (n,) or (n, d), to pictures uint8 (n, H, W, 3), checked.

        :raises MachineFault: where it raises, takes too long, or answers with something else.
        """
        import numpy as np  # here, since the catalog is read where weights are fetched with Python alone

        answer = self._answer(name, images)
        if hasattr(answer, "detach"):  # a tensor, wherever it lies
            answer = answer.detach().cpu()
        try:
            given = np.asarray(answer)
        except Exception as error:
            raise MachineFault(f"{name}: its answer is no array ({said(error)})") from error
        wanted = f"({len(images)},)" if self.gives == "scores" else f"({len(images)}, d)"
        fits = given.ndim == (1 if self.gives == "scores" else 2) and len(given) == len(images)
        if not fits or given.size == 0:
            words = f"expected shape {wanted}, got {given.shape}"
            raise MachineFault(f"{name}: {self.gives} of {len(images)} pictures: {words}")
        if given.dtype.kind not in "fiub":
            raise MachineFault(f"{name}: expected {self.gives} as real numbers, got dtype {given.dtype}")
        with np.errstate(over="ignore"):
            numbers = given.astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(numbers.reshape(len(images), -1)).all(axis=1))
        if len(wrong):
            raise MachineFault(
                f"{name}: its answers to {len(wrong)} of {len(images)} pictures are not finite "
                f"(picture {wrong[0]}: {np.ravel(numbers[wrong[0]])[:3].tolist()})"
            )
        if self.measure == "probability" and ((numbers < 0) | (numbers > 1)).any():
            raise MachineFault(
                f"{name}: expected probabilities from 0 to 1, got {numbers.min():g} to {numbers.max():g}"
            )
        return numbers

    def _answer(self, name: str, images: Pixels) -> Any:
        try:
            return self._caller.ask(images.copy(), self.timeout_s)
        except _Late:
            raise MachineFault(
                f"{name}: no answer to {len(images)} pictures within {self.timeout_s:g} s; mend it, or "
                "give it a longer timeout_s"
            ) from None
        except (Exception, SystemExit) as error:
            raise MachineFault(f"{name}: the callable raised {said(error)}") from error


class _Caller:
    """Calls a callable for whoever asks, in one thread: torch keeps threads for each thread that calls it.

    No thread can be ended from outside: one that hangs is left behind, and the next question has another.
    It ends when it comes to itself, or when nobody can ask any more.
    """

    def __init__(self, call: Callable[[Pixels], Any]) -> None:
        self._call = call
        self._turn = threading.Lock()
        self._line: _Line | None = None

    def ask(self, images: Pixels, timeout_s: float) -> Any:
        """What the callable gives or raises. :raises _Late: without either in time."""
        with self._turn:
            if self._line is None:
                self._line = SimpleQueue(), SimpleQueue()
                words = (self._call, *self._line)
                threading.Thread(target=_answer, args=words, name="own machine", daemon=True).start()
                self._let_go = weakref.finalize(self, self._line[0].put, None)
            asked, told = self._line
            asked.put(images)
            try:
                answer, error = told.get(timeout=timeout_s)
            except Empty:
                self._let_go()
                self._line = None
                raise _Late from None
        if error is not None:
            raise error
        return answer


def _answer(
    call: Callable[[Pixels], Any],
    asked: SimpleQueue[Pixels | None],
    told: SimpleQueue[tuple[Any, BaseException | None]],
) -> None:
    """Answer one question after the other, until None is asked."""
    while (images := asked.get()) is not None:
        try:
            told.put((call(images), None))
        except (Exception, SystemExit) as error:  # who asks waits for an answer
            told.put((None, error))


class _Late(Exception):
    """No answer in time."""


_Line = tuple["SimpleQueue[Pixels | None]", "SimpleQueue[tuple[Any, BaseException | None]]"]
_ADDED: dict[str, Machine] = {}


def add(name: str, machine: Machine) -> str:
    """Hand a machine over to this process, in place of another one of that name; returns what specs call it.

    :raises BadInput: for a name that none can have.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(f"machine {shown(name)}: expected a name of up to 64 letters, digits, '-' and '_'")
    _ADDED[name] = machine
    return f"{PREFIX}:{name}"


def find(name: str) -> Machine:
    """The machine that specs call ``own:NAME``.

    :raises BadInput: for another name; :raises Unavailable: where there is none here, or its package is
        broken.
    """
    own = short(name)
    if own in _ADDED:
        return _ADDED[own]
    installed = _installed(own)
    if installed is not None:
        return installed
    raise Unavailable(
        f"machine {name!r} is not here: hand it over with datamask.machines.add({own!r}, ...), or install a "
        f"package with it as an entry point of {GROUP}"
    )


def only_here(name: str) -> bool:
    """Whether no installed package has the machine, so that no other process can."""
    own = short(name)
    return own in _ADDED and own not in plugins.entries(GROUP)


def names() -> tuple[str, ...]:
    """What specs call the machines that are here."""
    there = set(filter(_NAME.fullmatch, plugins.entries(GROUP)))
    return tuple(f"{PREFIX}:{name}" for name in sorted({*_ADDED, *there}))


def is_own(name: str) -> bool:
    """Whether a model's name is that of a callable of the user's."""
    return name.startswith(f"{PREFIX}:")


def short(name: str) -> str:
    """NAME of ``own:NAME``. :raises BadInput: where it is none."""
    prefix, _, own = name.partition(":")
    if prefix != PREFIX or not _NAME.fullmatch(own):
        raise BadInput(
            f"model {shown(name)}: expected {PREFIX}:NAME, the name of an installed machine (never a path to "
            "code)"
        )
    return own


def try_out(name: str, size_px: int) -> None:
    """Show a machine two pictures, so that what is wrong with it shows before a run is begun.

    :raises MachineFault: as :meth:`Machine.ask`.
    """
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (2, size_px, size_px, 3), np.uint8)
    find(name).ask(name, noise)


def _installed(name: str) -> Machine | None:
    machine = plugins.load(GROUP, name)
    if machine is not None and not isinstance(machine, Machine):
        raise Unavailable(
            f"machine 'own:{name}': expected a datamask.Machine, got a {type(machine).__name__}"
        )
    return machine


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _source_of(call: Callable[..., Any]) -> Path | None:
    """The file that a callable was written in; None for one of a notebook, a prompt or a compiled library."""
    while isinstance(call, functools.partial):
        call = call.func
    call = inspect.unwrap(getattr(call, "__func__", call))
    for told in (call, type(call)):
        try:
            path = Path(inspect.getsourcefile(told) or "")
        except (TypeError, OSError):
            continue
        return path.absolute() if path.is_file() else None
    return None
