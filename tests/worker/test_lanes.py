"""Lanes compute on one thread each, and change nobody else's number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from worker.lanes import Lanes


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def computed() -> tuple[int, list[int]]:
    """How many lanes compute side by side, and each one's threads; from a thread of one's own."""
    with ThreadPoolExecutor(1) as fresh:
        count = fresh.submit(torch.get_num_threads).result()
        meet = Barrier(count)
        lanes = fresh.submit(Lanes).result()
        return count, lanes.map(lambda _: (meet.wait(30), torch.get_num_threads())[1], range(count))


@pytest.mark.usefixtures("three_threads")
def test_every_plan_of_a_process_has_as_many_lanes() -> None:
    assert computed() == (3, [1, 1, 1])
    assert computed() == (3, [1, 1, 1])
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_a_number_that_is_chosen_later_holds() -> None:
    assert computed()[0] == 3
    torch.set_num_threads(2)
    assert computed() == (2, [1, 1])
