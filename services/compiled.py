"""Loops as machine code, for CPU cores: where torch's operations would pass over memory once each.

The code is kept on disk: in ``NUMBA_CACHE_DIR`` where that is set, else in ``__pycache__`` beside the source,
else in the user's cache folder, whichever can be written first. Such a folder is at the mercy of crashes, of
full disks and of whoever may write there. So a file is believed only if it is this user's (or root's), holds
the hash of its own content, and says that it was made of this very source. Any other counts as none, and what
cannot be kept is compiled anew by the next process.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])

_DIGEST_BYTES = hashlib.sha256().digest_size


def compiled(function: Function) -> Function:
    """The function as machine code that runs without Python's lock, kept on disk where a folder lets it.

    Floats are added and multiplied as written: ``fastmath`` stays off, so that bytes do not depend on how
    wide a core's registers are.
    """
    machine_code: Any = numba.njit(nogil=True, error_model="numpy")(function)
    try:
        machine_code._cache = _Kept(function)
    except (RuntimeError, OSError):  # nowhere to keep it
        log.info("%s: no folder to keep its machine code in; every process compiles it", function.__name__)
    return cast(Function, machine_code)


class _Kept(FunctionCache):
    """numba's cache with a file of its own for each function and signature, and without its exceptions.

    numba's own files are an index and numbered data without a hash: a process that is killed at the wrong
    moment leaves an empty index, and two that write at once can leave one's code under the other's signature.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._source = self._impl.locator.get_source_stamp()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function, or None where there is no file that can be believed."""
        target_context.refresh()
        key, path = self._place(sig, target_context.codegen())
        try:
            known, code = pickle.loads(_believed(path))
            return self._impl.rebuild(target_context, code) if known == key else None
        except FileNotFoundError:
            return None
        except Exception as error:  # of a damaged pickle, any
            log.info("%s: unreadable (%s: %s); compiled anew", path, type(error).__name__, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it if that is possible."""
        key, path = self._place(sig, data.codegen)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
        try:
            if self._impl.check_cachable(data):
                content: bytes = dumps((key, self._impl.reduce(data)))  # type: ignore[no-untyped-call]
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(hashlib.sha256(content).digest() + content)
                draft.replace(path)
        except Exception as error:  # the code is there; this was for the next process only
            log.info("%s: not kept (%s: %s)", path, type(error).__name__, error)
            with contextlib.suppress(OSError):
                draft.unlink()

    def _place(self, sig: Any, codegen: Any) -> tuple[Any, Path]:
        """What code must have been made of, and where it lies."""
        # Code holds the numbers that its module took from others, whose source the stamp does not cover.
        names = self._py_func.__globals__.items()
        numbers = sorted((k, v) for k, v in names if isinstance(v, (int, float, np.number)))
        code = self._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        key = numba.__version__, self._source, repr(numbers), code
        name = hashlib.sha256(repr((sig, codegen.magic_tuple())).encode()).hexdigest()[:16]
        return key, Path(self._cache_path) / f"{self._impl.filename_base}.{name}.nbc"


def _believed(path: Path) -> bytes:
    """What a file holds. :raises ValueError, OSError: if it was damaged or another user may have made it."""
    with path.open("rb") as file:
        if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid not in (0, os.getuid()):
            raise ValueError("another user's")
        data = file.read()
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("it does not match its hash")
    return content
