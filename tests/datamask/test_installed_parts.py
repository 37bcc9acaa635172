"""A basis, an optimizer and a picture that an installed package brings."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.shape.basis_file import pack
from services.shape.catalog import packed_basis

ROOT = Path(__file__).parents[2]
GENES = 12
PARTS = """
import hashlib
from pathlib import Path
import numpy as np
import datamask
from coordinator.search.optimizers.base import AskTell

FOLDER = Path(__file__).parent
BASIS = datamask.BasisFile(hashlib.sha256((FOLDER / "few-genes-7.npz").read_bytes()).hexdigest(), FOLDER)


class Rain(AskTell):
    name = "rain"

    def _propose(self, migrants):
        genomes = self._setup.noise(self._rng, self.population_size)
        genomes[self.population_size - len(migrants):] = migrants
        return genomes, np.full((self.population_size, 2), -1, np.int64)

    def _learn(self, genomes, fitness):
        pass

    def _own_state(self):
        return {}

    def _own_restore(self, state):
        pass


def heights(shown):
    assert shown.vertices.shape[2] == 3
    rows = np.clip(shown.vertices[:, :64, 1] * 500 + 128, 0, 255).astype(np.uint8)
    return np.repeat(rows[..., None], 3, axis=2)


def broken(shown):
    return 1 / 0
"""
SPEC = """
[mask]
basis = "few-genes-7"
[search]
islands = 1
population = 4
generations = 2
optimizers = ["rain"]
[migration]
count = 0
[views]
count = 1
[verify]
critics = []
views = 1
[elites]
count = 1
ranking_views = 1
[[objective]]
kind = "detect"
model = "dlib-hog"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as pip leaves it."""
    folder = tmp_path_factory.mktemp("site")
    shipped = packed_basis("makehuman-mask-1")
    facts = {
        **{"title": "a few genes", "zero": "the neutral head", "face": True, "center_m": [0.0, 0.0, 0.0]},
        **{"twin": list(range(GENES)), "sign": [1] * GENES, "spread": 1.0, "sigma": 0.4, "limit": 2.0},
        **{"edge": None, "color": "paint-1"},
        "measures": [{"name": "relief", "unit": "mm", "cells": 2, "low": 0.0, "high": 9.0}],
    }
    genes = shipped.header["genes"][:GENES]
    header = {**shipped.header, "id": "few-genes-7", "genes": genes, "facts": facts}
    few = replace(shipped, header=header, sides=shipped.sides[:GENES])  # type: ignore[call-arg, attr-defined]
    (folder / "few-genes-7.npz").write_bytes(pack(few))
    (folder / "own_parts.py").write_text(PARTS)
    info = folder / "own_parts-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(
        "[datamask.bases]\nfew-genes-7 = own_parts:BASIS\nfew-genes-8 = own_parts:heights\n"
        "[datamask.optimizers]\nrain = own_parts:Rain\nsnow = own_parts:Rain\n"
        "[datamask.pictures]\nheights = own_parts:heights\nbroken = own_parts:broken\n"
    )
    return folder


def command(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}"}
    return subprocess.run(
        [sys.executable, "-m", "coordinator.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=environment,
        cwd=folder,
    )


def test_they_evolve_and_draw_from_the_command_line(site: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SPEC)
    done = command(site, tmp_path, "evolve", "own.toml", "--run", "own", "--quiet")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "own"
    with Image.open(folder / "picture-heights.png") as picture:
        assert picture.size == (64, 1)
        assert np.asarray(picture).std() > 1
    assert not (folder / "picture-broken.png").exists()
    assert "picture broken was not made (ZeroDivisionError" in done.stderr
    assert b"picture-heights.png" in (folder / "report.html").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    digest = hashlib.sha256((site / "own_parts.py").read_bytes()).hexdigest()
    said = {"package": "own-parts", "version": "2.0", "source_file": "own_parts.py", "sha256": digest}
    assert manifest["installed"] == {"bases": said, "optimizers.rain": said}
    assert manifest["basis"]["id"] == "few-genes-7"


# One process checks a spec and hands its terms over, another one has islands made of them.
PARENT = """
import pickle, sys, tomllib
from coordinator.run import objectives_of, plan_of
from coordinator.search.shard import Terms
from coordinator.spec.spec import parse_spec

spec = parse_spec(tomllib.loads(open("own.toml").read()), "own.toml")
objectives = objectives_of(spec, [None])
sys.stdout.buffer.write(pickle.dumps(Terms(spec, plan_of(spec, objectives), objectives, 12)))
"""
CHILD = """
import pickle, sys
from coordinator.search.shard import Shard

shard = Shard(pickle.load(sys.stdin.buffer), None, None, print)
print(type(shard.places[0].island.optimizer).__name__)
"""


def test_processes_of_coordinators_have_them_too(site: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SPEC)
    environment = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}"}
    said = b""
    for code in (PARENT, CHILD):
        words = [sys.executable, "-c", code]
        said = subprocess.run(
            words, input=said, capture_output=True, check=True, env=environment, cwd=tmp_path
        ).stdout
    assert said == b"Rain\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("few-genes-7", "few-genes-8", "expected a datamask.BasisFile"),
        ("few-genes-7", "few-genes-9", "there is no basis"),
        ("rain", "snow", "expected a class of AskTell with name = 'snow'"),
        ("rain", "own_parts:Rain", "expected one of"),
    ],
)
def test_what_is_wrong_with_them_is_one_line(
    site: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    (tmp_path / "own.toml").write_text(SPEC.replace(old, new))
    done = command(site, tmp_path, "evolve", "own.toml", "--quiet")
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
