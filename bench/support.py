"""What the programs here share with tests and infra: real servers, and the making of a bare Debian."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def support(name: str, folder: str = "tests/support") -> ModuleType:
    """A module of a folder that is no package: ``redis_server``, ``s3_server``; of infra ``bare_install``."""
    known = f"datamask_tests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, ROOT / folder / f"{name}.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(f"{folder}/{name}.py: run this from a checkout of datamask")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]
