"""The server of a growing run: the same page, newer facts, and nothing else of this machine."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.record.page_server import Newest, serve
from coordinator.record.record import Record
from services.errors import BadInput
from services.storage.open import open_store
from tests.support import runs

TOKEN = "ein-langes-wort"


@pytest.fixture
def served(tmp_path):
    """Start a server on a free port of loopback: call it with a token or None; gives an asker."""
    grown = runs.grow(tmp_path / "run", until=5)
    (tmp_path / "secret.png").write_bytes(b"not yours")
    started = []

    def start(token=None):
        server = serve(grown.record, "127.0.0.1", 0, token)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)

        def ask(path, method="GET", **headers):
            line = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
            line.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = line.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

        return grown, ask

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_it_serves_the_page_the_facts_and_the_files_of_the_record(served):
    grown, ask = served()
    status, headers, body = ask("/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert b"connect-src &#39;self&#39;" in body or b"connect-src 'self'" in body
    status, headers, body = ask("/data.json")
    facts = json.loads(body)
    assert (status, facts["state"], facts["generation"]) == (200, "growing", 5)
    assert [m["id"] for m in facts["masks"]] == [e.id for e in grown.elites]
    assert all(m["mesh"]["data"] for m in facts["masks"])
    assert ask("/data.json", If_None_Match=headers["ETag"])[0] == 304
    key = "evaluations/e00000.parquet"
    assert ask(f"/{key}")[2] == grown.record.store.get(key)
    assert ask(f"/{key}", method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.png",
        "/%2e%2e/secret.png",
        "/..%2fsecret.png",
        "//etc/passwd",
        "/evaluations/../run.toml",
        "/HEAD",
        "/beat.json",
        "/checkpoints/e00000/elites",
        "/.lock",
        "/evaluations",
        "/%00",
        "/\\..\\secret.png",
    ],
)
def test_nothing_but_what_the_record_names_can_be_had(served, path):
    _, ask = served()
    status, _, body = ask(path)
    assert status == 404
    assert b"not yours" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_only_reads(served, method):
    grown, ask = served()
    before = grown.record.store.list("")
    assert ask("/data.json", method=method)[0] == 501
    assert grown.record.store.list("") == before


def test_a_visitor_who_leaves_is_no_news_and_a_fault_is_one_line(tmp_path, capsys, caplog):
    server = serve(runs.grow(tmp_path / "run", until=2).record, "127.0.0.1", 0, None)
    for error in (BrokenPipeError(32, "Broken pipe"), ConnectionResetError(104, "reset")):
        try:
            raise error
        except OSError:
            server.handle_error(None, ("127.0.0.1", 1))
    assert caplog.messages == []
    try:
        raise ValueError("two\nlines")
    except ValueError:
        server.handle_error(None, ("127.0.0.1", 1))
    (line,) = caplog.messages
    assert re.fullmatch(r"a page could not be sent \(ValueError at test_watch\.py:\d+: two lines\)", line)
    assert capsys.readouterr().err == ""
    server.server_close()


def test_a_name_that_points_to_loopback_is_turned_away(served):
    _, ask = served()
    assert ask("/", Host="evil.example")[0] == 403
    assert ask("/", Host="localhost:80")[0] == 200


def test_a_run_that_has_not_begun_is_waited_for(tmp_path):
    store = open_store(tmp_path / "run", write=True)
    refusal = tmp_path / "refusal"
    server = serve(Record(store), "127.0.0.1", 0, TOKEN, refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(path, **headers):
        line = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
        line.request("GET", path, headers=headers)
        answer = line.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    visitor = {"Authorization": f"Bearer {TOKEN}"}
    try:
        assert ask("/healthz")[::2] == (200, b"up\n")
        assert ask("/")[0] == 401
        status, headers, body = ask("/", **visitor)
        assert (status, headers["Refresh"]) == (503, "10")
        assert body.startswith(b"This run has not begun yet.")
        refusal.write_text("datamask: /specs/dütze.toml: no such spec file\n")
        status, headers, body = ask("/", **visitor)
        assert (status, headers["Refresh"]) == (503, "10")
        assert "refused this run:\n\ndatamask: /specs/dütze.toml: no such spec file\n" in body.decode()
        assert ask("/")[0] == 401
        refusal.unlink()
        runs.grow(tmp_path / "run", until=0)
        status, _, body = ask("/data.json", **visitor)
        assert (status, json.loads(body)["masks"]) == (200, [])
        assert "refusal" not in json.loads(body)
        refusal.write_text("datamask: cannot resume with another spec\n")
        assert json.loads(ask("/data.json", **visitor)[2])["refusal"].endswith(
            "cannot resume with another spec"
        )
    finally:
        server.shutdown()
        server.server_close()


def test_the_command_takes_its_token_from_a_file(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text("kurz\n")
    monkeypatch.delenv("DATAMASK_WATCH_TOKEN", raising=False)
    monkeypatch.setenv("DATAMASK_WATCH_TOKEN_FILE", str(path))
    nowhere = [str(tmp_path / "none"), "--host", "0.0.0.0", "--port", "0"]
    words = CliRunner().invoke(app, ["watch", *nowhere, "--wait"]).exception
    assert "at least 8" in str(words)
    path.write_text("\n")
    assert "the file is empty" in str(CliRunner().invoke(app, ["watch", *nowhere, "--wait"]).exception)
    path.write_text(TOKEN)
    assert "run.toml is missing" in str(CliRunner().invoke(app, ["watch", *nowhere]).exception)


def test_a_token_opens_the_door_once_and_for_all(served):
    _, ask = served(TOKEN)
    for path in ("/", "/data.json", "/run.toml", "/?token=", "/?token=falsch-falsch", "/?token=%C3%A4"):
        assert ask(path)[0] == 401, path
    status, headers, _ = ask(f"/?token={TOKEN}")
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].split(";")[0]
    assert ask("/data.json", Cookie=cookie)[0] == 200
    assert ask("/data.json", Cookie="datamask=falsch")[0] == 401
    assert ask("/data.json", Authorization=f"Bearer {TOKEN}", Host="show.example")[0] == 200


def test_the_facts_grow_with_the_record(served):
    grown, ask = served()
    tag = ask("/data.json")[1]["ETag"]
    grown.record.take_over()
    grown.record.commit(0, {}, {}, done=True)
    grown.record.close()
    status, _, body = ask("/data.json", If_None_Match=tag)
    assert (status, json.loads(body)["state"]) == (200, "done")


def test_a_damaged_record_is_one_line(served):
    grown, ask = served()
    grown.record.store.put("evaluations/e00000.parquet", b"changed")
    status, _, body = ask("/")
    assert status == 503
    assert body.count(b"\n") == 1
    assert b"e00000" in body


@pytest.mark.parametrize(
    ("host", "token"), [("0.0.0.0", None), ("::", None), ("127.0.0.1", "kurz"), ("nowhere.invalid", TOKEN)]
)
def test_an_open_door_is_refused(tmp_path, host, token):
    grown = runs.grow(tmp_path / "run", until=0)
    with pytest.raises(BadInput, match=r"--token|--port"):
        serve(grown.record, host, 0, token)


def test_it_listens_on_an_address_of_version_six(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serve(runs.grow(tmp_path / "run", until=5).record, "::1", 0, None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert server.url.startswith("http://[::1]:")
        with urllib.request.urlopen(server.url + "healthz", timeout=30) as answer:
            assert answer.read() == b"up\n"
        with urllib.request.urlopen(server.url, timeout=30) as answer:
            assert answer.status == 200
        server.shutdown()


def test_a_run_in_a_bucket_is_the_same_page(tmp_path, s3_server):
    grown = runs.grow(tmp_path / "run", generations=5)
    bucket = open_store("s3://masks/runs/run")
    for key in grown.record.store.list(""):
        if key != "HEAD":
            bucket.put(key, grown.record.store.get(key))
    assert bucket.replace("HEAD", grown.record.store.get("HEAD"), None)
    told = [Newest(Record(store)).facts()[0] for store in (grown.record.store, bucket)]
    assert told[0] == told[1]
    assert told[1]["masks"]


def test_it_needs_no_torch():
    code = (
        "import sys, coordinator.record.page_server\n"
        "bad = {'torch', 'cv2', 'dlib', 'pyrender', 'av'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
