"""What the page shows of the machines' pictures: the views at a ranking's ends and middle, by their names."""

from __future__ import annotations

import pytest

from coordinator.record.chronicle import Chronicle
from services.recognition.dlib.alignment import POINT_NAMES
from tests.support import runs
from worker.exhibition.machine_views import machine_views
from worker.eye import Eye

FIRST, MIDDLE, LAST = "The view HOG likes most", "One in the middle", "The view HOG likes least"


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(1, [FIRST]), (2, [FIRST, LAST]), (3, [FIRST, MIDDLE, LAST]), (4, [FIRST, MIDDLE, LAST])],
)
def test_each_view_is_called_what_it_is(tmp_path, count, wanted):
    run = runs.grow(tmp_path, islands=1, generations=1, elites=1, verify={"views": count})
    plan = Chronicle(run.record).plan()
    eye = Eye(plan.facts["asked"]["basis"], points=POINT_NAMES)
    shown = machine_views(run.record.store, eye, run.elites[0].genome, plan)
    assert [view["why"] for view in shown] == wanted
    scores = [view["scores"][0]["value"] for view in shown]
    assert scores == sorted(scores, reverse=True)
