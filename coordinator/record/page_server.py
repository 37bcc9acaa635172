"""A small server for one run's report page. It reads the record and nothing else, and changes nothing.

Every page and fact comes from what ``HEAD`` lists; files are served only by a key that the record itself
names, so that there is no path to be walked. Python's own HTTP server: a handful of visitors, on loopback or
behind a proxy.
"""

from __future__ import annotations

import hashlib
import hmac
import http.cookies
import ipaddress
import json
import logging
import socket
import sys
import threading
import time
import urllib.parse
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from coordinator.record.chronicle import Chronicle
from coordinator.record.record import Record
from services.errors import BadInput, DatamaskError
from services.exhibition.facts import PICTURES_KEY, with_shapes
from services.exhibition.page import LIVE_FILE, json_text, page
from services.faults import said
from services.storage.store import ObjectMissing

log = logging.getLogger(__name__)

COOKIE = "datamask"
HEALTH_PATH = "/healthz"
_AGAIN_S = 10  # so often a visitor's browser asks for a run that has not begun
_STALE_S = 30.0
_LEAST_TOKEN = 8
_MOST_REFUSAL = 2000  # characters
_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "glb": "model/gltf-binary",
    "stl": "model/stl",
    "3mf": "model/3mf",
    "json": "application/json",
    "toml": "text/plain; charset=utf-8",
    "csv": "text/plain; charset=utf-8",
}


class Newest:
    """The facts of the page, made anew when the record has moved on.

    :param refusal: file that holds a coordinator's words while it refuses the run; see :func:`serve`.
    """

    def __init__(self, record: Record, refusal: Path | None = None) -> None:
        self.record = record
        self._refusal = refusal
        self._chronicle = Chronicle(record)
        self._lock = threading.Lock()
        self._begun = False
        self._sign: Any = None
        self._made = -1e9
        self._facts: dict[str, Any] = {}
        self._text = b""
        self._tag = ""

    def facts(self) -> tuple[dict[str, Any], bytes, str]:
        """The facts, the same as JSON bytes, and the tag of this version of them."""
        with self._lock:
            sign = self._signs()
            if sign != self._sign or time.monotonic() - self._made > _STALE_S:
                self._facts = with_shapes(self._chronicle.plan(), self.record.store, self._pictures())
                if (words := self.refusal()) is not None:
                    self._facts["refusal"] = words
                self._text = json_text(self._facts).encode()
                self._tag = f'"{hashlib.sha256(self._text).hexdigest()[:32]}"'
                self._sign, self._made = sign, time.monotonic()
            return self._facts, self._text, self._tag

    def begun(self) -> bool:
        """Whether there is a run: from its first moment on, for good."""
        if not self._begun:
            self._begun = self.record.exists()
        return self._begun

    def refusal(self) -> str | None:
        """Why the coordinator does not begin the run, or go on with it; None where it does."""
        if self._refusal is None:
            return None
        try:
            return self._refusal.read_text("utf-8", "replace").strip()[:_MOST_REFUSAL] or None
        except OSError:  # there is none
            return None

    def _signs(self) -> tuple[Any, ...]:
        """What moves when there is something new to show; cheap to ask for."""
        store = self.record.store
        pages = (store.exists(PICTURES_KEY), store.exists("report.html"))
        return (store.read_tagged("HEAD"), *pages, self.refusal())

    def _pictures(self) -> dict[str, Any]:
        try:
            found = json.loads(self.record.store.get(PICTURES_KEY))
        except (ObjectMissing, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


class Server(ThreadingHTTPServer):
    """Serves one run."""

    daemon_threads = True

    def __init__(self, record: Record, host: str, port: int, token: str | None, refusal: Path | None) -> None:
        self.newest = Newest(record, refusal)
        self.token = token
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a visitor has left in the middle of an answer; else a line, for it is our fault."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            log.warning("a page could not be sent (%s)", said(error))

    @property
    def url(self) -> str:
        """Where to look."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(record: Record, host: str, port: int, token: str | None, refusal: Path | None = None) -> Server:
    """A server that is bound and waits for ``serve_forever``.

    :param refusal: a file; what is in it, if anything, is why the coordinator refuses the run, and is shown.
    :raises BadInput: if the address cannot be had, or reaches beyond this machine without a token.
    """
    if not _loopback(host) and token is None:
        raise BadInput(
            f"--host {host}: others could look at this run; give a --token of {_LEAST_TOKEN} letters, "
            "or listen on 127.0.0.1"
        )
    if token is not None and (len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise BadInput(f"--token: expected at least {_LEAST_TOKEN} plain letters or digits")
    try:
        return Server(record, host, port, token, refusal)
    except (OSError, OverflowError) as error:
        raise BadInput(
            f"--host {host} --port {port}: cannot listen there ({error}); give another --port"
        ) from None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Handler(BaseHTTPRequestHandler):
    """One visitor's request. Only GET and HEAD exist."""

    server: Server
    server_version = "datamask"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the page, its facts, or a file of the record."""
        address = urllib.parse.urlsplit(self.path)
        if address.path == HEALTH_PATH:  # for whoever starts the server again if it is stuck; tells no secret
            return self._send(HTTPStatus.OK, "text/plain", b"up\n")
        if not self._welcome(urllib.parse.parse_qs(address.query)):
            return
        try:
            if not self.server.newest.begun():
                return self._not_yet()
            self._answer(urllib.parse.unquote(address.path).lstrip("/"))
        except DatamaskError as error:
            log.warning("watch: %s", error)
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{error}\n".encode())

    do_HEAD = do_GET

    def _answer(self, key: str) -> None:
        facts, text, tag = self.server.newest.facts()
        if key in ("", "report.html"):
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page(facts, live=True))
        elif key == LIVE_FILE:
            if self.headers.get("If-None-Match") == tag:
                self._send(HTTPStatus.NOT_MODIFIED, "application/json", b"", {"ETag": tag})
            else:
                self._send(HTTPStatus.OK, "application/json", text, {"ETag": tag})
        elif key in facts["files"]:
            ending = key.rpartition(".")[2].lower()
            try:
                data = self.server.newest.record.store.get(key)
            except ObjectMissing:
                return self._nothing()
            self._send(HTTPStatus.OK, _TYPES.get(ending, "application/octet-stream"), data)
        else:
            self._nothing()

    def _welcome(self, query: dict[str, list[str]]) -> bool:
        """Whether the visitor may look; says so where not."""
        token = self.server.token
        if token is None:
            # A foreign page must not reach a server on loopback through a name that points there.
            host = urllib.parse.urlsplit(f"//{self.headers.get('Host', '')}").hostname
            if host is None or not _loopback(host):
                self._send(HTTPStatus.FORBIDDEN, "text/plain", b"datamask watch answers on loopback only\n")
                return False
            return True
        given = query.get("token", [""])[0]
        if hmac.compare_digest(given.encode(), token.encode()):
            # From now on the cookie says it, and the address bar does not.
            cookie = f"{COOKIE}={urllib.parse.quote(token)}; HttpOnly; SameSite=Strict; Path=/"
            self._send(HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": "/", "Set-Cookie": cookie})
            return False
        brought = self.headers.get("Authorization", "").removeprefix("Bearer ") or self._cookie()
        if hmac.compare_digest(brought.encode("utf-8", "replace"), token.encode()):
            return True
        words = b"This run is not open to everybody: add ?token=... to the address, as its owner told you.\n"
        self._send(HTTPStatus.UNAUTHORIZED, "text/plain", words)
        return False

    def _cookie(self) -> str:
        try:
            jar = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        except http.cookies.CookieError:
            return ""
        return urllib.parse.unquote(jar[COOKIE].value) if COOKIE in jar else ""

    def _not_yet(self) -> None:
        refusal = self.server.newest.refusal()
        if refusal is None:
            words = "This run has not begun yet."
        else:
            words = f"The coordinator has refused this run:\n\n{refusal}\n\nMend it and start it again."
        words += f" The page comes by itself: look again every {_AGAIN_S} s.\n"
        again = {"Retry-After": f"{_AGAIN_S}", "Refresh": f"{_AGAIN_S}"}
        self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", words.encode(), again)

    def _nothing(self) -> None:
        self._send(HTTPStatus.NOT_FOUND, "text/plain", b"This run has no such file.\n")

    def _send(self, status: HTTPStatus, kind: str, data: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: an access log would hold tokens."""
