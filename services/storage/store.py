"""The store protocol: named immutable bytes, plus one compare-and-swap.

Every store keeps the same promises, whatever is behind it: a key holds either nothing or a whole object;
of several concurrent `create` calls exactly one wins; of several `replace` calls with the same expected tag
exactly one wins; what a call has returned from survives a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from services.errors import DatamaskError


class ObjectMissing(DatamaskError):
    """There is no object under this key. `key` and `url` (of the store) say which."""

    def __init__(self, key: str, url: str) -> None:
        super().__init__(f"no object {key!r} in {url}; it was never written, or has been removed")
        self.key = key
        self.url = url

    def __reduce__(self) -> tuple[type[ObjectMissing], tuple[str, str]]:
        return (ObjectMissing, (self.key, self.url))


class Entry(NamedTuple):
    """One object of a listing. size: bytes; etag: S3's, often the MD5 of the bytes; else None."""

    key: str
    size: int
    etag: str | None = None


class Store(Protocol):
    """Objects by key. A key is "a/b/c": see :func:`services.storage.keys.check_key`.

    All methods raise BadInput for a malformed key, and Unavailable where the place itself fails (no
    permission, full, read-only, unreachable).
    """

    @property
    def url(self) -> str:
        """Where this store is; :func:`services.storage.open.open_store` opens the same one from it."""

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
        """Compare and swap: write if the object still has `expected_tag` (None: if there is nothing).

        A tag follows from the bytes. Who takes turns with others must write other bytes each time.
        """

    def list(self, prefix: str = "") -> list[str]:
        """Every key that begins with `prefix` (characters, not folders), sorted by code point."""

    def entries(self, prefix: str = "") -> Sequence[Entry]:
        """As :meth:`list`, with sizes; an object that goes while this looks is left out."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing there is fine."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove many objects, in fewer steps than one by one. Where it fails, some may be gone."""

    def sweep(self, older_than_s: float = 86_400.0) -> int:
        """Remove what killed writers left half-written at least so many seconds ago; returns how many."""
