"""The store protocol: named immutable bytes, plus one compare-and-swap.

Every store keeps the same promises, whatever is behind it: a key holds either nothing or a whole object;
of several concurrent `create` calls exactly one wins; of several `replace` calls with the same expected tag
exactly one wins; what a call has returned from survives a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from services.errors import BadInput, DatamaskError


class ObjectMissing(DatamaskError):
    """There is no object under this key. `key` and `url` (of the store) say which."""

    def __init__(self, key: str, url: str) -> None:
        super().__init__(f"no object {key!r} in {url}; it was never written, or has been removed")
        self.key = key
        self.url = url

    def __reduce__(self) -> tuple[type[ObjectMissing], tuple[str, str]]:
        return (ObjectMissing, (self.key, self.url))


class Store(Protocol):
    """Objects by key. A key is "a/b/c": see :func:`services.storage.keys.check_key`.

    All methods raise BadInput for a malformed key, and Unavailable where the place itself fails (no
    permission, full, read-only, unreachable).
    """

    @property
    def url(self) -> str:
        """Where this store is; :func:`open_store` opens the same one from it."""

    def sub(self, prefix: str) -> Store:
        """The same place seen from `prefix`: `sub("portrait").get("HEAD")` is `get("portrait/HEAD")`."""

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises ObjectMissing."""

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""

    def create(self, key: str, data: bytes) -> bool:
        """Write if there is nothing yet. True: written by this call. False: someone was first."""

    def put(self, key: str, data: bytes) -> None:
        """Write over what is there, in one step. Not for keys that `replace` guards: it would not see it."""

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """The bytes and the tag that names this version of them, or None where there is nothing."""

    def replace(self, key: str, data: bytes, expected_tag: str | None) -> bool:
        """Compare and swap: write if the object still has `expected_tag` (None: if there is nothing)."""

    def list(self, prefix: str = "") -> list[str]:
        """Every key that begins with `prefix` (characters, not folders), sorted by code point."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing there is fine."""

    def sweep(self, older_than_s: float = 86_400.0) -> int:
        """Remove what killed writers left half-written at least so many seconds ago; returns how many."""


def open_store(url: str | Path, *, write: bool = False) -> Store:
    """Open the store at `url`: a path (`~` allowed) or a file:// URL.

    Args:
        url: where. A folder need not exist yet; writing makes it.
        write: make the folder and try whether the place keeps a store's promises.

    Raises:
        BadInput: the URL cannot be used.
        Unavailable: with `write`, the place cannot be written to or lacks hard links or locks.
    """
    text = str(url)
    scheme = text.split("://", 1)[0].lower() if "://" in text else "path"
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise BadInput(f"store {text!r}: {scheme}:// is not in this version; use a folder or a file:// URL")
    return opener(text, write)


def _open_path(text: str, write: bool) -> Store:
    from services.storage.local import LocalStore

    if not text.strip() or "\0" in text:
        raise BadInput(f"store {text!r}: expected a folder or a file:// URL, such as ./runs")
    try:
        root = Path(text).expanduser()
    except RuntimeError as error:
        raise BadInput(f"store {text!r}: {error}; give the whole path") from None
    store = LocalStore(root)
    if write:
        store.probe()
    return store


def _open_file_url(text: str, write: bool) -> Store:
    parts = urlsplit(text)
    if (
        parts.netloc not in ("", "localhost")
        or not parts.path.startswith("/")
        or parts.query
        or parts.fragment
    ):
        raise BadInput(f"store {text!r}: expected file:///absolute/path with special characters %-encoded")
    return _open_path(unquote(parts.path), write)


# One line a scheme: a bucket store registers here and nothing else changes.
_OPENERS: dict[str, Callable[[str, bool], Store]] = {"path": _open_path, "file": _open_file_url}
