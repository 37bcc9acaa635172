"""infra/secrets.sh: random, made once, and what each service makes of them fits together."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.infra.conftest import make_secrets
from tests.support.compose import ROOT
from tests.support.needs import need


def read(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_secrets_fit_together(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path / "secrets")
    password = (folder / "redis_password").read_text()
    assert len(password) == 48
    assert urlsplit((folder / "broker_url").read_text().strip()).password == password
    assert hashlib.sha256(password.encode()).hexdigest() in (folder / "redis_users").read_text()
    assert password not in (folder / "redis_users").read_text()
    (identity,) = json.loads((folder / "s3_identities").read_text())["identities"]
    credentials = configparser.ConfigParser()
    credentials.read(folder / "s3_credentials")
    (key,) = identity["credentials"]
    assert credentials["default"]["aws_secret_access_key"] == key["secretKey"]
    assert credentials["default"]["aws_access_key_id"] == key["accessKey"]
    assert (folder / "flower_users").read_text().strip() == "datamask:" + (
        folder / "flower_password"
    ).read_text()
    assert len((folder / "watch_token").read_text()) == 48


def test_others_cannot_enter_the_folder(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path / "secrets")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_is_there_is_kept_and_what_is_not_is_new(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path / "secrets")
    first = read(folder)
    make_secrets(folder)
    assert read(folder) == first
    (folder / "grafana_password").unlink()
    make_secrets(folder)
    changed = {name for name, text in read(folder).items() if text != first[name]}
    assert changed == {"grafana_password"}
    other = read(make_secrets(tmp_path / "other"))
    assert all(other[name] != text for name, text in first.items())


def run_secrets(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "infra" / "secrets.sh"), *names],
        env={**os.environ, "DATAMASK_SECRETS": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_empty_folders_in_place_of_secrets_make_way(tmp_path: Path) -> None:
    """Some engines make them where they look for a file that is not there yet."""
    expected = set(read(make_secrets(tmp_path / "other")))
    for name in expected:
        (tmp_path / "secrets" / name).mkdir(parents=True)
    done = run_secrets(tmp_path / "secrets")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(read(tmp_path / "secrets")) == expected
    assert all(read(tmp_path / "secrets").values())


@pytest.mark.parametrize("name", ["redis_users", "grafana_password"])
def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, name: str) -> None:
    kept = tmp_path / "secrets" / name / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("somebody's")
    done = run_secrets(tmp_path / "secrets")
    assert done.returncode == 1
    assert re.fullmatch(rf"\S+/{name}: a folder with something in it, .*\n", done.stderr)
    assert kept.read_text() == "somebody's"


def test_folders_in_place_of_certificates_make_way(tmp_path: Path) -> None:
    need("openssl")
    for name in ("tls_key", "tls_certificate", "ca.pem", "worker/ca", "worker/broker_url"):
        (tmp_path / "secrets" / name).mkdir(parents=True)
    assert run_secrets(tmp_path / "secrets", "192.0.2.10").returncode == 0
    assert "PRIVATE KEY" in (tmp_path / "secrets" / "tls_key").read_text()
    assert set(read(tmp_path / "secrets" / "worker")) == {"broker_url", "s3_credentials", "ca"}


def names_in(certificate: Path) -> str:
    return subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_certificate_for_other_hosts(tmp_path: Path) -> None:
    need("openssl")
    folder = make_secrets(tmp_path / "secrets", "main.example.org", "192.0.2.10")
    authority = (folder / "ca.pem").read_bytes()
    make_secrets(folder, "main.example.org", "192.0.2.11")
    assert (folder / "ca.pem").read_bytes() == authority, "the workers know the old one"
    shown = names_in(folder / "tls_certificate")
    assert "DNS:main.example.org" in shown
    assert "IP Address:192.0.2.11" in shown
    # What travels to other hosts holds neither the authority's key nor any other service's password.
    assert set(read(folder / "worker")) == {"broker_url", "s3_credentials", "ca"}
    assert "PRIVATE" not in "".join(read(folder / "worker").values())
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("address", ["2001:db8::1", "[2001:db8::1]"])
def test_an_ipv6_address_is_one(tmp_path: Path, address: str) -> None:
    need("openssl")
    folder = make_secrets(tmp_path / "secrets", address)
    assert "IP Address:2001:DB8:0:0:0:0:0:1" in names_in(folder / "tls_certificate")
    url = urlsplit((folder / "worker" / "broker_url").read_text().strip())
    assert (url.hostname, url.port) == ("2001:db8::1", 6380)


@pytest.mark.parametrize("name", ["secrets.sh", "guard.sh"])
def test_shellcheck_has_nothing_to_say(name: str) -> None:
    need("shellcheck")
    done = subprocess.run(
        ["shellcheck", str(ROOT / "infra" / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_failure_of_openssl_is_told(tmp_path: Path) -> None:
    need("openssl")
    done = run_secrets(tmp_path / "secrets", "not a name, really")
    assert done.returncode != 0
    assert done.stderr
