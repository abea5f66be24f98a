"""Damaged inputs of every reader end in one line; see tests/tools/fuzzing.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from iscc_lidar.shared.cache.label_fractions import read_list

from fuzzing import Reader, fuzz, try_inputs
from readers import READERS

SLOW: Final = ("cache", "corrections", "folder", "labels-only", "predict", "run", "spread")


@pytest.mark.parametrize("name", sorted(READERS))
def test_no_damaged_input_causes_a_stack_trace_a_hang_or_a_change_outside(name: str) -> None:
    assert list(fuzz(name, 10 if name in SLOW else 25)) == []  # also that every command takes the sound input


def test_a_sound_input_that_a_command_refuses_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opens = (lambda *_: [0, 1], lambda *_: read_list(tmp_path / "gone.txt", {}), lambda *_: [0])
    for number, open_input in enumerate(opens):
        reader = Reader(lambda root: root.mkdir(), open_input)
        (tmp_path / str(number)).mkdir()
        assert try_inputs(reader, tmp_path / str(number), range(0), keep=False) == (number < 2)
    printed = capsys.readouterr().out
    assert "the sound input: \\nexit statuses [0, 1]" in printed
    assert "gone.txt" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(READERS))
def test_thousands_of_damaged_inputs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = time.time_ns() % 10**9
    with capsys.disabled():
        print(f"\n{name}: seeds from {first}")
    assert list(fuzz(name, 5000, first)) == []
