"""Settings that make a GPU's networks exact, while several threads use them."""

from __future__ import annotations

import torch

from services.recognition.networks.precision import exact

CUDA = torch.device("cuda")


def now() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic


def test_who_is_still_within_computes_exactly_and_the_last_one_sets_it_back() -> None:
    before = now()
    assert before != (False, True)
    one, other = exact(CUDA), exact(CUDA)
    one.__enter__()
    other.__enter__()
    assert now() == (False, True)
    one.__exit__(None, None, None)
    assert now() == (False, True)
    other.__exit__(None, None, None)
    assert now() == before
    with exact(CUDA), exact(CUDA):
        assert now() == (False, True)
    assert now() == before
