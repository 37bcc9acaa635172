"""Where a store is, from what people write: a folder, file:///folder or s3://bucket/prefix. Asks nobody."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from services.errors import BadInput
from services.storage.keys import check_key, is_bucket

# Written by accident where :// was meant. A folder of such a name can still be given as ./s3//x.
_SLIP = re.compile(r"(?:s3|file|https?)//", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_URL_MOST = 4096  # characters, as many as a path may have


@dataclass(frozen=True)
class Folder:
    """A folder, whether it is there or not."""

    path: Path


@dataclass(frozen=True)
class Bucket:
    """A bucket of S3 and what its keys begin with: "" or "a/b", as written, without %-decoding."""

    name: str
    prefix: str


def parse_place(text: str) -> Folder | Bucket:
    """The place that a text names. What looks like a URL is one, and never a folder by accident.

    :raises BadInput: for another scheme, a slip such as s3:/masks, or what cannot be a bucket or a path.
    """
    if "\0" in text or not text.strip():
        raise BadInput(f"store {text!r}: expected a folder or a URL, such as ./runs or s3://bucket/prefix")
    scheme = _SCHEME.match(text)
    if scheme is None and _SLIP.match(text) is None:
        return _folder(text)
    kind, rest = ("", "") if scheme is None else (scheme[0].lower(), text[scheme.end() :])
    if kind == "s3:" and rest.startswith("//"):
        return _bucket(text, rest[2:])
    if kind == "file:" and (rest.startswith("///") or rest.lower().startswith("//localhost/")):
        return _folder_of_url(text, rest[2:])
    raise BadInput(
        f"store {masked(text)!r}: expected a folder, file:///folder or s3://bucket/prefix; a folder that is "
        "called so is given with ./ before its name"
    )


def url_fault(text: object) -> str | None:
    """Why a text is no store's URL as messages hold it, or None: any URL that :func:`parse_place` takes."""
    if not isinstance(text, str) or not text.startswith(("file:///", "s3://")):
        return "expected a file:/// or s3:// URL"
    if len(text) > _URL_MOST or not text.isprintable():
        return f"expected a URL of at most {_URL_MOST} printable characters"
    try:
        parse_place(text)
    except BadInput as error:
        return str(error)
    return None


def check_folder(path: Path, option: str) -> Path:
    """The path as it is. option: by which it was given.

    :raises BadInput: if it looks like a URL, which can only be meant as one.
    """
    if _SCHEME.match(f"{path}") is not None:
        raise BadInput(
            f"{option} {masked(str(path))}: expected a folder of this computer, not a URL; a folder that is "
            "called so is given by its whole path"
        )
    return path


def masked(url: str) -> str:
    """A URL for messages, without what may be a password: all between its scheme and its last @."""
    scheme = _SCHEME.match(url) or _SLIP.match(url)
    if scheme is None or "@" not in url[scheme.end() :]:
        return url
    return f"{scheme[0].rstrip('/')}//***{url[url.rindex('@') :]}"


def _folder(text: str) -> Folder:
    try:
        path = Path(text).expanduser()
        os.fsencode(path)
    except (RuntimeError, UnicodeEncodeError) as error:
        raise BadInput(f"store {text!r}: {str(error).rstrip('.')}; give the whole path") from None
    return Folder(path)


def _folder_of_url(text: str, rest: str) -> Folder:
    path = rest[rest.index("/") :]
    if "?" in path or "#" in path:
        raise BadInput(f"store {masked(text)!r}: expected file:///folder with ? as %3F and # as %23")
    try:
        # A folder's name is bytes, and need not be UTF-8.
        decoded = os.fsdecode(unquote_to_bytes(path))
    except UnicodeEncodeError:
        decoded = "\0"
    if "\0" in decoded:
        raise BadInput(f"store {masked(text)!r}: no folder's name holds such a character")
    return Folder(Path(decoded))


def _bucket(text: str, rest: str) -> Bucket:
    name, _, prefix = rest.partition("/")
    if not is_bucket(name):
        raise BadInput(f"store {masked(text)!r}: not a bucket's name; expected s3://bucket/prefix")
    prefix = prefix.strip("/")
    if prefix:
        check_key(prefix)
    return Bucket(name, prefix)
