"""Prometheus' and Grafana's files, the images' requirements, and the script that makes the bucket."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.markers import Environment, default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.support.compose import ROOT, program
from tests.support.needs import need
from tests.support.s3_server import S3Server, running_s3

GRAFANA = ROOT / "infra" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "datamask.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
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


def module(name: str) -> ModuleType:
    """A script of infra/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "infra" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded


def under(python: str) -> Environment:
    """The marker variables of another Python on this machine."""
    short = ".".join(python.split(".")[:2])
    return {
        **default_environment(),
        "python_full_version": python,
        "python_version": short,
        "implementation_version": python,
    }


def closure(lines: list[str], python: str) -> list[Requirement]:
    """All that pip would install for the requirements under a Python, as the installed packages tell."""
    wanted = [Requirement(line) for line in lines]
    wanted = [w for w in wanted if w.marker is None or w.marker.evaluate(under(python))]
    return [needed for needed, _ in module("complete").closure(wanted, under(python))]


def names(lines: list[str]) -> set[str]:
    here = platform.python_version()
    return {canonicalize_name(needed.name) for needed in closure(lines, here)}


def locked(python: str) -> dict[str, str]:
    """Version by package that requirements.lock names for a Python."""
    found = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(under(python)):
            (only,) = pin.specifier
            assert only.operator == "=="
            found[canonicalize_name(pin.name)] = only.version
    return found


def of_project(*extras: str) -> list[str]:
    """What pyproject.toml requires, with extras."""
    found: list[str] = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        found += PROJECT["project"]["optional-dependencies"][extra]
    return found


# Below 3.11.3 redis needs async-timeout: Debian 12's Python is 3.11.2.
@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.11.9", "3.12.1", "3.13.0", "3.14.0"])
@pytest.mark.parametrize("who", ["coordinator", "flower", "worker", "make setup"])
def test_every_version_is_locked_under_every_python(who: str, python: str) -> None:
    lines = of_project("dev", "flower") if who == "make setup" else requirements(who)
    lock = locked(python)
    needed = closure(lines, python)
    assert {"celery", "redis"} <= {n.name for n in needed}
    assert ("async-timeout" in {n.name for n in needed}) == (python in ("3.11.0", "3.11.2"))
    for requirement in needed:
        name = canonicalize_name(requirement.name)
        assert name in lock, f"requirements.lock lacks {requirement} under Python {python}"
        assert requirement.specifier.contains(lock[name], prereleases=True), requirement


def test_the_lock_speaks_of_the_pythons_that_the_project_supports() -> None:
    oldest, newest = SpecifierSet(PROJECT["project"]["requires-python"])
    bounds = {b.operator: b.version for b in (oldest, newest)}
    (environment,) = PROJECT["tool"]["uv"]["environments"]
    assert f"python_version < '{bounds['<']}'" in environment
    assert f"--python-version {bounds['>=']} " in (ROOT / "infra" / "lock.sh").read_text()


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 10, 13), 0), ((3, 11, 0), 1), ((3, 14, 9), 1), ((3, 15, 0), 0)]
)
def test_a_python_that_is_too_old_or_too_new_is_refused(
    version: tuple[int, int, int],
    fits: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supported = module("supported")
    monkeypatch.setattr(sys, "version_info", version)
    assert supported.main() == 1 - fits
    said = capsys.readouterr().err
    assert said.count("\n") == 1 - fits
    assert fits or "needs Python 3.11 to 3.14" in said


def test_torch_is_locked_without_what_only_some_builds_of_it_need() -> None:
    (told,) = PROJECT["tool"]["uv"]["dependency-metadata"]
    assert told["version"] == locked("3.11.2")["torch"]
    assert metadata.version("torch").partition("+")[0] == told["version"]
    real = [Requirement(line) for line in metadata.requires("torch") or ()]
    everywhere = [r for r in real if r.marker is None or "extra" not in str(r.marker)]
    cuda = ("nvidia", "cuda", "triton")
    assert {str(r) for r in everywhere if not r.name.startswith(cuda)} == {
        str(Requirement(line)) for line in told["requires-dist"]
    }
    assert not [name for name in locked("3.11.2") if name.startswith(cuda)]


def test_contenders_do_not_pin_what_the_lock_pins() -> None:
    lines = (ROOT / "infra" / "contenders.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines if not line.startswith("#")}
    assert "pymoo" in pinned
    assert not pinned & set(locked("3.11.2"))


def test_what_is_installed_is_complete() -> None:
    complete = module("complete")
    assert list(complete.faults_of([Requirement(line) for line in of_project("dev", "flower")])) == []


def test_a_package_that_lacks_or_does_not_fit_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    complete = module("complete")
    wanted = [Requirement("no-such-package>=1"), Requirement("numpy<1"), Requirement("opencv-python")]
    faults = list(complete.faults_of(wanted))
    assert len(faults) == 2
    assert "no-such-package>=1, which is not installed" in " ".join(faults)
    assert f"numpy<1, and {metadata.version('numpy')} is installed" in " ".join(faults)
    assert complete.main(["dev"]) == 0
    assert capsys.readouterr().err == ""


def test_the_coordinator_has_no_torch() -> None:
    assert not names(requirements("coordinator")) & PIXELS
    assert "flower" not in names(requirements("coordinator"))
    assert "flower" in names(requirements("flower"))
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
    bare_install = module("bare_install")
    known = {"FROM", "RUN", "ENV", "ARG", "WORKDIR", "USER", "COPY", "CMD"}
    for dockerfile in (ROOT / "infra").glob("*.Dockerfile"):
        steps = list(bare_install.instructions(dockerfile.read_text()))
        assert {word for word, _ in steps} <= known
        assert not [rest for _, rest in steps if "\\\n" in rest or rest.startswith("#")]
        stages = [rest.partition(" AS ")[2] for word, rest in steps if word == "FROM"]
        assert set(stages) & set(bare_install.TRIALS)


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
