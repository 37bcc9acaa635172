"""The wall of an archive of machines: from a run's record to its picture, its numbers and its page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coordinator.cli.show import read_run
from coordinator.record.chronicle import Chronicle
from datamask.charts import charts
from datamask.run import Run
from services.errors import BadInput
from services.exhibition.facts import with_shapes
from services.exhibition.page import page
from services.exhibition.studio import Studio
from services.exhibition.wall_sheet import Verdicts, wall_sheet
from services.shape.basis import load_basis
from tests.support.runs import grow
from worker.exhibition.wall import hang
from worker.eye import Eye

BASIS = "blank-oval-1"
MACHINES = ["dlib-hog", "dlib-mmod"]


def test_an_archive_of_machines_hangs_on_a_wall_with_what_machines_say_of_other_views(tmp_path: Path) -> None:
    grown = grow(tmp_path, mask={"basis": BASIS}, archive={"machines": MACHINES})
    assert grown.archive is not None
    kept = grown.archive.kept
    assert {mask.cell for mask in kept} >= {0, 3}
    for mask in kept:  # what the rows say of them
        seen = [bool(value > 0) for value in mask.values]
        assert seen == [bool(bit) for bit in grown.archive.grid.place(mask.cell or 0)]
    plan = Chronicle(grown.record).plan()
    assert plan.facts["archive"] is None
    wall = plan.facts["wall"]
    assert (wall["cells"], wall["filled"], wall["machines"]) == (4, len(kept), MACHINES)
    shown = read_run(grown.record)["archive"]
    assert [entry["mask"] for entry in shown["sets"]] == [mask["id"] for mask in wall["masks"]]
    eye = Eye(load_basis(BASIS))
    studio = Studio(eye.basis.triangles, eye.basis.facts.center_m, directions=8, shadow_px=32)
    genomes = [plan.genomes[mask["id"]] for mask in wall["masks"]]
    lit = [studio.light(points) for points in eye.vertices(np.stack(genomes)).numpy()]
    keys = hang(grown.record.store, eye, plan, genomes, lit, lambda what, done, of: None)
    assert keys == ["wall.png", "wall.json"]
    told = json.loads(grown.record.store.get("wall.json"))
    for mask in told["masks"]:  # these masks are noise, whatever their made-up rows say
        assert mask["hits"] == {"dlib-hog": 0, "dlib-mmod": 0}
    assert grown.record.store.get("wall.png").startswith(b"\x89PNG")
    facts = with_shapes(plan, grown.record.store, {"wall": "data:image/jpeg;base64,AAAA"})
    assert b'<section id="wall"' in page(facts)
    assert b'<section id="wall"' not in page({**facts, "wall": None})
    (chart,) = [made for made in charts(Run(grown.record)) if made.name == "archive"]
    assert len(chart.rows) == len(kept)
    assert chart.file("svg").startswith(b"<?xml")


def test_a_wall_without_masks_or_with_other_verdicts_is_refused() -> None:
    with pytest.raises(BadInput, match="holds no mask yet"):
        wall_sheet([], [], MACHINES, 4)
    basis = load_basis(BASIS)
    lit = Studio(basis.triangles, basis.facts.center_m, directions=8, shadow_px=32).light(basis.neutral)
    with pytest.raises(BadInput, match="0 verdicts for 1 masks"):
        wall_sheet([lit], [], MACHINES, 4)
    alone = Verdicts("i00-g0000-000", ("dlib-hog",), {"dlib-hog": 3, "dlib-mmod": 0}, 4)
    empty = wall_sheet([lit], [alone], MACHINES, 4)
    both = wall_sheet([lit], [Verdicts("i00-g0000-000", ("dlib-mmod",), alone.hits, 4)], MACHINES, 4)
    half = empty.shape[1] // 2  # the empty place is the other machine's
    assert empty[:, :half].std() > 1.5 * empty[:, half:].std()
    assert both[:, half:].std() > 1.5 * both[:, :half].std()
