"""Hosts made of network namespaces, for rows that cut cables: servers, coordinator and workers apart.

Each has an address that no other machine can reach: veth pairs join the namespaces, and nothing else does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.chaos.place import Place, Skipped, in_environment
from bench.support import support

SERVERS = "10.231.0.1"  # of the servers' host, on its loopback device
PEERS = {"coordinator": 1, "workers": 2}
_NEWNET = 0x40000000  # CLONE_NEWNET
_PASSWORD = "chaos"  # Redis answers strangers on other addresses than loopback only with one


class Hosts:
    """The namespaces of one scenario. Everything is gone with them."""

    def __init__(self) -> None:
        self._prefix = f"datamask-{os.getpid()}"

    def name(self, host: str) -> str:
        """The namespace's."""
        return f"{self._prefix}-{host}"

    def on(self, host: str) -> list[str]:
        """What starts a program on a host."""
        return ["ip", "netns", "exec", self.name(host)]

    def make(self) -> None:
        """:raises Skipped: where this machine lets nobody do that."""
        if os.geteuid() != 0:
            raise Skipped("network namespaces need root")
        for program in ("ip", "iptables"):
            if shutil.which(program) is None:
                raise Skipped(f"no {program}: apt install iproute2 iptables")
        try:
            for host in ("servers", *PEERS):
                _run("ip", "netns", "add", self.name(host))
                _run("ip", "-n", self.name(host), "link", "set", "lo", "up")
            servers = self.name("servers")
            _run("ip", "-n", servers, "addr", "add", f"{SERVERS}/32", "dev", "lo")
            for host, number in PEERS.items():
                ours, theirs = f"10.231.{number}.1", self.address(host)
                peer = self.name(host)
                pair = ["type", "veth", "peer", "name", "up0", "netns", peer]
                _run("ip", "-n", servers, "link", "add", f"to{number}", *pair)
                _run("ip", "-n", servers, "addr", "add", f"{ours}/30", "dev", f"to{number}")
                _run("ip", "-n", servers, "link", "set", f"to{number}", "up")
                _run("ip", "-n", peer, "addr", "add", f"{theirs}/30", "dev", "up0")
                _run("ip", "-n", peer, "link", "set", "up0", "up")
                _run("ip", "-n", peer, "route", "add", "default", "via", ours)
            _run(*self.on("servers"), "iptables", "-L", "-n")
        except subprocess.CalledProcessError as error:
            self.remove()
            raise Skipped(f"no network namespaces here: {error.stderr.strip().splitlines()[-1]}") from None

    def remove(self) -> None:
        """Their cables go with them."""
        for host in ("servers", *PEERS):
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", self.name(host))

    def address(self, host: str) -> str:
        """Of the coordinator's or the workers' host."""
        return f"10.231.{PEERS[host]}.2"

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """This thread, and whatever it starts, is on a host for a while."""
        with Path("/proc/thread-self/ns/net").open() as before:
            with Path("/run/netns", self.name(host)).open() as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    @contextlib.contextmanager
    def cut(self, host: str, port: int, *, lost: float = 1.0) -> Iterator[None]:
        """For a while packets between a host and a port of the servers vanish, all of them or a share."""
        chance = [] if lost == 1.0 else ["-m", "statistic", "--mode", "random", "--probability", f"{lost}"]
        rules = (
            ["INPUT", "-s", self.address(host), "-p", "tcp", "--dport", f"{port}", *chance, "-j", "DROP"],
            ["OUTPUT", "-d", self.address(host), "-p", "tcp", "--sport", f"{port}", *chance, "-j", "DROP"],
        )
        with ExitStack() as stack:
            for rule in rules:
                _run(*self.on("servers"), "iptables", "-A", *rule)
                stack.callback(_run, *self.on("servers"), "iptables", "-D", *rule)
            yield

    @contextlib.contextmanager
    def unplugged(self, host: str) -> Iterator[None]:
        """For a while a host's cable is out."""
        device = f"to{PEERS[host]}"
        _run("ip", "-n", self.name("servers"), "link", "set", device, "down")
        try:
            yield
        finally:
            _run("ip", "-n", self.name("servers"), "link", "set", device, "up")
            # Whoever was sought in vain would be sought again after up to a second; so it is at once.
            _run("ip", "-n", self.name(host), "neigh", "flush", "dev", "up0")


class Apart(Place):
    """A place whose processes are on hosts of their own."""

    hosts: Hosts


@contextlib.contextmanager
def on_hosts(folder: Path, spec: Path) -> Iterator[Apart]:
    """Redis and moto's S3 server on one host; this thread is there, too, and can look into the store."""
    hosts = Hosts()
    with ExitStack() as stack:
        hosts.make()
        stack.callback(hosts.remove)
        stack.enter_context(hosts.inside("servers"))
        redis = stack.enter_context(support("redis_server").running_redis(folder, _PASSWORD, SERVERS))
        s3 = stack.enter_context(support("s3_server").running_s3(folder, SERVERS))
        stack.enter_context(in_environment(s3.environment()))
        place = Apart(folder, spec, s3.url, redis, s3)
        place.hosts = hosts
        stack.callback(place.end)
        yield place


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
