"""The broker's URL may lie in a file, for its password is a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import BadInput
from services.wire.bells import DEFAULT_BROKER, find_broker, named_broker

URL = "redis://datamask:secret@redis:6379/0"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATAMASK_BROKER", raising=False)
    monkeypatch.delenv("DATAMASK_BROKER_FILE", raising=False)


def test_the_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "broker_url"
    monkeypatch.setenv("DATAMASK_BROKER_FILE", str(path))
    for codec in ("utf-8", "utf-8-sig", "utf-16"):  # as editors save it
        path.write_text(URL + "\r\n", encoding=codec)
        assert named_broker() == find_broker() == URL


def test_what_is_named_outright_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMASK_BROKER_FILE", "/nowhere")
    monkeypatch.setenv("DATAMASK_BROKER", "redis://other:1/0")
    assert find_broker() == "redis://other:1/0"
    assert find_broker("redis://given:1/0") == "redis://given:1/0"


def test_without_either_it_is_this_machines() -> None:
    assert named_broker() is None
    assert find_broker() == DEFAULT_BROKER


def test_a_file_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "broker_url"
    monkeypatch.setenv("DATAMASK_BROKER_FILE", str(path))
    with pytest.raises(BadInput, match=r"DATAMASK_BROKER_FILE.*No such file"):
        named_broker()
    path.write_text(" \n")
    with pytest.raises(BadInput, match="empty"):
        named_broker()
    path.write_bytes(b"redis://\xff")
    with pytest.raises(BadInput, match="line 1 is not UTF-8 text"):
        named_broker()
