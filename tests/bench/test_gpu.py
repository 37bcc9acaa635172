"""``python -m bench.gpu`` says what it could, why not the rest, and prints JSON in any case."""

from __future__ import annotations

import json

import pytest

from bench import gpu


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = gpu.main([*words, "--device", "cpu"])
    return code, json.loads(capsys.readouterr().out)


def test_without_a_gpu_it_says_what_that_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = told(capsys, "--only", "agrees", "speed_half", "docker")
    assert code == 0
    assert found["machine"]["device"] == "cpu"
    for part in ("agrees", "speed_half", "docker"):
        assert found[part]["left_out"]


def test_a_part_that_fails_leaves_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bench: gpu.Bench) -> dict[str, object]:
        raise RuntimeError("out of luck")

    monkeypatch.setitem(gpu.PARTS, "stacking", broken)
    monkeypatch.setitem(gpu.PARTS, "stages", lambda bench: {"ms_a_view": {}})
    code, found = told(capsys, "--only", "stacking", "stages")
    assert code == 1
    assert found["stacking"]["error"] == "RuntimeError: out of luck"
    assert found["stages"]["ms_a_view"] == {}
    monkeypatch.setitem(gpu.PARTS, "stacking", lambda bench: {"same_bytes": False})
    assert told(capsys, "--only", "stacking")[0] == 1
    code, found = told(capsys, "--only", "stages", "--limit-s", "-1")
    assert (code, found["stages"]["left_out"]) == (0, "no time was left")
