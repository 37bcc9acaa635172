"""Arrows go one way, no module needs itself, and whoever only coordinates loads no network."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("services", "worker", "coordinator", "datamask")
# Who may import whom; every package may import itself, the catalogs of models and bases are for everyone.
ALLOWED = {
    "storage": set(),
    "shape": {"storage"},
    "rendering": {"storage"},
    "recognition": {"storage", "rendering"},
    "printing": {"storage", "rendering", "shape"},
    "wire": {"storage", "rendering", "recognition", "shape"},
    "exhibition": {"storage", "rendering", "shape", "wire"},
}
# Folders whose modules load none of HEAVY, nor does what they load; and a worker's parent, which forks.
LIGHT = ("services/wire", "services/storage", "coordinator", "datamask")
PARENT = ("worker.launch", "worker.tasks")
HEAVY = ("torch", "dlib", "cv2", "numba", "pyrender")


@cache
def modules() -> dict[str, Path]:
    """Every module that is shipped, by dotted name."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return {dotted(path): path for path in paths}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(module: str, *, lazy: bool = True) -> Iterator[str]:
    """The project's modules that a module imports: anywhere in it, or only when it is loaded itself."""
    for node in _nodes(ast.parse(modules()[module].read_text()), lazy):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            name = node.module or ""
            inner = [f"{name}.{alias.name}" for alias in node.names]
            found = [one if one in modules() else name for one in inner]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] in ROOMS)


def _nodes(tree: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not lazy and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if not lazy and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _nodes(node, lazy)


@pytest.mark.parametrize("service", ALLOWED)
def test_services_import_only_downward(service: str) -> None:
    for module in modules():
        if not module.startswith(f"services.{service}."):
            continue
        for name in imports(module):
            parts = name.split(".")
            assert parts[0] == "services", f"{module} imports {name}"
            if len(parts) > 1 and parts[1] in ALLOWED and parts[1] != service:
                assert parts[1] in ALLOWED[service], f"{module} imports {name}"


def test_nobody_knows_who_is_above() -> None:
    for module in modules():
        above = ROOMS[ROOMS.index(module.split(".")[0]) + 1 :]
        if module.startswith("coordinator.cli"):  # the command line goes through the same door as everybody
            above = ()
        assert not [name for name in imports(module) if name.split(".")[0] in above], module


def test_the_coordinator_reaches_the_worker_only_where_it_computes() -> None:
    for module in modules():
        if module.startswith(("coordinator", "datamask")):
            early = [name for name in imports(module, lazy=False) if name.startswith("worker")]
            assert not early, f"{module} imports {early} when it is loaded"


def test_a_command_starts_without_what_only_some_draw_with() -> None:
    code = "import coordinator.cli, sys; print({'matplotlib', 'scipy.sparse'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_no_module_needs_itself() -> None:
    """Imports within functions and for types count, too; that a package loads before its modules does not."""
    try:
        TopologicalSorter({module: set(imports(module)) for module in modules()}).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_whoever_coordinates_or_forks_loads_no_network() -> None:
    folders = tuple(folder.replace("/", ".") for folder in LIGHT)
    light = [name for name in modules() if name.startswith(folders) and not name.endswith("__main__")]
    assert len(light) > 60
    code = (
        "import importlib, sys\n"
        f"for name in {[*light, *PARENT]}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = set({HEAVY}) & set(sys.modules)\n"
        "    if heavy: sys.exit(f'{name} loads {sorted(heavy)}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
