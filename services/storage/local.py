"""A store in a folder: one file an object, with the promises of a bucket.

An object appears by one rename or hard link of a file that is already whole and on disk, so a reader never
meets half of it. Compare-and-swap runs under an advisory lock, which holds among processes of one host and on
file systems that share locks between hosts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from services.errors import BadInput, DatamaskError, Unavailable
from services.storage.keys import check_key, check_prefix, is_key
from services.storage.store import Entry, ObjectMissing

_TEMPORARY = ".tmp-"
_LOCK = ".lock"
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStore:
    """The objects under one folder. See :class:`services.storage.store.Store` for what each method promises.

    :param root: the folder; made when the first object is written.
    :raises BadInput: `root` is a file.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(os.path.abspath(root))
        with _explained("open", self._root):
            if self._root.exists() and not self._root.is_dir():
                raise BadInput(f"store {self._root} is a file; expected a folder, or a path to make one at")

    def __repr__(self) -> str:
        return f"LocalStore({str(self._root)!r})"

    @property
    def url(self) -> str:
        return self._root.as_uri()

    @property
    def root(self) -> Path:
        """The folder that holds the objects."""
        return self._root

    def sub(self, prefix: str) -> LocalStore:
        return LocalStore(self._root / check_key(prefix.removesuffix("/")))

    def get(self, key: str) -> bytes:
        found = self._read(key)
        if found is None:
            raise ObjectMissing(key, self.url)
        return found

    def exists(self, key: str) -> bool:
        path = self._path(key)
        with _explained("look for", path):
            return path.is_file()

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with _explained("write", path):
            # Saves writing the loser's copy in the common case; the link below decides.
            if path.is_file():
                return False
            with _written(path, data) as temporary:
                return _link(temporary, path)

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with _explained("write", path), _written(path, data) as temporary:
            os.replace(temporary, path)
            _sync_folder(path.parent)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        found = self._read(key)
        return None if found is None else (found, _tag(found))

    def replace(self, key: str, data: bytes, expected_tag: str | None) -> bool:
        path = self._path(key)
        with _explained("write", path):
            if expected_tag is not None and not path.is_file():
                return False
            _make_folder(path.parent)
            with _locked(path.parent / _LOCK):
                current = self.read_tagged(key)
                if (None if current is None else current[1]) != expected_tag:
                    return False
                with _written(path, data) as temporary:
                    if expected_tag is None:
                        # A create may come in between: it takes no lock, but a link gives way to it.
                        return _link(temporary, path)
                    os.replace(temporary, path)
                    _sync_folder(path.parent)
        return True

    def list(self, prefix: str = "") -> list[str]:
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        start = self._root / folder if folder else self._root
        with _explained("list", start):
            keys = _walk(start, f"{folder}/" if folder else "")
            # What no key can be called is not ours: others put it there.
            return sorted(key for key in keys if key.startswith(prefix) and is_key(key))

    def entries(self, prefix: str = "") -> Sequence[Entry]:
        found = []
        for key in self.list(prefix):
            path = self._path(key)
            with _explained("look at", path), contextlib.suppress(*_ABSENT):
                found.append(Entry(key, path.stat().st_size))
        return found

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained("remove", path):
            try:
                path.unlink()
            except _ABSENT:
                return
            _sync_folder(path.parent)

    def delete_many(self, keys: Iterable[str]) -> None:
        paths = [self._path(key) for key in keys]
        with _explained("remove from", self._root):
            touched = set()
            for path in paths:
                with contextlib.suppress(*_ABSENT):
                    path.unlink()
                    touched.add(path.parent)
            # A folder is synced once, however many names went: that is most of what removing costs.
            for folder in sorted(touched):
                _sync_folder(folder)

    def sweep(self, older_than_s: float = 86_400.0) -> int:
        latest = time.time() - older_than_s
        removed = 0
        with _explained("clean", self._root):
            for folder, _, names in os.walk(self._root):
                for name in names:
                    if not name.startswith(_TEMPORARY):
                        continue
                    path = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        if path.stat().st_mtime <= latest:
                            path.unlink()
                            removed += 1
        return removed

    def probe(self) -> None:
        """Try a write, a hard link that must win, one that must lose, and a lock that must exclude.

        :raises Unavailable: the folder cannot be written to, or its file system lacks one of these.
        :raises BadInput: part of the path is a file.
        """
        mend = "put the store on a local disk (ext4, xfs, apfs) or a file system with both"
        probe = self._root / f"{_TEMPORARY}probe-{secrets.token_hex(8)}"
        with _explained("write", self._root):
            _make_folder(self._root)
            try:
                with _written(probe, b"datamask") as temporary:
                    first, second = _link(temporary, probe), _link(temporary, probe)
            finally:
                probe.unlink(missing_ok=True)
            if (first, second) != (True, False):
                raise Unavailable(
                    f"store {self._root}: its file system lets two writers win one name; {mend}"
                )
            try:
                excludes = _lock_excludes(probe)
            except OSError as error:
                raise Unavailable(f"store {self._root}: file locks fail ({error.strerror}); {mend}") from None
            finally:
                probe.unlink(missing_ok=True)
            if not excludes:
                raise Unavailable(f"store {self._root}: its file locks let two holders in; {mend}")

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _read(self, key: str) -> bytes | None:
        path = self._path(key)
        with _explained("read", path):
            try:
                return path.read_bytes()
            except _ABSENT:
                return None


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


@contextlib.contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file beside `path` that holds `data`, on disk; it is gone when the context ends."""
    temporary = path.parent / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        # 0o666 less the umask: workers in other containers may run as another user of the same group.
        handle = os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        _make_folder(path.parent)
        handle = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _link(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path)) from None
        return False
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV):
            raise Unavailable(
                f"store {path.parent}: its file system makes no hard links ({error.strerror}); "
                "put the store on a local disk (ext4, xfs, apfs)"
            ) from None
        raise
    _sync_folder(path.parent)
    return True


def _make_folder(folder: Path) -> None:
    """Make `folder` and its parents, each name on disk before anything is put under it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder: they order names themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of `path`. The file stays: removing it would let a waiter lock a ghost."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lock_excludes(path: Path) -> bool:
    with _locked(path):
        other = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(other)
    return False


_MENDS = {
    errno.EACCES: "give this user write permission there, or choose another store",
    errno.EPERM: "give this user write permission there, or choose another store",
    errno.EROFS: "the file system is read-only: choose another store",
    errno.ENOSPC: "free some space or choose another place, then go on (evolve: --resume)",
    errno.EDQUOT: "the quota is used up: free some space or choose another place, then go on",
    errno.EFBIG: "the file size limit is reached: raise it (ulimit -f) or choose another store",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}
_NAME_FAULTS = {
    errno.ENOTDIR: "a file stands where a folder is needed: move it away or choose another store",
    errno.EISDIR: "a folder stands where an object is needed: move it away or choose another store",
    errno.ENAMETOOLONG: "the path is too long for the file system: choose a shorter run name or store",
    errno.ELOOP: "the path runs in a circle of links: choose another store",
}


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn the operating system's errors into one clear line each."""
    try:
        yield
    except DatamaskError:
        raise
    except OSError as error:
        number = error.errno or 0
        reason = error.strerror or str(error)
        if number in _NAME_FAULTS:
            raise BadInput(f"cannot {action} {path}: {reason}; {_NAME_FAULTS[number]}") from error
        mend = _MENDS.get(number, "check the disk or network share behind this path")
        raise Unavailable(f"cannot {action} {path}: {reason}; {mend}") from error
