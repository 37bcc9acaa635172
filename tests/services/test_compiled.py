"""Machine code on disk: damaged, planted or impossible to write, it is compiled anew and says the same."""

from __future__ import annotations

import importlib.util
import itertools
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

SOURCE = """
import numpy as np
from services.compiled import compiled

STEP = np.float32({step})

@compiled
def climbed(values):
    total = values[0] - values[0]
    for value in values:
        total += value * STEP
    return total

@compiled
def fallen(values):
    return -values.sum()
"""
VALUES = np.arange(5, dtype=np.float32)
names = (f"_kept_{k}" for k in itertools.count())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where machine code is kept."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def another_process(folder: Path, step: float = 2.0) -> Any:
    """The module as a process that has just begun finds it: nothing compiled yet."""
    source = folder.parent / "climb.py"
    text = SOURCE.format(step=step)
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    spec = importlib.util.spec_from_file_location(next(names), source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def climbed(folder: Path) -> bool:
    """Call the function in a new process; whether its code was found on disk."""
    module = another_process(folder)
    assert module.climbed(VALUES) == 20
    return bool(module.climbed.stats.cache_hits)


def kept(folder: Path) -> Path:
    (path,) = folder.rglob("*climbed*.nbc")
    return path


def test_code_is_compiled_once(folder: Path) -> None:
    assert not climbed(folder)
    assert climbed(folder)
    module = another_process(folder)
    assert module.climbed(VALUES.astype(np.float64)) == 20  # of other types, beside it
    assert not module.climbed.stats.cache_hits
    assert len(list(folder.rglob("*climbed*.nbc"))) == 2
    assert climbed(folder)


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def other_function(path: Path) -> None:
    (other,) = path.parent.glob("*fallen*.nbc")
    path.write_bytes(other.read_bytes())


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": halved,
    "one bit": flipped,
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "text": lambda path: path.write_text("<<<<<<< HEAD"),
    "of another function": other_function,
    "a directory": directory,
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("/nowhere/at/all")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_none_and_is_mended(folder: Path, damage: Callable[[Path], object]) -> None:
    module = another_process(folder)
    module.climbed(VALUES)
    module.fallen(VALUES)
    path = kept(folder)
    damage(path)
    assert not climbed(folder)
    mended = not path.is_dir()
    assert climbed(folder) is mended
    assert not [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".nbc"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users_file_is_not_unpickled(folder: Path) -> None:
    climbed(folder)
    os.chown(kept(folder), 12345, 12345)
    assert not climbed(folder)
    assert kept(folder).stat().st_uid == 0
    assert climbed(folder)


def test_numbers_of_other_modules_are_part_of_the_code(folder: Path) -> None:
    assert not climbed(folder)
    module = another_process(folder)
    module.STEP = np.float32(3)  # as if it had been imported, and its own module changed since
    assert module.climbed(VALUES) == 30
    assert not module.climbed.stats.cache_hits


def test_a_changed_source_is_compiled_anew(folder: Path) -> None:
    assert not climbed(folder)
    assert another_process(folder, step=3.0).climbed(VALUES) == 30


def test_a_full_disk_keeps_nothing_and_hinders_nothing(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    module = another_process(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a write beyond it fails, as on a full disk
    try:
        assert module.climbed(VALUES) == 20
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [p for p in folder.rglob("*") if p.is_file()]
    assert not climbed(folder)
    assert climbed(folder)


def test_a_folder_that_has_gone_is_made_again(folder: Path) -> None:
    module = another_process(folder)
    for path in folder.iterdir():
        path.rmdir()
    folder.rmdir()
    assert module.climbed(VALUES) == 20
    assert climbed(folder)


def test_a_folder_that_cannot_be_written_hinders_nothing(folder: Path) -> None:
    module = another_process(folder)
    for path in folder.iterdir():
        path.rmdir()
        path.write_text("a file where the folder was")
    assert module.climbed(VALUES) == 20


def test_without_any_folder_every_process_compiles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "ZipCacheLocator")
    assert not climbed(folder)
    assert not climbed(folder)
    assert not folder.exists()
