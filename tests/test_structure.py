"""Arrows go one way, and the coordinator starts without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("storage", "shape", "rendering", "recognition", "printing", "exhibition")
# Who may import whom; every package may import itself, the catalogs of models and bases are for everyone.
ALLOWED = {
    "storage": set(),
    "shape": {"storage"},
    "rendering": {"storage"},
    "recognition": {"storage", "rendering"},
    "printing": {"storage", "rendering", "shape"},
    "exhibition": {"storage", "rendering", "shape"},
}
TORCH_FREE = (
    "coordinator.cli",
    "coordinator.run",
    "coordinator.search.evolution",
    "coordinator.queue.celery_executor",
    "services.wire.plan",
    "worker.launch",
    "worker.tasks",
    "coordinator.record.page_server",
)


def imports(path: Path) -> set[str]:
    """Dotted names of the project's modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] in ("services", "worker", "coordinator")}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("service", [s for s in SERVICES if (ROOT / "services" / s).exists()])
def test_services_import_only_downward(service: str) -> None:
    for path in files(f"services/{service}"):
        for name in imports(path):
            parts = name.split(".")
            assert parts[0] == "services", f"{path} imports {name}"
            if len(parts) > 1 and parts[1] in SERVICES and parts[1] != service:
                assert parts[1] in ALLOWED[service], f"{path} imports {name}"


def test_the_worker_knows_nothing_of_the_coordinator() -> None:
    for path in files("worker"):
        assert not [name for name in imports(path) if name.startswith("coordinator")], path


@pytest.mark.parametrize("module", TORCH_FREE)
def test_the_coordinator_starts_without_torch(module: str) -> None:
    code = (
        f"import sys, {module}; heavy = {{'torch', 'dlib', 'cv2', 'numba', 'pyrender'}} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
