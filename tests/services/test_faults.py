"""Whose fault a failure is, and what is said of it."""

from __future__ import annotations

import errno
import os

import pytest

from services.errors import BadInput, CorruptData, Unavailable
from services.faults import as_one_line, is_machines, said, sticks

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")


def chained(cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception:
            raise ValueError("cannot draw")  # noqa: B904
    except ValueError as error:
        return error


def silenced(cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception:
            raise ValueError("cannot draw") from None
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        FULL,
        FileNotFoundError(errno.ENOENT, "No such file", "model.dat"),
        ImportError("libGL.so.1: cannot open shared object file"),
        Unavailable("no weights"),
        CorruptData("weights.dat: damaged"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        chained(FULL),
    ],
)
def test_what_a_machine_lacks_is_its_own_fault(error: Exception) -> None:
    assert is_machines(error)


@pytest.mark.parametrize(
    "error", [BadInput("genomes"), ValueError("shape"), KeyError("x"), EOFError(), silenced(FULL)]
)
def test_what_may_be_a_batchs_fault_is_not(error: Exception) -> None:
    assert not is_machines(error)


def test_a_gpu_s_error_sticks_but_for_want_of_memory() -> None:
    assert sticks(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert sticks(chained(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `sgemm`")))
    assert not sticks(RuntimeError("CUDA error: out of memory"))
    assert not sticks(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not sticks(FULL)


def test_an_error_is_one_line_with_its_kind_and_place() -> None:
    assert said(Unavailable("no\n disk")) == r"no\n disk"
    assert said(EOFError()) == "EOFError"
    with pytest.raises(Unavailable) as caught, as_one_line():
        raise EOFError("Ran out of input\n")
    assert "EOFError at test_faults.py:" in str(caught.value)
    assert "Ran out of input)" in str(caught.value)
    assert isinstance(caught.value.__cause__, EOFError)
    assert len(said(ValueError("x" * 10_000))) == 500


def test_what_is_one_line_already_stays_as_it_is() -> None:
    with pytest.raises(BadInput, match=r"^a photo$"), as_one_line():
        raise BadInput("a photo")
    with pytest.raises(KeyboardInterrupt), as_one_line():
        raise KeyboardInterrupt
    with pytest.raises(Unavailable, match="population"), as_one_line():
        raise MemoryError
