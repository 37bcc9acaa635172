"""What CONTRIBUTING.md says of adding things, done: one line each, and no file of the program is changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.search.optimizers import OPTIMIZERS
from coordinator.search.optimizers.base import AskTell, Doubles, Floats, Ints, State
from services.recognition import models
from services.recognition.kinds import KINDS, ObjectiveKind
from services.recognition.margins import Float, margin, value_over_views
from services.recognition.model import AnswerKind
from services.shape.basis_file import pack
from services.shape.catalog import BASES, DEFAULT_BASIS, BasisFile, basis_info, packed_basis

GENES = 12
SPEC = """
[mask]
basis = "few-genes-1"
[search]
islands = 2
population = 4
generations = 3
optimizers = ["climb"]
symmetric = false
[migration]
every = 2
count = 0
[views]
count = 2
[verify]
critics = []
[elites]
count = 1
ranking_views = 2
[[objective]]
kind = "detect"
model = "dark-eyes"
[[objective]]
kind = "hidden"
model = "dlib-hog"
"""


class Climb(AskTell):
    """Stays with the best mask so far and tries steps from it."""

    name: ClassVar[str] = "climb"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._best = np.zeros(self._setup.dimension, np.float32)
        self._height = np.array(-np.inf)

    def _propose(self, migrants: Floats) -> tuple[Doubles, Ints]:
        genomes = self._setup.noise(self._rng, self.population_size)
        if np.isfinite(self._height):
            genomes = self._best + 0.1 * genomes
            genomes[0] = self._best
        genomes[self.population_size - len(migrants) :] = migrants
        return genomes, np.full((self.population_size, 2), -1, np.int64)

    def _learn(self, genomes: Floats, fitness: Doubles) -> None:
        if fitness.max() > self._height:
            self._best, self._height = genomes[fitness.argmax()].copy(), np.array(fitness.max())

    def _own_state(self) -> State:
        return {"best": self._best.copy(), "height": self._height.copy()}

    def _own_restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._best, self._height = state["best"].copy(), state["height"].copy()


def unseen(raw: Float, between: Float | None, threshold: float, measure: AnswerKind, scale: float) -> Float:
    """How far a detector is from seeing a face."""
    return -margin(raw, threshold, measure, scale)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The four registrations."""
    shipped = packed_basis(DEFAULT_BASIS)
    facts = {
        "title": "a few genes",
        "zero": "the neutral head",
        "face": True,
        "center_m": [0.0, 0.0, 0.0],
        "twin": list(range(GENES)),
        "sign": [1] * GENES,
        "spread": 1.0,
        "sigma": 0.4,
        "limit": 2.0,
        "edge": None,
        "color": "paint-1",
        "measures": [{"name": "relief", "unit": "mm", "cells": 2, "low": 0.0, "high": 9.0}],
    }
    genes = shipped.header["genes"][:GENES]
    header = {**shipped.header, "id": "few-genes-1", "genes": genes, "facts": facts}
    data = pack(replace(shipped, header=header, sides=shipped.sides[:GENES]))
    (tmp_path / "few-genes-1.npz").write_bytes(data)
    monkeypatch.setitem(BASES, "few-genes-1", BasisFile(hashlib.sha256(data).hexdigest(), tmp_path))
    folder = Path(__file__).parents[1] / "support" / "added_models"
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])
    monkeypatch.setitem(OPTIMIZERS, Climb.name, Climb)
    monkeypatch.setitem(KINDS, "hidden", ObjectiveKind("hidden", "detect", margins=unseen))


def datamask(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("added")
def test_a_detector_an_optimizer_a_kind_and_a_basis_of_ones_own_evolve(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    run = ("--store", tmp_path / "runs", "--run", "own", "--no-pictures", "--quiet")
    datamask("evolve", tmp_path / "spec.toml", *run)
    folder = tmp_path / "runs" / "own"
    rows = pd.concat(pd.read_parquet(path) for path in sorted((folder / "evaluations").iterdir()))
    rows = rows[rows["island"] == 0].sort_values(["generation", "id"])
    genomes = np.stack(rows["genome"].to_numpy())
    assert genomes.shape == (12, GENES) == (12, len(basis_info("few-genes-1").gene_names))
    # The kind: what hides from dlib's detector counts, in its own column.
    scores = np.stack(rows["scores hidden:dlib-hog"].to_numpy()).astype(np.float32)
    np.testing.assert_array_equal(rows["value hidden:dlib-hog"], value_over_views(-scores))
    # The detector: it told masks apart.
    assert rows["value dark-eyes"].nunique() > 1
    # The optimizer: the best mask so far comes first in the next generation.
    best = rows[rows["generation"] == 0]["fitness"].to_numpy().argmax()
    np.testing.assert_array_equal(genomes[4], genomes[best])

    facts = json.loads(datamask("show", folder, "--json"))
    assert facts["objectives"] == ["dark-eyes", "hidden:dlib-hog"]
    assert (facts["generation"], len(facts["elites"])) == (3, 1)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["basis"]["id"] == "few-genes-1"
    assert manifest["models"]["dark-eyes"]["roles"] == ["objective"]


@pytest.mark.usefixtures("added")
def test_what_was_added_is_named_where_a_spec_names_something_else(tmp_path: Path) -> None:
    for wrong, right in (("climb", "climbs"), ("hidden", "hiden"), ("few-genes-1", "few-genes")):
        (tmp_path / "spec.toml").write_text(SPEC.replace(f'"{wrong}"', f'"{right}"'))
        done = CliRunner().invoke(app, ["evolve", str(tmp_path / "spec.toml"), "--store", str(tmp_path)])
        assert f"'{wrong}'" in str(done.exception)
