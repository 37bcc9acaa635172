"""What runs may be called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import BadInput
from services.names import RUN_NAME_MOST, SPEC_NAME_MOST, check_run_name, name_fault, usable_name
from services.wire.messages import Work


@pytest.mark.parametrize("name", ["a", "0-", "portrait-001", "A.b_c-d", "a" * RUN_NAME_MOST])
def test_names(name: str) -> None:
    assert check_run_name(name) == name
    assert Work("file:///runs", name, "0" * 40).run == name


@pytest.mark.parametrize("name", ["", "a b", "é", "a#1", "-a", ".a", "a/b", "a\n", "a" * 121, "²"])
def test_no_names(name: str) -> None:
    with pytest.raises(BadInput, match="expected at most 120 letters, digits"):
        check_run_name(name)
    with pytest.raises(BadInput, match="expected at most 120 letters, digits"):
        Work("file:///runs", name, "0" * 40)


@pytest.mark.fuzz
@given(text=st.text(max_size=130))
def test_a_usable_name_is_one_and_with_a_number_still_is(text: str) -> None:
    likely = usable_name(text)
    assert likely == "" or name_fault(likely, SPEC_NAME_MOST) is None
    assert likely == "" or name_fault(f"{likely}-001") is None
    fault = name_fault(text)
    assert (fault is None) == (name_fault(text) is None)
    assert fault is None or fault.isprintable()
