"""Which versions of packages are installed, without importing them."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Version by package name; those that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit that this datamask is of, from its checkout or from the address that it was installed from.

    With ``-changed`` where files of the checkout were changed since; None where nothing tells.
    """
    root = Path(__file__).parents[1]
    if (root / ".git").exists():
        said = [_git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")]
        return said[0] and said[0] + ("-changed" if said[1] else "")
    try:
        address = importlib.metadata.distribution("datamask").read_text("direct_url.json")
        return str(json.loads(address or "{}")["vcs_info"]["commit_id"])
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return None


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
