"""The broker's URL: both libraries read one thing in it, and nothing of a password is ever shown."""

from __future__ import annotations

import contextlib
import io
import logging
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.url import parse_url as as_kombu_reads_it
from redis.connection import parse_url as as_redis_reads_it

from coordinator.cli import main
from coordinator.cli.doctor import check_redis
from coordinator.queue import celery_executor
from services import logs
from services.errors import BadInput
from services.wire.bells import connect
from services.wire.broker_url import check_broker, redacted, scrubbed

PIECES = ("zqxwjk", "vkbpfy", "hwmgdz")  # no message has these by chance


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("redis://127.0.0.1", "redis://127.0.0.1:6379/0"),
        (" redis://redis:6380/3\n", "redis://redis:6380/3"),
        ("REDIS://Redis/", "redis://redis:6379/0"),
        ("redis://:secret@host", "redis://:secret@host:6379/0"),
        ("redis://me:a@b;c d@host:1/2", "redis://me:a%40b%3Bc%20d@host:1/2"),
        ("redis://:100%@[::1]:1/2", "redis://:100%25@[::1]:1/2"),
        ("rediss://host", "rediss://host:6379/0?ssl_cert_reqs=required"),
        (
            "rediss://host/1?ssl_check_hostname=false&ssl_cert_reqs=optional",
            "rediss://host:6379/1?ssl_cert_reqs=optional&ssl_check_hostname=false",
        ),
    ],
)
def test_what_is_taken(url: str, canonical: str) -> None:
    assert check_broker(url) == canonical
    assert check_broker(canonical) == canonical


@pytest.mark.parametrize(
    ("url", "shown", "reason"),
    [
        ("", "***", "does not begin with redis://"),
        ("zqxwjk", "***", "does not begin with redis://"),
        ("127.0.0.1:6379", "***", "does not begin with redis://"),
        ("me:zqxwjk@host", "***@host", "does not begin with redis://"),
        ("amqp://me:zqxwjk@host:1/x", "amqp://***", "does not begin with redis://"),
        ("redis://me:zqxwjk/vkbpfy@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://me:123/vkbpfy@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://:zqxwjk#vkbpfy@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://:zqxwjk#vkb@pfy@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://:zqxwjk?vkbpfy@host:1/0", "redis://***", "cannot be told apart"),
        ("redis://:zqxwjk[vkbpfy@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://:zqxwjk%ff@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://:zqxwjk\uff20vkbpfy@host:1/0", "redis://***@host:1/0", "cannot be told apart"),
        ("redis://:zqx\nwjk@host", "redis://***@host", "control character"),
        ("redis://:zqxwjk:host:6379/0", "redis://***", "port"),
        ("redis://:zqxwjk@host:99999", "redis://***@host:99999", "port"),
        ("redis://:zqxwjk@host:port", "redis://***", "port"),
        ("redis://:zqxwjk@host:0", "redis://***@host:0", "port"),
        ("redis://:zqxwjk@/0", "redis://***", "host"),
        ("redis://:zqxwjk@a..b/0", "redis://***@a..b/0", "host"),
        ("redis://:zqxwjk@a b/0", "redis://***", "host"),
        (f"redis://:zqxwjk@{'a' * 64}/0", f"redis://***@{'a' * 64}/0", "host"),
        ("redis://:zqxwjk@host/zero", "redis://***", "database"),
        ("redis://:zqxwjk@host/-1", "redis://***", "database"),
        ("redis://:zqxwjk@host/0/", "redis://***", "database"),
        ("redis://host/0?password=zqxwjk", "redis://host/0", "after a ?"),
        ("redis://host/0?password=zqx@wjk", "redis://***", "cannot be told apart"),
        ("redis://:zqxwjk@host/0?socket_timeout=abc", "redis://***@host/0", "after a ?"),
        ("redis://:zqxwjk@host/0?ssl_cert_reqs=none", "redis://***@host/0", "rediss://"),
        ("rediss://:zqxwjk@host?ssl_cert_reqs=vkbpfy", "rediss://***@host", "none or optional or required"),
        ("rediss://:zqxwjk@host?ssl_check_hostname=1", "rediss://***@host", "true or false"),
        ("rediss://:zqxwjk@host?ssl_ca_certs=/no/such", "rediss://***@host", "No such file"),
        ("rediss://:zqxwjk@host?ssl_ca_certs=/etc/hostname", "rediss://***@host", "PEM"),
        ("rediss://:zqxwjk@host?ssl_keyfile=a%00b", "rediss://***@host", "PEM"),
        ("rediss://:zqxwjk@host?credential_provider=os.system", "rediss://***@host", "after a ?"),
    ],
)
def test_what_is_refused_and_what_is_shown_of_it(url: str, shown: str, reason: str) -> None:
    assert redacted(url) == shown
    with pytest.raises(BadInput) as refused:
        check_broker(url)
    text = str(refused.value)
    assert text.startswith(f"broker {shown}: ")
    assert reason in text
    assert text.isprintable()
    assert not any(piece in text for piece in PIECES)
    if reason == "cannot be told apart":
        assert "/ as %2F, # as %23, ? as %3F, @ as %40" in text


USERS = st.text(max_size=6) | st.just("")
PASSWORDS = st.lists(
    st.sampled_from(PIECES) | st.sampled_from([*"/#?@[]%:;=&+ \\\n\té\uff0f", "%23", "%ff"]), min_size=1
)
REST = st.sampled_from(
    [
        *("@127.0.0.1:9/0", "@127.0.0.1:9", "@127.0.0.1:9/x", "@127.0.0.1:0/0", "@:9/0", "@127.0.0.1:9/99"),
        *("@127.0.0.1:9/0?socket_timeout=abc", "@127.0.0.1:9/0?ssl_cert_reqs=bogus", "@127.0.0.1:9/0#", "@"),
    ]
)
URLS = st.builds(
    lambda scheme, user, password, rest: f"{scheme}{user}:{''.join(password)}{rest}",
    *(st.sampled_from(["redis://", "rediss://", "amqp://", "redis:/", "redis:", "http://", ""]), USERS),
    *(PASSWORDS, REST),
)


def pieces_in(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


@pytest.mark.fuzz
@given(url=URLS | st.text(max_size=40))
def test_nothing_of_a_password_is_shown(url: str) -> None:
    assert not pieces_in(redacted(url))
    assert redacted(url).isprintable()
    try:
        checked = check_broker(url)
    except BadInput as error:
        told = str(error)
    else:
        assert check_broker(checked) == checked
        assert redacted(checked).isprintable()
        told = scrubbed(f"they say: {checked} and {url}", checked) if not pieces_in(url) else ""
    assert not pieces_in(told)
    assert told.isprintable()


@pytest.mark.fuzz
@given(user=st.text(max_size=8), password=st.text(max_size=12), database=st.integers(0, 15))
def test_encoded_as_the_message_says_any_password_arrives_in_both_libraries(
    user: str, password: str, database: int
) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    url = check_broker(f"redis://{login}127.0.0.1:7/{database}")
    one, other = as_redis_reads_it(url), as_kombu_reads_it(url)
    assert (one.get("username", ""), one.get("password", "")) == (user, password)
    assert (other["userid"] or "", other["password"] or "") == (user, password)
    assert (one["host"], one["port"], one["db"]) == ("127.0.0.1", 7, database)
    assert (other["hostname"], other["port"], other["virtual_host"]) == ("127.0.0.1", 7, str(database))


@contextlib.contextmanager
def bare() -> Iterator[Path]:
    """No broker named by the environment, a folder with a spec to work in, and no patience with Redis."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.delenv("DATAMASK_BROKER", raising=False)
        patch.delenv("DATAMASK_BROKER_FILE", raising=False)
        patch.setattr(celery_executor, "PATIENCE_S", 0.0)
        patch.chdir(folder)
        Path("spec.toml").write_text('[[objective]]\nkind = "detect"\nmodel = "dlib-hog"\n')
        yield Path(folder)


def evolve_on(url: str) -> tuple[int, str]:
    """Exit code of evolve on a broker, and everything that it writes."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logging.getLogger().addHandler(handler)
    words = ["datamask", "evolve", "spec.toml", "--executor", "celery", f"--broker={url}"]
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as end:
                main()
    finally:
        logging.getLogger().removeHandler(handler)
    return int(end.value.code or 0), out.getvalue()


@pytest.mark.fuzz
@given(url=URLS)
def test_a_broker_of_no_use_is_one_line_and_leaves_nothing(url: str) -> None:
    with bare() as folder:
        code, text = evolve_on(url)
        assert code in (1, 2), text
        assert len([line for line in text.splitlines() if line.startswith("datamask: ")]) == 1
        assert "Traceback" not in text
        assert not pieces_in(text)
        check = check_redis(url)
        assert check.state == "missing"
        assert not pieces_in(check.found + check.mend)
        assert [path.name for path in folder.iterdir()] == ["spec.toml"]


@pytest.fixture
def repeating_server() -> Iterator[int]:
    """The port of a server that refuses every command and repeats it, as old ones do with HELLO and AUTH."""

    class Repeat(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(65_536):
                words = b" ".join(word for word in data.split() if word[:1] not in b"*$")
                self.request.sendall(b"-ERR unknown command, with args beginning with: " + words + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Repeat) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_what_a_server_repeats_is_repeated_without_the_password(repeating_server: int) -> None:
    url = f"redis://:zqxwjk%2Fvkbpfy@127.0.0.1:{repeating_server}/0"
    with bare() as folder:
        code, text = evolve_on(url)
        assert [path.name for path in folder.iterdir()] == ["spec.toml"]
    found = check_redis(url).found
    assert code == 1
    for words in (text, found):
        assert "args beginning with" in words
        assert "***" in words.partition("args beginning with")[2]
        assert not pieces_in(words)


def test_logs_hide_the_passwords_that_this_process_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_hidden", set())
    connect("redis://:zqxwjk%2F%22vkbpfy@127.0.0.1:9/0").close()
    words = ('AUTH zqxwjk/"vkbpfy',)
    record = logging.LogRecord("celery", logging.ERROR, "", 0, "cannot connect: %s", words, None)
    for formatter in (logs.TextFormatter("%(message)s"), logs.JsonFormatter()):
        line = formatter.format(record)
        assert "AUTH ***" in line
        assert not pieces_in(line)
