"""The wheel holds all that the program needs, and runs outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked where no checkout is."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=300)
    (wheel,) = folder.glob("datamask-*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_wheel_holds_the_packages_and_their_data(installed: Path) -> None:
    assert (installed / "services" / "shape" / "data" / "makehuman-mask-1.npz").is_file()
    assert (installed / "services" / "exhibition" / "assets" / "vendor.js").is_file()
    assert (installed / "services" / "py.typed").is_file()
    assert not (installed / "tests").exists()
    assert not (installed / "bench").exists()
    licences = [p.name for p in installed.glob("*.dist-info/licenses/*")]
    assert {"LICENSE", "NOTICE"} <= set(licences)


def test_it_evolves_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    spec = tmp_path / "tiny.toml"
    spec.write_text(
        "[search]\nislands = 1\npopulation = 4\ngenerations = 1\n[views]\ncount = 1\n[verify]\nviews = 1\n"
        "[elites]\ncount = 1\ncandidates = 1\nranking_views = 1\n[migration]\ncount = 0\n"
        '[[objective]]\nkind = "detect"\nmodel = "dlib-hog"\n'
    )
    command = [
        sys.executable,
        "-P",
        "-m",
        "coordinator.cli",
        "evolve",
        str(spec),
        "--store",
        str(tmp_path / "out"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import coordinator; print(coordinator.__file__)"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    assert where.stdout.startswith(str(installed))
    done = subprocess.run(
        [*command, "--quiet"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "out" / "tiny-001"
    assert done.stdout.strip() == run.as_uri()
    (mask,) = (run / "masks").iterdir()
    assert {"genome.json", "mask.glb", "front.png", "views.png"} <= {p.name for p in mask.iterdir()}
    assert json.loads((mask / "genome.json").read_text())["basis"]
    assert (run / "composite.png").is_file()
    assert (run / "film.mp4").is_file()
    assert b"three.js" in (run / "report.html").read_bytes()
