"""Damaged inputs of every reader end in one line; see tests/tools/fuzzing.py."""

from __future__ import annotations

import time

import pytest

from fuzzing import fuzz
from readers import READERS


@pytest.mark.parametrize("name", sorted(READERS))
def test_no_damaged_input_causes_a_stack_trace_a_hang_or_a_change_outside(name: str) -> None:
    assert list(fuzz(name, 25)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(READERS))
def test_thousands_of_damaged_inputs(name: str) -> None:
    first = time.time_ns() % 10**9
    print(f"{name}: seeds from {first}")
    assert list(fuzz(name, 5000, first)) == []
