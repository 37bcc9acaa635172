"""The wheel holds all that the program needs, and runs outside the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=300)
    (built,) = folder.glob("datamask-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The wheel, unpacked where no checkout is."""
    site = wheel.parent / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_wheel_holds_the_packages_and_their_data(installed: Path) -> None:
    assert (installed / "services" / "shape" / "data" / "makehuman-mask-1.npz").is_file()
    assert (installed / "services" / "exhibition" / "assets" / "vendor.js").is_file()
    for package in ("datamask", "services", "worker", "coordinator"):
        assert (installed / package / "py.typed").is_file()
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


def test_the_readmes_lines_of_python_run_in_an_environment_of_their_own(wheel: Path, tmp_path: Path) -> None:
    """pip installs the wheel into a new environment, whose other packages are those of this one."""
    (lines,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(list(filter(None, lines.splitlines()))) <= 12
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(python), *words], capture_output=True, text=True, env=clean, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    own = Path(run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Behind its own: the checkout, which .pth files of this environment may lead to, stays out of sight.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert run("-c", "import datamask; print(datamask.__file__)").startswith(str(own))
    told = run("-c", lines).splitlines()
    assert [int(line.split()[0]) for line in told[:10]] == list(range(10))
    assert 0.0 <= float(told[10]) <= 1.0
    assert (tmp_path / "best.stl").stat().st_size > 100_000
    assert (tmp_path / "runs" / "mine" / "HEAD").is_file()


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, whose other packages are those of this one."""
    home = tmp_path_factory.mktemp("alone") / "venv"
    venv.create(home)
    install(home, wheel)
    own = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def install(home: Path, *wheels: Path) -> None:
    """As pip does it, into the environment."""
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    words = ["--no-deps", "--no-index", "--force-reinstall", *map(str, wheels)]
    subprocess.run([*pip, *words], check=True, timeout=300)


def said(
    home: Path, *command: str, folder: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What a program of the environment answers in a folder, with a path in PYTHONPATH."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    if path is not None:
        clean["PYTHONPATH"] = str(path)
    return subprocess.run(
        [str(home / "bin" / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        env=clean,
        cwd=folder,
        check=False,
        timeout=120,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command refused."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("datamask: ")
    return line


@pytest.mark.parametrize("name", ["services", "worker", "coordinator"])
def test_the_command_says_who_stands_in_the_place_of_its_packages(
    alone: Path, tmp_path: Path, name: str
) -> None:
    """A package in PYTHONPATH, and a module beside somebody's own script."""
    (tmp_path / "path" / name).mkdir(parents=True)
    other = tmp_path / "path" / name / "__init__.py"
    other.write_text("raise SystemExit('loaded')\n")
    line = one_line(said(alone, "datamask", "--version", folder=tmp_path, path=tmp_path / "path"))
    assert f"`{name}`" in line
    assert str(other) in line
    assert "python -m venv" in line
    (tmp_path / f"{name}.py").write_text("raise SystemExit('loaded')\n")
    done = said(alone, "python", "-c", "import datamask; datamask.machines", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: the package `{name}` that Python finds is ")


def test_a_folder_of_the_same_name_that_is_no_package_is_in_nobodys_way(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    assert said(alone, "datamask", "--help", folder=tmp_path, path=tmp_path).returncode == 0


def test_the_command_says_which_package_was_installed_over_its_own(
    alone: Path, wheel: Path, tmp_path: Path
) -> None:
    """Two wheels, one environment: the second writes over the first, and takes it along when it goes."""
    project = tmp_path / "other"
    (project / "services").mkdir(parents=True)
    (project / "services" / "__init__.py").write_text("THEIRS = True\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "other-services"\nversion = "1.0"\n[tool.setuptools]\npackages = ["services"]\n'
    )
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(project)], check=True, timeout=300)
    (other,) = tmp_path.glob("other_services-*.whl")
    install(alone, other)
    line = one_line(said(alone, "datamask", "--help", folder=tmp_path))
    assert "written over by other-services" in line
    pip = [sys.executable, "-m", "pip", "--python", str(alone / "bin" / "python")]
    subprocess.run([*pip, "uninstall", "--yes", "--quiet", "other-services"], check=True, timeout=300)
    line = one_line(said(alone, "datamask", "--help", folder=tmp_path))
    assert "`services`" in line
    assert "install datamask anew" in line
    install(alone, wheel)
    assert said(alone, "datamask", "--help", folder=tmp_path).returncode == 0
