"""The tools by which the chaos rows break things: lines that are slow, cut or lossy, bad stores, clocks."""

from __future__ import annotations

import datetime
import http.client
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.chaos.clocks import DAY_S, Clock
from bench.chaos.hosts import SERVERS, Hosts
from bench.chaos.place import Skipped
from bench.chaos.relay import bad_days, slow_line


class Kept(BaseHTTPRequestHandler):
    """Keeps the bodies that are put, by path."""

    protocol_version = "HTTP/1.1"
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("Host-Seen", self.headers["Host"])
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def kept() -> Iterator[tuple[int, dict[str, bytes]]]:
    """Port of a server, and what it keeps."""
    bodies: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Kept,), {"kept": bodies}))
    with serving(server):
        yield server.server_port, bodies


def put(port: int) -> tuple[int, bytes, str | None]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        client.request("PUT", "/a%20b?x=1", b"data", {"Host": "signed:1"})
        answer = client.getresponse()
        return answer.status, answer.read(), answer.getheader("Host-Seen")


def test_on_good_days_a_request_passes_as_it_is(kept: tuple[int, dict[str, bytes]]) -> None:
    with bad_days(kept[0], refused=0.0, failed=0.0, lost=0.0) as gate:
        assert put(gate.server_port) == (200, b"ok", "signed:1")
    assert kept[1] == {"/a%20b?x=1": b"data"}


def test_what_gets_503_is_not_carried_out(kept: tuple[int, dict[str, bytes]]) -> None:
    with bad_days(kept[0], refused=1.0, failed=0.0, lost=0.0) as gate:
        status, said, _ = put(gate.server_port)
        assert (status, b"SlowDown" in said) == (503, True)
        assert gate.counts == {"refused": 1}
    assert kept[1] == {}


def test_what_gets_500_is_carried_out(kept: tuple[int, dict[str, bytes]]) -> None:
    with bad_days(kept[0], refused=0.0, failed=1.0, lost=0.0) as gate:
        assert put(gate.server_port)[0] == 500
    assert kept[1] == {"/a%20b?x=1": b"data"}


def test_what_gets_no_answer_is_carried_out(kept: tuple[int, dict[str, bytes]]) -> None:
    with (
        bad_days(kept[0], refused=0.0, failed=0.0, lost=1.0) as gate,
        pytest.raises(http.client.RemoteDisconnected),
    ):
        put(gate.server_port)
    assert kept[1] == {"/a%20b?x=1": b"data"}


class Echo(socketserver.BaseRequestHandler):
    """Says back what it hears, to the end."""

    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


def test_a_slow_line_loses_nothing_and_keeps_the_order() -> None:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    sent = os.urandom(300_000)
    with (
        serving(server),
        slow_line(server.server_address[1], 0.01) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as line,
    ):
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        heard = b"".join(iter(lambda: line.recv(65536), b""))
    assert heard == sent


def test_a_clock_that_is_set_moves_wall_clocks_alone(tmp_path: Path) -> None:
    try:
        clock = Clock(tmp_path, "clock")
    except Skipped as reason:
        pytest.skip(f"{reason}")
    clock.set(-DAY_S)
    code = "import datetime, time; time.sleep(0.01); print(datetime.datetime.now().date(), time.monotonic())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **clock.environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    date, monotonic = done.stdout.split()
    assert datetime.date.fromisoformat(date) < datetime.date.today()
    boot = float(Path("/proc/uptime").read_text().split()[0])
    assert float(monotonic) <= boot + 60


def test_hosts_are_apart_while_their_line_is_cut() -> None:
    hosts = Hosts()
    try:
        hosts.make()
    except Skipped as reason:
        pytest.skip(f"{reason}")
    try:
        with hosts.inside("servers"):
            server = socketserver.ThreadingTCPServer((SERVERS, 0), Echo)

        def reached() -> bool:
            with hosts.inside("workers"), closing(socket.socket()) as line:
                line.settimeout(1.0)
                try:
                    line.connect(server.server_address)
                except TimeoutError:
                    return False
                return True

        with serving(server):
            assert reached()
            with hosts.cut("workers", server.server_address[1]):
                assert not reached()
            assert reached()
            with hosts.unplugged("workers"):
                assert not reached()
            assert reached()
    finally:
        hosts.remove()
    assert not Path("/run/netns", hosts.name("servers")).exists()
