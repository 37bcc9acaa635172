"""What is peculiar to a store in a bucket; test_store.py has what all stores promise."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import multiprocessing
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.stub import ANY, Stubber

from services.errors import BadInput, Unavailable
from services.storage import open_store
from services.storage import s3 as s3_module
from services.storage.etag import PART_BYTES, agrees
from services.storage.s3 import S3Store
from services.storage.s3_client import make_client


@pytest.fixture
def store(s3_server) -> S3Store:
    return open_store(s3_server.url)


class Proxy:
    """Stands before the S3 server. strip: drop conditions from puts; lose: answers of puts to lose."""

    def __init__(self, port: int) -> None:
        self.strip = False
        self.lose = 0
        self.before_put = lambda: None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                if self.command == "PUT":
                    proxy.before_put()
                    if proxy.strip:
                        headers = {k: v for k, v in headers.items() if not k.lower().startswith("if-")}
                server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                server.request(self.command, self.path, body, headers)
                answer = server.getresponse()
                data = answer.read()
                if self.command == "PUT" and proxy.lose:
                    proxy.lose -= 1
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def proxy(s3_server, monkeypatch) -> Iterator[Proxy]:
    proxy = Proxy(s3_server.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    thread = threading.Thread(target=proxy.server.serve_forever, daemon=True)
    thread.start()
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()
    thread.join()


def test_a_server_that_ignores_conditions_is_refused(proxy, s3_server):
    open_store(s3_server.url, write=True)
    proxy.strip = True
    with pytest.raises(Unavailable, match=r"^store s3://masks/runs: http://[^\n]* does not keep to [^\n]*$"):
        open_store(s3_server.url, write=True)
    proxy.strip = False
    assert open_store(s3_server.url).list() == []


def test_a_write_whose_answer_was_lost_knows_itself(proxy, store):
    proxy.lose = 2
    assert store.create("scores/a", b"1")
    tag = store.read_tagged("scores/a")[1]
    proxy.lose = 1
    assert store.replace("scores/a", b"2", tag)
    assert store.get("scores/a") == b"2"
    assert not store.create("scores/a", b"3")


@pytest.mark.parametrize("first", [None, b"old"])
def test_equal_bytes_of_another_writer_are_not_taken_for_ones_own(
    proxy, store, s3_server, first, monkeypatch
):
    # The first try does not arrive, and meanwhile another coordinator writes the very same HEAD.
    tag = None
    if first is not None:
        store.put("HEAD", first)
        tag = store.read_tagged("HEAD")[1]

    def other_writes() -> None:
        proxy.before_put = lambda: None
        s3_server.client.put_object(Bucket="masks", Key="runs/HEAD", Body=b"owner 1")
        proxy.lose = 1

    proxy.before_put = other_writes
    assert not store.replace("HEAD", b"owner 1", tag)
    assert proxy.lose == 0


def test_threads_share_a_store(store):
    def work(me: int) -> tuple[int, int]:
        created = sum(store.create(f"scores/{i}", b"%d" % me) for i in range(6))
        done = 0
        while done < 3:
            found = store.read_tagged("HEAD")
            value, tag = (int(found[0]), found[1]) if found else (0, None)
            done += store.replace("HEAD", b"%d" % (value + 1), tag)
        return created, done

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(work, range(6)))
    assert sum(created for created, _ in results) == 6
    assert store.get("HEAD") == b"18"


def test_a_forked_child_goes_on_with_a_client_of_its_own(store):
    store.put("a", b"parent")

    def child(pipe) -> None:
        for i in range(5):
            store.put(f"child/{i}", store.get("a"))
        pipe.send("done")

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    for i in range(5):
        store.put(f"parent/{i}", store.get("a"))
    process.join(60)
    assert process.exitcode == 0
    assert ours.recv() == "done"
    assert len(store.list("child/")) == len(store.list("parent/")) == 5


def test_a_server_that_stands_still_is_waited_for(store, s3_server):
    client = make_client(read_timeout_s=0.5)
    store = S3Store("masks", "runs", client=lambda: client)
    store.put("HEAD", b"1")
    tag = store.read_tagged("HEAD")[1]
    s3_server.pause()
    timer = threading.Timer(2.5, s3_server.resume)
    timer.start()
    try:
        # Several tries of each write lie in the server's queue when it wakes up; one of them wins.
        assert store.replace("HEAD", b"2", tag)
        assert store.create("scores/a", b"1")
    finally:
        timer.join()
    assert store.get("HEAD") == b"2"


def test_patience_ends_with_one_clear_line(s3_server, monkeypatch, caplog):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    started = time.monotonic()
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(
            Unavailable, match=r"^cannot write s3://masks/runs/probe-\w+: http://127.0.0.1:9 [^\n]*$"
        ),
    ):
        open_store(s3_server.url, write=True, patience_s=2.0)
    assert time.monotonic() - started >= 1.9
    assert "start the server" in caplog.text
    assert "trying on for" in caplog.text


# moto cannot throttle or conflict: botocore's Stubber plays these answers, to try what each code leads to.
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SlowDown", 503),
        ("TooManyRequests", 429),
        ("InternalError", 500),
        ("RequestTimeout", 400),
        ("ConditionalRequestConflict", 409),
        ("OperationAborted", 409),
    ],
)
def test_passing_errors_are_tried_again(s3_server, code, status):
    client = make_client()
    store = S3Store("masks", "runs", client=lambda: client)
    put = {"Bucket": "masks", "Key": "runs/a", "Body": b"1", "Metadata": ANY, "IfNoneMatch": "*"}
    with Stubber(client) as stub:
        for _ in range(4):
            stub.add_client_error("put_object", code, http_status_code=status, expected_params=put)
        stub.add_response("put_object", {}, put)
        assert store.create("a", b"1")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("RequestTimeTooSkewed", 403, "clock is off"),
        ("ExpiredToken", 400, "sign in again"),
        ("InsufficientStorage", 507, "free some space"),
        ("NotImplemented", 501, "does not know this request"),
        ("PermanentRedirect", 301, "set AWS_DEFAULT_REGION"),
        ("SignatureDoesNotMatch", 403, "AWS_SHARED_CREDENTIALS_FILE"),
    ],
)
def test_lasting_errors_are_told_at_once(s3_server, code, status, text):
    client = make_client()
    store = S3Store("masks", "runs", client=lambda: client)
    with Stubber(client) as stub:
        stub.add_client_error("put_object", code, http_status_code=status)
        with pytest.raises(
            (BadInput, Unavailable), match=rf"^cannot write s3://masks/runs/a: [^\n]*{text}[^\n]*$"
        ):
            store.put("a", b"1")


def test_a_bucket_that_is_not_there(s3_server):
    for call in (
        lambda: open_store("s3://unmade/runs", write=True),
        lambda: open_store("s3://unmade/runs").get("run.toml"),
        lambda: open_store("s3://unmade").list(),
    ):
        with pytest.raises(BadInput, match=r"no bucket 'unmade' at http://[^\n]*aws s3 mb s3://unmade"):
            call()


def test_no_credentials_and_unknown_profile(s3_server, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Unavailable, match=r"no usable credentials [^\n]*AWS_SHARED_CREDENTIALS_FILE"):
        open_store(s3_server.url, write=True)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BadInput, match=r"nobody[^\n]*check AWS_PROFILE"):
        open_store(s3_server.url, write=True)


def test_a_credentials_file_and_who_may_only_read(s3_server, monkeypatch, tmp_path):
    store = open_store(s3_server.url)
    store.put("a", b"1")
    iam = boto3.session.Session().client(
        "iam",
        endpoint_url=s3_server.endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]

    def credentials(secret: str, access: str = key["AccessKeyId"]) -> None:
        path = tmp_path / hashlib.sha256(f"{access}{secret}".encode()).hexdigest()[:8]
        path.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    _check_signatures(s3_server, True)
    try:
        credentials(key["SecretAccessKey"])
        assert open_store(s3_server.url).get("a") == b"1"
        with pytest.raises(Unavailable, match=r"^cannot write [^\n]*AccessDenied[^\n]*s3:PutObject[^\n]*$"):
            open_store(s3_server.url, write=True)
        credentials("wrong")
        with pytest.raises(Unavailable, match=r"secret key does not fit"):
            open_store(s3_server.url).get("a")
        credentials("wrong", "AKIAIOSFODNN7EXAMPLE")
        with pytest.raises(Unavailable, match=r"nobody has this access key"):
            open_store(s3_server.url).get("a")
    finally:
        _check_signatures(s3_server, False)


PLAIN = {"Content-Type": "text/plain"}


def _check_signatures(s3_server, check: bool) -> None:
    request = urllib.request.Request(
        f"{s3_server.endpoint}/moto-api/reset-auth", data=b"0" if check else b"inf", headers=PLAIN
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def test_large_objects_travel_in_parts(store, s3_server, monkeypatch):
    data = hashlib.shake_256(b"film").digest(2 * PART_BYTES + 1000)
    store.put("film.webp", data)
    etag = store.entries()[0].etag
    assert etag.endswith('-3"')
    assert agrees(data, etag)
    assert not agrees(data[:-1] + b"x", etag)
    assert store.get("film.webp") == data
    # Replaced between two parts: the bytes are of one version.
    other = bytes(2 * PART_BYTES)
    read_parts = S3Store._read_parts
    versions = [other]

    def replaced(self, name, size, tag):
        if versions:
            s3_server.client.put_object(Bucket="masks", Key=name, Body=versions.pop())
        return read_parts(self, name, size, tag)

    monkeypatch.setattr(S3Store, "_read_parts", replaced)
    assert store.get("film.webp") == other


def test_pages_and_what_is_not_ours(store, s3_server, monkeypatch):
    monkeypatch.setattr(s3_module, "DELETE_AT_ONCE", 2)
    client = make_client()
    client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 2}
    )
    paged = S3Store("masks", "runs", client=lambda: client)
    for i in range(5):
        store.put(f"scores/{i}", b"")
    for foreign in ("runs/scores/", "runs/.hidden", "runs/a//b", "runsnot/a"):
        s3_server.client.put_object(Bucket="masks", Key=foreign, Body=b"")
    assert paged.list() == [f"scores/{i}" for i in range(5)]
    paged.delete_many(paged.list())
    assert store.list() == []


def test_sweep_ends_uploads_that_nobody_finishes(store, s3_server):
    s3_server.client.create_multipart_upload(Bucket="masks", Key="runs/film.webp")
    s3_server.client.create_multipart_upload(Bucket="masks", Key="other/film.webp")
    # moto says that every upload was begun in November 2010.
    assert store.sweep(100 * 365 * 86_400) == 0
    assert store.sweep() == 1
    assert store.sweep() == 0
