"""Build the JavaScript that the report page inlines, from npm's packages: ``make assets``.

Nobody who runs datamask needs this: its output lies in ``assets/``. It needs npm. The versions and their
hashes are
pinned in ``vendor/package-lock.json``; ``assets/vendor.json`` says what came out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "vendor"
ASSETS = HERE / "assets"
TEST_DATA = HERE.parents[1] / "tests" / "data"
INLINED = ("three", "uplot")


def main() -> None:
    """Install the pinned packages into a temporary folder, bundle them, copy what is kept."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for source in SOURCE.iterdir():
            shutil.copy(source, work)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=work, check=True)
        bundle = [
            "npx",
            "esbuild",
            "vendor.mjs",
            "--bundle",
            "--minify",
            "--format=iife",
            "--global-name=Vendor",
        ]
        out = ASSETS / "vendor.js"
        # </script> in a string would end the element that the page puts it into: esbuild escapes it.
        subprocess.run(
            [*bundle, "--target=es2020", "--legal-comments=none", f"--outfile={out}"], cwd=work, check=True
        )
        modules = work / "node_modules"
        shutil.copy(modules / "uplot" / "dist" / "uPlot.min.css", ASSETS / "uplot.css")
        TEST_DATA.mkdir(exist_ok=True)
        shutil.copy(modules / "axe-core" / "axe.min.js", TEST_DATA / "axe.min.js")
        licences = [f"{name} {_version(modules, name)}\n\n{_licence(modules, name)}" for name in INLINED]
    text = "\n\n".join(licences)
    (ASSETS / "LICENSES.txt").write_text(text + "\n", encoding="utf-8")
    # Every page is a copy of these libraries, and their licences travel with every copy.
    out.write_text(f"/*!\n{text}\n*/\n" + out.read_text(encoding="utf-8"), encoding="utf-8")
    facts = {
        "packages": {name: version for name, version in _pinned().items() if name in INLINED},
        "licence": "MIT",
        "sha256": {
            name: hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()
            for name in ("vendor.js", "uplot.css")
        },
    }
    (ASSETS / "vendor.json").write_text(json.dumps(facts, indent=1) + "\n")


def _pinned() -> dict[str, str]:
    pinned: dict[str, str] = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    return pinned


def _version(modules: Path, name: str) -> str:
    return str(json.loads((modules / name / "package.json").read_text())["version"])


def _licence(modules: Path, name: str) -> str:
    return (modules / name / "LICENSE").read_text(encoding="utf-8").strip()


if __name__ == "__main__":
    main()
