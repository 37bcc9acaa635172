"""How many batches are out, and when one counts as lost."""

from __future__ import annotations

from coordinator.queue.pace import DEADLINE_MIN_S, FIRST_OUT, MOST_AHEAD, Pace


def paced(processes, *times):
    pace = Pace(60.0)
    pace.processes = processes
    for seconds in times:
        pace.measured(seconds)
    return pace


def test_before_anybody_is_there_a_few_are_out():
    assert paced(0).most_out() == FIRST_OUT


def test_a_thousand_islands_put_out_what_the_workers_need_and_no_more():
    assert paced(32, 10.0).most_out() == 64  # one in hand, one behind it
    assert paced(32, 0.1).most_out() == 32 * 6  # half a second's worth behind it
    assert paced(32, 1e-9).most_out() == 32 * (1 + MOST_AHEAD)


def test_the_deadline_follows_the_slowest_batch_and_the_queue():
    assert paced(4).deadline_s(0) == 60.0
    assert paced(4, 0.1).deadline_s(0) == DEADLINE_MIN_S
    assert paced(4, 1.0, 20.0).deadline_s(0) == 60.0
    assert paced(4, 1.0, 20.0).deadline_s(8) == 180.0


def test_a_deadline_that_was_asked_for_is_the_most_that_the_least_can_be():
    pace = Pace(0.2)
    pace.measured(0.01)
    assert pace.deadline_s(0) == 0.2
