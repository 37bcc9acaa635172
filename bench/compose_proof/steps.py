"""The steps of the proof. Each says what it has seen, in words for the table, or what does not hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from bench.compose_proof.engine import Failed
from bench.compose_proof.stack import RUN, STORE, Stack
from bench.support import ROOT
from coordinator.record.record import Head, Record
from services.storage.open import open_store

DASHBOARD = ROOT / "infra" / "grafana" / "dashboards" / "datamask.json"
HEALTHY_S = 600.0  # a machine that does many things at once is slow to start Python
LOOPBACK = "127.0.0.1"
# Whatever could be written there would outlive the process, or be read by another one.
NOT_TO_BE_WRITTEN = ("/x", "/etc/x", "/usr/bin/x", "/opt/x", "/run/secrets/x")
LOOK = (
    "echo user $(id -u); grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status; "
    f"for file in {' '.join(NOT_TO_BE_WRITTEN)}; do (: >$file) 2>/dev/null && echo wrote $file; done; true"
)


def must(holds: bool, words: str) -> None:
    """:raises Failed: with the words, where it does not hold."""
    if not holds:
        raise Failed(words)


# -- while it is up


def healthy(stack: Stack) -> str:
    """Every service that has a health check passes it."""
    deadline = time.monotonic() + HEALTHY_S
    while True:
        states = {}
        for one in stack.containers():
            health = one["State"].get("Health")
            if health is not None and not (
                one["State"]["Status"] == "exited" and not one["State"]["ExitCode"]
            ):
                states[str(one["Name"]).removeprefix(f"/{stack.project}-")] = str(health["Status"])
        poor = {name: state for name, state in states.items() if state != "healthy"}
        if states and not poor:
            return f"{len(states)} containers: {', '.join(sorted(states))}"
        must(time.monotonic() < deadline, f"not healthy: {poor}")
        time.sleep(1.0)


def refused(stack: Stack) -> str:
    """Nobody is let in without a password or with a wrong one; no service starts without its secret."""
    ping = stack.inside("redis", "redis-cli", "ping").stdout
    must("NOAUTH" in ping, f"redis answers a stranger: {ping}")
    wrong = stack.inside(
        "redis", "redis-cli", "--no-auth-warning", "-u", "redis://datamask:no@127.0.0.1", "ping"
    )
    must("PONG" not in wrong.stdout, f"redis takes a wrong password: {wrong.stdout}")
    order = stack.inside(
        "redis", "sh", "-c", 'redis-cli --no-auth-warning -u "$(cat /run/secrets/broker_url)" config get dir'
    ).stdout
    must("NOPERM" in order, f"redis's settings are open: {order}")
    plain, _ = stack.ask("s3", "/datamask")
    wrong_key = s3_with_a_wrong_key(stack)
    must((plain, wrong_key) == (403, 403), f"s3 answers a stranger {plain}, a wrong key {wrong_key}")
    shut = {"flower": ["/", "/tasks", "/api/workers"], "watch": ["/", "/data.json"]}
    if "grafana" in stack.ports:
        shut["grafana"] = ["/api/dashboards/home"]
    for service, paths in shut.items():
        for path in paths:
            for login, token in (("", ""), ("datamask:no", ""), ("", "no")):
                told, _ = stack.ask(service, path, login, token)
                must(told == 401, f"{service} {path} answers a stranger {told}")
    flower, _ = stack.ask("flower", "/api/tasks", stack.secret("flower_users"))
    page, _ = stack.ask("watch", "/data.json", token=stack.secret("watch_token"))
    must(flower == 200 and page in (200, 503), f"the right words: flower {flower}, watch {page}")
    empty = stack.folder / "without"
    shutil.copytree(stack.folder / "secrets", empty, dirs_exist_ok=True)
    (empty / "redis_users").write_text("")
    other = Stack(
        stack.engine, stack.command, f"{stack.project}-without", stack.folder, stack.ports, stack.override
    )
    try:
        tried = other.compose("run", "--rm", "--no-deps", "--no-TTY", "check", secrets=empty)
    finally:
        other.down()
    said = tried.stdout + tried.stderr
    must(tried.returncode != 0 and "redis_users" in said, f"an empty secret is taken: {said[-300:]}")
    return f"redis, s3, {', '.join(shut)}: strangers and wrong passwords; an empty secret stops `up`"


def s3_with_a_wrong_key(stack: Stack) -> int:
    """The status with which the bucket answers the right user with another key."""
    client = boto3.client(
        "s3",
        endpoint_url=stack.bucket["AWS_ENDPOINT_URL_S3"],
        region_name=stack.bucket["AWS_DEFAULT_REGION"],
        aws_access_key_id="datamask",
        aws_secret_access_key="no",
    )
    try:
        client.head_bucket(Bucket="datamask")
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return 200


def locked(stack: Stack) -> str:
    """Every container as the file promises: asked of the engine, and from within."""
    containers = stack.containers()
    for one in containers:
        name, host = one["Name"], one["HostConfig"]
        must(host["ReadonlyRootfs"], f"{name}: its root can be written")
        must(host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{name}: capabilities")
        must(not host["Privileged"], f"{name}: privileged")
        must("no-new-privileges:true" in host["SecurityOpt"], f"{name}: new privileges")
        must(str(one["Config"]["User"]).partition(":")[0] not in ("", "0", "root"), f"{name}: root")
        for ports in (one["NetworkSettings"]["Ports"] or {}).values():
            for port in ports or ():
                must(port["HostIp"] == LOOPBACK, f"{name}: published at {port['HostIp']}")
    running = [one for one in containers if one["State"]["Running"]]
    for one in running:
        done = stack.engine.run("exec", str(one["Id"]), "sh", "-c", LOOK)
        told = dict(line.replace(":", " ").split(maxsplit=1) for line in done.stdout.splitlines())
        must(done.returncode == 0 and told.get("user", "0").strip() != "0", f"{one['Name']}: {done.stdout}")
        for what in ("CapEff", "CapBnd"):
            must(int(told[what], 16) == 0, f"{one['Name']}: {what} {told[what]}")
        must(told["NoNewPrivs"].strip() == "1", f"{one['Name']}: may get new privileges")
        must("wrote" not in told, f"{one['Name']} can write {told.get('wrote')}")
    return (
        f"{len(containers)} containers: read-only, no capabilities, no new privileges, no root, ports on "
        f"{LOOPBACK} only; tried from within in {len(running)}"
    )


# -- what breaks, and goes on


def after(stack: Stack, words: str) -> str:
    """Wait for the next checkpoint. :raises Failed: where there was none to come."""
    head = stack.head()
    must(not head.done, f"{words}; but the run had ended: more --generations")
    stack.wait_epoch(head.epoch + 1)
    return f"{words}; epoch {head.epoch}, and on"


def crash(stack: Stack, service: str) -> None:
    """SIGKILL to all that a container runs; what started it notices, as of a program that has crashed."""
    stack.inside(service, "sh", "-c", "kill -9 -1")


def worker_killed(stack: Stack) -> str:
    """One of the workers is killed."""
    crash(stack, "worker-cpu")
    again = stack.wait_running("worker-cpu", stack.workers, restarts=1)
    return after(stack, f"one of {stack.workers} killed, started again by the engine ({again})")


def redis_emptied(stack: Stack) -> str:
    """Redis's container and volume are removed."""
    for one in stack.containers("redis"):
        stack.engine.docker("rm", "--force", str(one["Id"]))
    stack.engine.docker("volume", "rm", f"{stack.project}_redis")
    time.sleep(3.0)
    stack.up("redis")
    return after(stack, "container and volume removed, up again with nothing in it")


def store_killed(stack: Stack) -> str:
    """The bucket's server is killed."""
    crash(stack, "s3")
    again = stack.wait_running("s3", 1, restarts=1)
    return after(stack, f"killed, started again by the engine ({again})")


def coordinator_killed(stack: Stack) -> str:
    """The coordinator is killed."""
    crash(stack, "coordinator")
    again = stack.wait_running("coordinator", 1, restarts=1)
    return after(stack, f"killed, started again by the engine ({again})")


def resumed(stack: Stack) -> str:
    """The coordinator is told to stop, and started anew."""
    before = stack.head().epoch
    stack.must("stop", "coordinator")
    code = stack.ended()
    stopped = stack.head().epoch
    time.sleep(2.0)
    must(stack.head().epoch == stopped, "a stopped run goes on")
    stack.up("coordinator")
    return after(stack, f"stopped after epoch {max(before, stopped)} (exit {code}), up again")


def scaled(stack: Stack) -> str:
    """One more worker joins while the run goes on."""
    must(not stack.head().done, "the run had ended: more --generations")
    stack.workers += 1
    stack.up()
    stack.wait_running("worker-cpu", stack.workers)
    newest = str(stack.containers("worker-cpu")[-1]["Id"])
    while (
        '"outcome": "scored"'
        not in stack.engine.run("logs", newest).stdout + stack.engine.run("logs", newest).stderr
    ):
        must(
            not stack.head().done and stack.ended() is None, "the run ended before the new worker had scored"
        )
        time.sleep(1.0)
    return f"{stack.workers - 1} workers to {stack.workers}; the new one has scored"


# -- at the end


def done(stack: Stack) -> str:
    """The run is at its end, and the page shows it."""
    code = stack.wait_end()
    must(code == 0, f"the coordinator ended with {code}: {stack.logs('coordinator')[-1500:]}")
    shown = stack.inside("watch", "datamask", "show", f"{STORE}/{RUN}", "--json")
    must(shown.returncode == 0, shown.stderr[-500:])
    must(json.loads(shown.stdout)["state"] == "done", shown.stdout[:300])
    status, text = stack.ask("watch", "/data.json", token=stack.secret("watch_token"))
    must(status == 200, f"the page answers {status}")
    facts = json.loads(text)
    film = bool((facts.get("film") or {}).get("data"))
    must(facts["state"] == "done" and film, f"the page: state {facts['state']}, film {film}")
    _, text = stack.ask("flower", "/api/tasks", stack.secret("flower_users"))
    tasks: dict[str, Any] = json.loads(text)
    must(any(f"run {RUN}" in str(task["args"]) for task in tasks.values()), "Flower names no task of the run")
    return f"epoch {stack.head().epoch}, film on the page, {len(tasks)} tasks named in Flower"


def dashboard(stack: Stack, began: float) -> str:
    """Every query of every panel returns series. began: seconds since the epoch."""
    queries = 0
    panels = json.loads(DASHBOARD.read_text())["panels"]
    for panel in panels:
        for target in panel["targets"]:
            words = {
                "query": target["expr"].replace("$run", ".*"),
                "start": began,
                "end": time.time(),
                "step": "5s",
            }
            url = f"http://127.0.0.1:9090/api/v1/query_range?{urllib.parse.urlencode(words)}"
            told = stack.inside("prometheus", "wget", "-q", "-O", "-", url)
            must(told.returncode == 0, f"{panel['title']}: {told.stderr[-300:]}")
            must(
                bool(json.loads(told.stdout)["data"]["result"]),
                f"{panel['title']}: nothing for {target['expr']}",
            )
            queries += 1
    if "grafana" in stack.ports:
        code, _ = stack.ask("grafana", "/api/search", f"admin:{stack.secret('grafana_password')}")
        must(code == 200, f"Grafana answers {code}")
    return f"{queries} queries of {len(panels)} panels, by Prometheus: each returns series"


def pulled(stack: Stack, into: Path) -> str:
    """The run is pulled to this machine, and a second pull finds nothing to do."""
    command = [sys.executable, "-m", "coordinator.cli", "pull", f"{STORE}/{RUN}", str(into / RUN)]
    for _ in range(2):
        tried = subprocess.run(
            command, env={**os.environ, **stack.bucket}, cwd=ROOT, capture_output=True, text=True, check=False
        )
        must(tried.returncode == 0, tried.stderr[-500:])
    files = [path for path in (into / RUN).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return f"{len(files)} files, {size / 1e6:.0f} MB, each against its hash"


def same(spec: Path, folder: Path) -> str:
    """What was pulled has the bytes of a run that this machine makes by itself."""
    evolved(spec, folder / "local")
    return compared(folder / "local", folder / "pulled")


def evolved(spec: Path, store: Path) -> None:
    """The run of a spec, made here without pictures."""
    command = [sys.executable, "-m", "coordinator.cli", "evolve", str(spec), "--store", str(store)]
    tried = subprocess.run(
        [*command, "--run", RUN, "--no-pictures", "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    must(tried.returncode == 0, tried.stderr[-500:])


def compared(one: Path, other: Path) -> str:
    """How much of two stores' run is the same. :raises Failed: where it is not all."""
    ours, theirs = _head(one), _head(other)
    must(ours.epoch == theirs.epoch, f"epoch {theirs.epoch}, not {ours.epoch}")
    for known, found in ((ours.parts, theirs.parts), (ours.evaluations, theirs.evaluations)):
        differ = [key for key in sorted({*known, *found}) if known.get(key) != found.get(key)]
        must(not differ, f"{len(differ)} differ, the first {differ[:1]}")
    return f"{len(ours.parts)} parts of the checkpoint and {len(ours.evaluations)} files of evaluations"


def _head(folder: Path) -> Head:
    return Record(open_store(str(folder)).sub(RUN)).head()
