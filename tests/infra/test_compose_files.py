"""What the compose files promise, read as Docker Compose itself reads them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.wire.app import HARD_LIMIT_S
from tests.support.compose import ROOT, program, resolved
from tests.support.needs import need

MAIN = "docker-compose.yml"
TLS = "infra/docker-compose.tls.yml"
WORKER = "infra/docker-compose.worker.yml"
PROFILES = ("cpu", "gpu")
ADDRESS = {"DATAMASK_ADDRESS": "192.0.2.10"}
# End by themselves, and whoever waits for them waits for their exit codes.
WITHOUT_HEALTH_CHECK = {"bucket", "check"}
GUARD = ["sh", "/opt/datamask/infra/guard.sh", "/run/secrets"]
FILES = {"main": (MAIN,), "tls": (MAIN, TLS), "worker": (WORKER,)}


@pytest.fixture(scope="module", params=FILES)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    need("docker-compose")
    return resolved(*FILES[request.param], profiles=PROFILES, environment=ADDRESS)


def services(model: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from model["services"].items()


def test_every_image_is_pinned_by_its_version(model: dict[str, Any]) -> None:
    for name, service in services(model):
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?", service["image"]), name


def test_ports_are_on_loopback_but_for_those_with_tls(model: dict[str, Any]) -> None:
    for name, service in services(model):
        for port in service.get("ports", ()):
            tls = port["target"] in (6380, 8334)
            assert port["host_ip"] == (ADDRESS["DATAMASK_ADDRESS"] if tls else "127.0.0.1"), name


def test_every_secret_is_a_file_that_git_does_not_keep(model: dict[str, Any]) -> None:
    used = {s["source"] for _, service in services(model) for s in service.get("secrets", ())}
    assert used == set(model["secrets"])
    for secret in model["secrets"].values():
        path = Path(secret["file"])
        assert path.parent == ROOT / "infra" / "secrets"
        git = ["git", "-C", str(ROOT), "check-ignore", "--quiet", str(path)]
        assert subprocess.run(git, check=False).returncode == 0


def test_a_second_stack_has_ports_and_passwords_of_its_own() -> None:
    need("docker-compose")
    ports = {"s3": "18333", "flower": "15555", "watch": "18300", "grafana": "13000"}
    words = {f"DATAMASK_{service.upper()}_PORT": port for service, port in ports.items()}
    other = {**words, **ADDRESS, "DATAMASK_SECRETS": "/other/secrets", "COMPOSE_PROJECT_NAME": "second"}
    model = resolved(MAIN, TLS, profiles=PROFILES, environment=other)
    assert model["name"] == "second"
    assert {Path(secret["file"]).parent for secret in model["secrets"].values()} == {Path("/other/secrets")}
    found = {
        name: port["published"]
        for name, service in services(model)
        for port in service.get("ports", ())
        if port["host_ip"] == "127.0.0.1"
    }
    assert found == ports


def test_workers_of_other_hosts_reach_the_main_host_s_bucket_or_one_elsewhere() -> None:
    need("docker-compose")
    elsewhere = {
        "DATAMASK_S3_ENDPOINT": "https://s3.example.org",
        "DATAMASK_CA": "/etc/ssl/certs/ca-certificates.crt",
    }
    found = set()
    for more in ({}, elsewhere):
        model = resolved(WORKER, profiles=PROFILES, environment={**ADDRESS, **more})
        for _, service in services(model):
            told = service["environment"]
            found.add((told["AWS_ENDPOINT_URL_S3"], told["AWS_CA_BUNDLE"]))
    assert found == {("https://192.0.2.10:8334", "/run/secrets/ca"), tuple(elsewhere.values())}


def test_no_password_is_in_a_command_or_an_environment(model: dict[str, Any]) -> None:
    for name, service in services(model):
        for key, value in (service.get("environment") or {}).items():
            if re.search("password|secret|token|broker|credentials", key, re.IGNORECASE):
                assert value.startswith("/run/secrets/"), f"{name}: {key}"
        assert "requirepass" not in json.dumps(service.get("command"))


def test_whoever_has_secrets_looks_at_them_first(model: dict[str, Any]) -> None:
    for name, service in services(model):
        guarded = (service.get("entrypoint") or [])[:3] == GUARD
        assert guarded is bool(service.get("secrets")), name
        mounted = {v["target"]: v["source"] for v in service.get("volumes", ()) if v["type"] == "bind"}
        if guarded and "build" not in service and not service["image"].startswith("datamask/"):
            assert mounted[GUARD[1]] == str(ROOT / "infra" / "guard.sh"), name
    if "check" in model["services"]:
        checked = {s["source"] for s in model["services"]["check"]["secrets"]}
        assert checked == set(model["secrets"])


def test_what_up_waits_for_is_started_once(model: dict[str, Any]) -> None:
    """Were it started again whenever it fails, `up` would wait for ever."""
    for name, service in services(model):
        for needed, how in (service.get("depends_on") or {}).items():
            if how["condition"] == "service_completed_successfully":
                assert model["services"][needed]["restart"] == "no", f"{name} needs {needed}"


def test_every_service_has_a_health_check_or_a_reason(model: dict[str, Any]) -> None:
    without = {name for name, service in services(model) if "healthcheck" not in service}
    assert without <= WITHOUT_HEALTH_CHECK


def test_services_have_no_rights(model: dict[str, Any]) -> None:
    for name, service in services(model):
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["logging"]["options"]["max-size"], name
        user = service.get("user") or _user_of(service)
        assert re.fullmatch(r"[1-9]\d*:\d+", user), name


def _user_of(service: dict[str, Any]) -> str:
    """The user that the last stage of an image of ours, or the stage it is made from, ends with."""
    text = (ROOT / service["build"]["dockerfile"]).read_text()
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert len(users) == 1
    return str(users[0])


def test_a_worker_may_end_its_longest_batch(model: dict[str, Any]) -> None:
    workers = {name: s for name, s in services(model) if name.startswith("worker-")}
    assert workers or "redis" in model["services"]
    for name, service in workers.items():
        hours, minutes, seconds = re.fullmatch(
            r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", service["stop_grace_period"]
        ).groups(default="0")  # type: ignore[union-attr]
        assert 3600 * int(hours) + 60 * int(minutes) + int(seconds) > HARD_LIMIT_S, name


def test_a_gpu_service_has_one_device(model: dict[str, Any]) -> None:
    found = [s for name, s in services(model) if name.startswith("worker-gpu")]
    assert found
    for service in found:
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert len(device["device_ids"]) == 1
        assert device["driver"] == "nvidia"
        assert "gpu" in device["capabilities"]


def test_tls_adds_to_the_commands_and_takes_nothing_away() -> None:
    need("docker-compose")
    plain = resolved(MAIN)["services"]
    tls = resolved(MAIN, TLS, environment=ADDRESS)["services"]
    for name in ("redis", "s3"):
        assert [w for w in tls[name]["command"] if w in plain[name]["command"]] == plain[name]["command"]
        assert len(tls[name]["command"]) > len(plain[name]["command"])


def test_without_the_address_the_tls_file_says_what_is_missing() -> None:
    need("docker-compose")
    with pytest.raises(ValueError, match="DATAMASK_ADDRESS"):
        resolved(MAIN, TLS)


def test_a_fault_in_the_file_is_found(tmp_path: Path) -> None:
    """The check can fail: an unknown key is refused."""
    need("docker-compose")
    text = (ROOT / MAIN).read_text()
    (tmp_path / MAIN).write_text(text.replace("    stop_grace_period: 30s", "    stop_graze_period: 30s"))
    with pytest.raises(ValueError, match="stop_graze_period"):
        resolved(MAIN, root=tmp_path)


def test_a_second_gpu_is_a_copy_of_the_commented_lines(tmp_path: Path) -> None:
    need("docker-compose")
    text = (ROOT / MAIN).read_text()
    lines = [re.sub(r"^  # ", "  ", line) if _is_second(line) else line for line in text.splitlines()]
    (tmp_path / MAIN).write_text("\n".join(lines))
    found = resolved(MAIN, profiles=("gpu",), root=tmp_path)["services"]
    ids = [
        found[f"worker-gpu{k}"]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for k in (0, 1)
    ]
    assert ids == [["0"], ["1"]]
    assert found["worker-gpu1"]["command"] == found["worker-gpu0"]["command"]


def _is_second(line: str) -> bool:
    return line.startswith("  # ") and any(
        word in line
        for word in (
            "worker-gpu1:",
            "<<: *worker-gpu",
            "deploy:",
            "resources:",
            "reservations:",
            'device_ids: ["1"]',
        )
    )


@pytest.mark.parametrize("dockerfile", ["coordinator", "worker"])
def test_hadolint_has_nothing_to_say(dockerfile: str) -> None:
    need("hadolint")
    path = ROOT / "infra" / f"{dockerfile}.Dockerfile"
    done = subprocess.run([program("hadolint"), str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    # An ignored rule has its reason in the line above.
    lines = path.read_text().splitlines()
    for k, line in enumerate(lines):
        if "hadolint ignore" in line:
            assert lines[k - 1].startswith("# ")


def test_hadolint_finds_a_fault(tmp_path: Path) -> None:
    need("hadolint")
    path = tmp_path / "Dockerfile"
    path.write_text("FROM debian:latest\n")
    done = subprocess.run([program("hadolint"), str(path)], capture_output=True, text=True, check=False)
    assert "DL3007" in done.stdout
