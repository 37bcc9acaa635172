"""A store in a bucket, at AWS or any server that speaks S3 and honors conditional writes.

`create` is a put with `If-None-Match: *`, `replace` one with `If-Match: <ETag>`. A request that fails in
passing (unreachable, timed out, throttled, two writers at one moment) is tried again with growing, jittered
pauses, for longer than a server takes to restart. A conditional write whose answer was lost may then be
refused because of itself; so each call marks its object with a token of its own, and a refused retry looks
whether the object carries it. Comparing bytes would not do: two coordinators may write the same ones.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from services.errors import BadInput, Unavailable
from services.storage.etag import PART_BYTES
from services.storage.keys import check_key, check_prefix, is_bucket, is_key
from services.storage.place import masked
from services.storage.s3_client import FAILURES, explain, is_absent, is_lost, is_passing, shared_client
from services.storage.store import Entry, ObjectMissing

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

PATIENCE_S = 60.0  # how long passing failures are borne, from the first one on
PARALLEL_PARTS = 4
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
DELETE_AT_ONCE = 1000  # S3's limit
_SPEAK_AFTER = 3  # tries; throttling for a moment is no news
_TOKEN = "datamask-write"
_MULTIPART = TransferConfig(
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARALLEL_PARTS
)
_JITTER = random.SystemRandom()  # no seed: children of one fork must not pause in step

T = TypeVar("T")


class _Changed(Exception):
    """The object was replaced while its parts were read."""


class S3Store:
    """The objects of one bucket below a prefix. See :class:`services.storage.store.Store` for the promises.

    Opening it asks the server nothing. Threads may share one; after a fork it goes on with a client of its
    own.

    :param bucket: its name.
    :param prefix: "" or "a/b", without slashes at its ends.
    :param patience_s: how long a server that is out of reach or overloaded is waited for.
    :param client: gives the boto3 client to use.
    :raises BadInput: a malformed name or prefix.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        patience_s: float = PATIENCE_S,
        client: Callable[[], S3Client] = shared_client,
    ) -> None:
        if not is_bucket(bucket):
            raise BadInput(f"store s3://{bucket}: not a bucket's name; expected s3://bucket/prefix")
        if prefix:
            check_key(prefix)
        self._bucket, self._prefix = bucket, prefix
        self._patience_s, self._client = patience_s, client

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def endpoint(self) -> str:
        """The server's address, for messages."""
        return masked(self._client().meta.endpoint_url)

    def sub(self, prefix: str) -> S3Store:
        below = self._name(prefix.removesuffix("/"))
        return S3Store(self._bucket, below, patience_s=self._patience_s, client=self._client)

    def get(self, key: str) -> bytes:
        found = self.read_tagged(key)
        if found is None:
            raise ObjectMissing(key, self.url)
        return found[0]

    def exists(self, key: str) -> bool:
        return self._head(self._name(key)) is not None

    def create(self, key: str, data: bytes) -> bool:
        return self._put_if(key, data, None)

    def put(self, key: str, data: bytes) -> None:
        name = self._name(key)
        if len(data) < PART_BYTES:
            self._retry(
                "write", name, lambda _: self._client().put_object(Bucket=self._bucket, Key=name, Body=data)
            )
            return
        self._retry(
            "write",
            name,
            lambda _: self._client().upload_fileobj(io.BytesIO(data), self._bucket, name, Config=_MULTIPART),
        )

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        name = self._name(key)
        for _ in range(10):
            with contextlib.suppress(_Changed):
                return self._read(name)
        raise Unavailable(f"cannot read {self._where(name)}: it is replaced all the time; try again later")

    def replace(self, key: str, data: bytes, expected_tag: str | None) -> bool:
        return self._put_if(key, data, expected_tag)

    def list(self, prefix: str = "") -> list[str]:
        return [entry.key for entry in self.entries(prefix)]

    def entries(self, prefix: str = "") -> Sequence[Entry]:
        start = self._under + check_prefix(prefix)
        return self._retry("list", start, lambda _: sorted(self._entries(start)))

    def delete(self, key: str) -> None:
        name = self._name(key)
        self._retry("remove", name, lambda _: self._client().delete_object(Bucket=self._bucket, Key=name))

    def delete_many(self, keys: Iterable[str]) -> None:
        names = [self._name(key) for key in keys]
        for start in range(0, len(names), DELETE_AT_ONCE):
            some = names[start : start + DELETE_AT_ONCE]
            self._retry("remove", some[0], partial(self._delete, some))

    def sweep(self, older_than_s: float = 86_400.0) -> int:
        latest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=older_than_s)
        return self._retry("clean", self._under, lambda _: self._abort_uploads(latest))

    # -- one request each

    def _read(self, name: str) -> tuple[bytes, str] | None:
        """Bytes and ETag. Raises _Changed."""

        def attempt(_: bool) -> tuple[bytes | None, int, str] | None:
            try:
                found = self._client().get_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if is_absent(error):
                    return None
                raise
            with contextlib.closing(found["Body"]) as body:
                size = found["ContentLength"]
                # A large body stays unread; its parts are asked for one by one, and again one by one.
                return (body.read() if size < PART_BYTES else None), size, found["ETag"]

        first = self._retry("read", name, attempt)
        if first is None:
            return None
        data, size, tag = first
        return (self._read_parts(name, size, tag) if data is None else data), tag

    def _read_parts(self, name: str, size: int, tag: str) -> bytes:
        def part(start: int) -> bytes:
            end = min(start + PART_BYTES, size) - 1

            def attempt(_: bool) -> bytes:
                try:
                    found = self._client().get_object(
                        Bucket=self._bucket, Key=name, Range=f"bytes={start}-{end}", IfMatch=tag
                    )
                except ClientError as error:
                    if is_lost(error) or is_absent(error):
                        raise _Changed from None
                    raise
                with contextlib.closing(found["Body"]) as body:
                    if found["ETag"] != tag or found["ContentLength"] != end + 1 - start:
                        raise _Changed
                    return body.read()

            return self._retry("read", name, attempt)

        with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
            return b"".join(pool.map(part, range(0, size, PART_BYTES)))

    def _put_if(self, key: str, data: bytes, expected_tag: str | None) -> bool:
        name, token = self._name(key), secrets.token_hex(16)

        def attempt(again: bool) -> bool:
            try:
                if expected_tag is None:
                    self._client().put_object(
                        Bucket=self._bucket, Key=name, Body=data, Metadata={_TOKEN: token}, IfNoneMatch="*"
                    )
                else:
                    self._client().put_object(
                        Bucket=self._bucket,
                        Key=name,
                        Body=data,
                        Metadata={_TOKEN: token},
                        IfMatch=expected_tag,
                    )
            except ClientError as error:
                if is_lost(error):
                    return again and self._head(name) == token
                if expected_tag is not None and is_absent(error):
                    return False
                raise
            return True

        return self._retry("write", name, attempt)

    def _head(self, name: str) -> str | None:
        """The token that the object was written with ("" for none), or None where there is no object."""

        def attempt(_: bool) -> str | None:
            try:
                found = self._client().head_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if is_absent(error):
                    return None
                raise
            return found["Metadata"].get(_TOKEN, "")

        return self._retry("look for", name, attempt)

    def _entries(self, start: str) -> Iterator[Entry]:
        pages = self._client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=start):
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._under)
                if is_key(key):  # consoles make "folders", sync tools leave dot files: not ours
                    yield Entry(key, item["Size"], item.get("ETag"))

    def _delete(self, names: Sequence[str], again: bool) -> None:
        answer = self._client().delete_objects(
            Bucket=self._bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
        )
        for fault in answer.get("Errors", ()):
            if fault.get("Code") not in ("NoSuchKey", None):
                raise ClientError({"Error": dict(fault)}, "DeleteObjects")  # type: ignore[typeddict-item]

    def _abort_uploads(self, latest: datetime.datetime) -> int:
        client, removed = self._client(), 0
        for page in client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self._under
        ):
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] <= latest:
                    client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    removed += 1
        return removed

    # -- what all requests share

    @property
    def _under(self) -> str:
        return f"{self._prefix}/" if self._prefix else ""

    def _name(self, key: str) -> str:
        return check_key(self._under + check_key(key))

    def _where(self, name: str) -> str:
        return f"s3://{self._bucket}/{name}".rstrip("/")

    def _retry(self, action: str, name: str, attempt: Callable[[bool], T]) -> T:
        """Call `attempt(again)` until it returns; `again`: an earlier try may have done its work.

        :raises BadInput, Unavailable: at once where waiting does not help, else when patience has run out.
        """
        first_s: float | None = None
        tries = 0
        while True:
            try:
                result = attempt(tries > 0)
            except FAILURES as error:
                clear = explain(error, action, self._where(name), self.endpoint)
                now_s = time.monotonic()
                first_s = now_s if first_s is None else first_s
                left_s = first_s + self._patience_s - now_s
                if not is_passing(error) or left_s <= 0:
                    raise clear from error
                tries += 1
                if tries == _SPEAK_AFTER:
                    log.warning("%s; trying on for %.0f s", clear, left_s)
                longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**tries)
                time.sleep(min(left_s, _JITTER.uniform(0, longest_s)))
            else:
                if tries >= _SPEAK_AFTER:
                    log.warning("%s answers again", self.endpoint)
                return result


def open_s3(bucket: str, prefix: str, write: bool, patience_s: float | None = None) -> S3Store:
    """The store at s3://bucket/prefix.

    :param bucket: its name.
    :param prefix: as :class:`S3Store` takes it.
    :param write: find out first whether the place keeps a store's promises.
    :param patience_s: how long a server that is out of reach is waited for; None: :data:`PATIENCE_S`.
    :raises BadInput: a malformed name or prefix, no such bucket, unusable AWS settings.
    :raises Unavailable: with `write`, the server cannot be reached, refuses, or has no conditional writes.
    """
    store = S3Store(bucket, prefix, patience_s=PATIENCE_S if patience_s is None else patience_s)
    if write:
        from services.storage.s3_probe import probe

        probe(store, store.endpoint)
    return store
