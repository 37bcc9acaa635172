"""The servers that the tests start, for the programs here: a real redis-server and moto's S3 server."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def support(name: str) -> ModuleType:
    """A module of tests/support, which is no package: ``redis_server`` or ``s3_server``."""
    known = f"datamask_tests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, ROOT / "tests" / "support" / f"{name}.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(f"tests/support/{name}.py: run this from a checkout of datamask")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]
