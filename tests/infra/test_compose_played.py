"""The services of docker-compose.yml, started as written there, bring a run to its end and show it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.wire.messages import REALIZE, SCORE
from tests.infra.conftest import RUN, Played, watched
from tests.support.compose import ROOT, program
from tests.support.needs import need

pytestmark = pytest.mark.slow  # real programs, started one after the other

DASHBOARD = ROOT / "infra" / "grafana" / "dashboards" / "datamask.json"
SERVICES = {"check", "redis", "s3", "bucket", "coordinator", "worker-cpu", "flower", "watch", "prometheus"}
# Grafana's server is in no registry that the tests reach; what we give it is checked below.
NOT_PLAYED = {"grafana"}
BROWSER = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--window-size=1500,1100", "--virtual-time-budget=8000"),
]
# How Flower names a message of one batch, and of several.
OF_A_GENERATION = re.compile(
    rf"run {RUN}, (island \d, generation \d+, batch \d/2|(?P<together>\d+) batches, generation \d+)"
)

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, login: str | None = None) -> tuple[int, str]:
    """Status and text of an address."""
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def flower(played: Played) -> str:
    return f"http://127.0.0.1:{played.stage.port('flower', 5555)}"


def tasks(played: Played) -> Mapping[str, Any]:
    status, text = ask(f"{flower(played)}/api/tasks", played.stage.secret("flower_users"))
    assert status == 200
    found: dict[str, Any] = json.loads(text)
    return found


def test_every_service_is_started(played: Played) -> None:
    assert set(played.stage.running) == SERVICES
    assert set(played.stage.model["services"]) == SERVICES | NOT_PLAYED
    ended = {name: p.poll() for name, p in played.stage.running.items() if p.poll() is not None}
    assert ended == {"check": 0, "bucket": 0, "coordinator": 0}, played.stage.log("coordinator")[-3000:]


def test_the_coordinator_had_no_torch(played: Played) -> None:
    """It brought the run to its end all the same."""
    look = [program("python"), "-c", "import torch"]
    for service, there in (("coordinator", False), ("flower", False), ("worker-cpu", True)):
        done = subprocess.run(
            look, env=played.stage.environment(service), capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is there, done.stderr
    assert played.code == 0


def test_whoever_is_up_is_healthy(played: Played) -> None:
    for service in SERVICES - {"check", "bucket", "coordinator"}:
        assert played.stage.healthy(service), service


def test_the_run_is_done_and_in_the_bucket(played: Played) -> None:
    done = subprocess.run(
        [program("python"), "-m", "coordinator.cli", "show", f"s3://datamask/runs/{RUN}", "--json"],
        env=played.stage.environment("coordinator"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"


def test_a_coordinator_that_is_started_again_has_nothing_to_do(played: Played) -> None:
    log = len(played.stage.log("coordinator"))
    played.stage.running.pop("coordinator")
    played.stage.up("coordinator")
    assert played.stage.wait_end("coordinator") == 0
    assert played.stage.log("coordinator")[log:] == f"s3://datamask/runs/{RUN}\n"


def test_a_wrong_spec_ends_the_coordinator_and_the_page_says_so(played: Played) -> None:
    code, (status, words) = played.refused
    assert (code, status) == (0, 503)
    assert "wrong.toml: no such spec file" in words
    status, words = watched(played.stage, "/data.json")
    assert "refusal" not in json.loads(words)


def test_the_page_is_watched_from_before_the_run_to_its_end(played: Played) -> None:
    """A worker made film and page; whoever has the token sees them."""
    status, words = played.early
    assert status == 503
    assert "not begun" in words
    status, words = watched(played.stage, "/data.json")
    facts = json.loads(words)
    assert (status, facts["run"], facts["state"]) == (200, RUN, "done")
    assert facts["film"]["data"]
    assert watched(played.stage)[0] == watched(played.stage, "/report.html")[0] == 200


def test_the_page_is_not_open_to_strangers(played: Played) -> None:
    for path in ("/", "/data.json", "/run.toml"):
        assert watched(played.stage, path, "not-the-word")[0] == 401, path


def test_flower_names_the_tasks(played: Played) -> None:
    found = [(task["name"], task["args"]) for task in tasks(played).values()]
    scored = [OF_A_GENERATION.search(words) for name, words in found if name == SCORE]
    # 2 islands, 2 generations, 2 batches each, some of them in one message, as the worker's processes leave
    # room; what a run ranks its elites by comes on top.
    assert sum(int(words["together"] or 1) for words in scored if words) == 8, sorted(found)
    realized = [words for name, words in found if name == REALIZE]
    for what in ("masks of generations 0 to ", "pictures and audits"):
        assert any(f"run {RUN}, {what}" in words for words in realized), sorted(found)


def test_flower_shows_nothing_without_a_password(played: Played) -> None:
    for path in ("/", "/tasks", "/workers", "/broker", "/api/tasks", "/api/workers"):
        assert ask(flower(played) + path)[0] == 401, path
        assert ask(flower(played) + path, "datamask:wrong")[0] == 401, path


def test_flower_gives_no_orders(played: Played) -> None:
    url = f"{flower(played)}/api/task/send-task/{SCORE}"
    login = base64.b64encode(played.stage.secret("flower_users").encode()).decode()
    request = urllib.request.Request(url, b'{"args": []}', {"Authorization": f"Basic {login}"}, method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opener.open(request, timeout=20)


def test_flowers_page_shows_the_tasks(played: Played, tmp_path: Path) -> None:
    """DATAMASK_SCREENSHOTS=folder keeps the picture, for whoever wants to look at it."""
    need("chromium")
    login = urllib.parse.quote(played.stage.secret("flower_users"), safe=":")
    url = f"http://{login}@{flower(played).removeprefix('http://')}/tasks"
    picture = Path(os.environ.get("DATAMASK_SCREENSHOTS", tmp_path)) / "flower.png"
    browser = [program("chromium"), *BROWSER, f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*browser, f"--screenshot={picture}", "--dump-dom", url],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert OF_A_GENERATION.search(done.stdout)
    assert SCORE in done.stdout
    assert picture.stat().st_size > 20_000


def test_strangers_reach_neither_queue_nor_bucket(played: Played) -> None:
    stage = played.stage
    port = stage.port("redis", 6379)
    ping = [program("redis-cli"), "-p", str(port), "ping"]
    assert "NOAUTH" in subprocess.run(ping, capture_output=True, text=True, check=False).stdout
    # Whoever has the password may ring, and not change what Redis is set to.
    admin = [
        program("redis-cli"),
        "--no-auth-warning",
        "-u",
        stage.secret("broker_url"),
        *("config", "set", "appendonly", "no"),
    ]
    assert "NOPERM" in subprocess.run(admin, capture_output=True, text=True, check=False).stdout
    assert ask(f"http://127.0.0.1:{stage.port('s3', 8333)}/datamask")[0] == 403


def expressions() -> dict[str, list[str]]:
    """Each panel's queries, with every run chosen."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {p["title"]: [t["expr"].replace("$run", ".*") for t in p["targets"]] for p in panels}


def test_every_panel_of_the_dashboard_has_something_to_show(played: Played) -> None:
    base = f"http://127.0.0.1:{played.stage.port('prometheus', 9090)}"
    now = time.time()
    for title, queries in expressions().items():
        for query in queries:
            words = urllib.parse.urlencode({"query": query, "start": now - 300, "end": now, "step": "1s"})
            status, text = ask(f"{base}/api/v1/query_range?{words}")
            assert status == 200, f"{title}: {text}"
            assert json.loads(text)["data"]["result"], f"{title}: nothing for {query}"
