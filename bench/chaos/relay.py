"""What stands between a client and a server here: a slow line, and an S3 server's bad days."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
_CODES = {503: "SlowDown", 500: "InternalError"}
_OF_THE_LINE = ("connection", "expect", "keep-alive", "transfer-encoding", "content-length")
_CHUNK = 1 << 16


@contextlib.contextmanager
def slow_line(port: int, delay_s: float) -> Iterator[int]:
    """A port of loopback that leads to another one; whatever passes comes late, either way.

    :param delay_s: on average; each piece takes between half and one and a half times as long. Order is kept.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="slow-line", daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(
            lambda reader, writer: _joined(reader, writer, port, delay_s), "127.0.0.1", 0
        )

    async def stop(server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _joined(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, delay_s: float
) -> None:
    try:
        there = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(_late(reader, there[1], delay_s), _late(there[0], writer, delay_s))
    finally:
        writer.close()
        there[1].close()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on what is read, each piece after its time; the end of it, too."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - clock())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

    delivering = asyncio.create_task(deliver())
    try:
        due, data = 0.0, b"?"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            due = max(due, clock() + delay_s * random.uniform(0.5, 1.5))
            under_way.put_nowait((due, data))
        await delivering
    finally:
        delivering.cancel()


class BadDays(ThreadingHTTPServer):
    """Stands before an S3 server and spoils a share of the requests.

    Some get 503 and are not carried out. Of those that are, some are answered with 500, and of some the
    answer is lost with its connection: whoever asked cannot know that it was done.

    :param port: the server's, on loopback. seed: of the chance by which requests are spoilt.
    :param refused, failed, lost: shares of the requests. counts: how many met with which.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, *, refused: float, failed: float, lost: float, seed: int = 1) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.counts = port, Counter[str]()
        self._shares = {"refused": refused, "failed": failed, "lost": lost}
        self._chance, self._lock = random.Random(seed), threading.Lock()

    @property
    def endpoint(self) -> str:
        """For AWS_ENDPOINT_URL_S3."""
        return f"http://127.0.0.1:{self.server_port}"

    def fate(self) -> str:
        """What becomes of the next request: refused, failed, lost or good."""
        with self._lock:
            drawn = self._chance.choices([*self._shares, "good"], self._weights())[0]
            self.counts[drawn] += 1
            return drawn

    def _weights(self) -> list[float]:
        shares = list(self._shares.values())
        return [*shares, 1.0 - sum(shares)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


@contextlib.contextmanager
def bad_days(port: int, **shares: float) -> Iterator[BadDays]:
    """See :class:`BadDays`."""
    server = BadDays(port, **shares)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, name="bad-days", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request on, one answer back; headers as they are, for they are signed."""

    protocol_version = "HTTP/1.1"
    server: BadDays

    def _carry(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fate = self.server.fate()
        if fate == "refused":
            self._error(503)
            return
        status, headers, data = self._asked(body)
        if fate == "failed":
            self._error(500)
        elif fate == "lost":
            self.close_connection = True
        else:
            self._answer(status, headers, data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _carry

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        there = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(there):
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _OF_THE_LINE:
                    there.putheader(name, value)
            there.putheader("Content-Length", str(len(body)))
            there.endheaders(body)
            answer = there.getresponse()
            data = answer.read()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _OF_THE_LINE]
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            return answer.status, [*kept, ("Content-Length", length or "0")], data

    def _error(self, status: int) -> None:
        data = b"" if self.command == "HEAD" else _ERROR.format(code=_CODES[status]).encode()
        self._answer(status, [("Content-Length", str(len(data))), ("Content-Type", "application/xml")], data)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Counts are enough."""
