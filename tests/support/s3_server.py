"""A real S3 server (moto's) in a process of its own on a free loopback port; it ends with its test.

`pause` and `resume` stage an outage: the process stands still and answers nobody, and nothing is lost. `stop`
loses everything, for moto keeps its objects in memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.ports import free_port

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

BUCKET = "masks"
START_S = 60.0


class S3Server:
    """One server. log: a file for what it says."""

    def __init__(self, log: Path, host: str = "127.0.0.1") -> None:
        self._log, self._host = log, host
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """For AWS_ENDPOINT_URL_S3."""
        return f"http://{self._host}:{self.port}"

    @property
    def url(self) -> str:
        """A store in the bucket that every server starts with: for --store."""
        return f"s3://{BUCKET}/runs"

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to find this server and no other."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"127.0.0.1,localhost,{self._host}",
        }

    @cached_property
    def client(self) -> S3Client:
        """A plain client, to look behind a store's back."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def start(self, **environment: str) -> None:
        """Start, wait until it answers and make the bucket. environment: more variables for moto."""
        program = Path(__file__).with_name("s3_process.py")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(program), "-H", self._host, "-p", str(self.port)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment(), **environment},
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"moto's S3 server did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)
        self.client.create_bucket(Bucket=BUCKET)

    def pause(self) -> None:
        """Stand still, as a host does that swaps or whose network is cut; connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on where it stood still."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it: its objects are gone, and connections are refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def clear(self) -> None:
        """Remove every object."""
        client = self.client
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
            if keys:
                client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys})

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the S3 server is not running")
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/data.json", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def running_s3(folder: Path, host: str = "127.0.0.1", **environment: str) -> Iterator[S3Server]:
    """A server with an empty bucket, for as long as the context lasts."""
    server = S3Server(folder / "s3.log", host)
    server.start(**environment)
    try:
        yield server
    finally:
        server.stop()
