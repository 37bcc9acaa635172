"""Prometheus' and Grafana's files, the images' requirements, and the script that makes the bucket."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.compose import ROOT, program
from tests.support.needs import need
from tests.support.s3_server import S3Server, running_s3

GRAFANA = ROOT / "infra" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "datamask.json").read_text())
PIXELS = {"torch", "opencv-python-headless", "pyrender"}


# -- Prometheus and Grafana


def test_promtool_accepts_the_configuration() -> None:
    need("promtool")
    path = ROOT / "infra" / "prometheus" / "prometheus.yml"
    done = subprocess.run(
        [program("promtool"), "check", "config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for hosts in path.parent.glob("hosts/*.yml"):
        assert isinstance(yaml.safe_load(hosts.read_text()), list)


def test_panels_do_not_overlap_and_have_names_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({p["id"] for p in panels}) == len({p["title"] for p in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["description"]
    for one, other in combinations((p["gridPos"] for p in panels), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    targets = [t for p in DASHBOARD["panels"] for t in (p, *p["targets"])]
    assert {t["datasource"]["uid"] for t in targets} == {source["uid"]}
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "datamask.yml").read_text())[
        "providers"
    ]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    assert f"./infra/grafana/dashboards:{provider['options']['path']}:ro" in compose["volumes"]
    home = compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home) == Path(provider["options"]["path"], "datamask.json")


def test_the_dashboard_shows_what_was_asked_for() -> None:
    titles = {p["title"] for p in DASHBOARD["panels"]}
    assert {"Best fitness of each island", "Views per second of each worker", "Queue depth"} <= titles
    queries = " ".join(t["expr"] for p in DASHBOARD["panels"] for t in p["targets"])
    assert "datamask_batches_reissued_total" in queries


# -- images


def requirements(image: str) -> list[str]:
    script = ROOT / "infra" / "image_requirements.py"
    done = subprocess.run([sys.executable, str(script), image], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def closure(lines: list[str]) -> set[str]:
    """Names of all that pip would install for the requirements, as the installed versions tell."""
    found: set[str] = set()
    todo = [Requirement(line) for line in lines]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            marks = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(mark) for mark in marks):
                todo.append(needed)
    return found


@pytest.mark.parametrize("image", ["coordinator", "flower", "worker"])
def test_every_version_in_an_image_is_locked(image: str) -> None:
    lock = (ROOT / "requirements.lock").read_text().split()
    locked = {canonicalize_name(line.partition("==")[0]) for line in lock}
    wanted = closure([line for line in requirements(image) if not line.startswith("torch")])
    assert wanted <= locked
    assert "celery" in wanted


def test_the_coordinator_has_no_torch() -> None:
    assert not closure(requirements("coordinator")) & PIXELS
    assert "flower" not in closure(requirements("coordinator"))
    assert "flower" in closure(requirements("flower"))
    assert {Requirement(line).name for line in requirements("worker")} > PIXELS


def test_what_the_dockerfiles_copy_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    for dockerfile in (ROOT / "infra").glob("*.Dockerfile"):
        for words in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE):
            for name in words.split():
                assert name in allowed
                assert (ROOT / name).exists()
    assert "*" in ignored


def test_the_bare_install_knows_every_instruction() -> None:
    """infra/bare_install.py is not run here: it takes minutes and fills a Debian root."""
    spec = importlib.util.spec_from_file_location("bare_install", ROOT / "infra" / "bare_install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bare_install"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    known = {"FROM", "RUN", "ENV", "ARG", "WORKDIR", "USER", "COPY", "CMD"}
    for dockerfile in (ROOT / "infra").glob("*.Dockerfile"):
        steps = list(module.instructions(dockerfile.read_text()))
        assert {word for word, _ in steps} <= known
        assert not [rest for _, rest in steps if "\\\n" in rest or rest.startswith("#")]
        stages = [rest.partition(" AS ")[2] for word, rest in steps if word == "FROM"]
        assert set(stages) & set(module.TRIALS)


def test_mesa_has_a_place_for_its_shaders(tmp_path: Path) -> None:
    """A worker's only disk is /tmp; without a place Mesa warns in every child's log."""
    text = (ROOT / "infra" / "worker.Dockerfile").read_text()
    (variable, place), *_ = re.findall(r"(XDG_CACHE_HOME)=(\S+)", text)
    assert place.startswith("/tmp/")
    draw = "from services.rendering.opengl import available; import sys; sys.exit(available())"

    def drawn(cache: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), variable: cache}
        words = [sys.executable, "-c", draw]
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    nowhere = drawn("/proc/none")
    if "OpenGL without a display is missing" in nowhere.stderr or "shader cache" not in nowhere.stderr:
        pytest.skip("no Mesa here")
    done = drawn(str(tmp_path / place.strip("/").replace("/", "-")))
    assert (done.returncode, done.stderr) == (0, "")


# -- the bucket


def make_bucket(server: S3Server, store: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "infra" / "make_bucket.py")],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **server.environment(),
            "DATAMASK_STORE": store,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_bucket_is_made_once(tmp_path: Path) -> None:
    with running_s3(tmp_path) as server:
        done = make_bucket(server, "s3://quite-new/runs")
        assert (done.returncode, done.stdout) == (0, "bucket quite-new: made\n")
        names = [b["Name"] for b in server.client.list_buckets()["Buckets"]]
        assert "quite-new" in names
        again = make_bucket(server, "s3://quite-new/runs")
        assert (again.returncode, again.stdout) == (0, "bucket quite-new: there\n")
        for store in ("", "/tmp/runs", "s3:///runs"):
            refused = make_bucket(server, store)
            assert refused.returncode == 2
            assert "expected s3://BUCKET/PREFIX" in refused.stderr


def test_wrong_credentials_are_told_in_one_line(tmp_path: Path) -> None:
    # moto lets the first calls pass unchecked: one, which the server's own fixture makes.
    with running_s3(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="1") as server:
        done = make_bucket(server, "s3://quite-new/runs")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "check the endpoint and the credentials" in done.stderr
