from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate

from benchmarks.preprocess.whole_stage import bench_length, bench_stage, stage_table, write_back_and_forth


def test_sweeps_back_and_forth_turn_at_both_ends(own_streets: Path, tmp_path: Path) -> None:
    write_back_and_forth(own_streets, tmp_path, 13)
    here, there = open_dataset("semantickitti", own_streets), open_dataset("semantickitti", tmp_path)
    assert len(there.sweep_names("00")) == 13
    assert list(there.problems("00")) == []
    for k, source in enumerate([0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2]):
        np.testing.assert_array_equal(there.read("00", k).xyz, here.read("00", source).xyz)
        np.testing.assert_allclose(there.read("00", k).world_SE3_sensor, here.read("00", source).world_SE3_sensor)


def test_figures_of_the_stage_are_there_and_possible(own_streets: Path) -> None:
    figures = bench_stage(own_streets)
    assert figures["sweeps"] == 6
    assert 0 < figures["cpu_s_per_sweep"] < 10
    assert 0 < figures["disk.label"] < figures["disk.all"] < 3
    assert 0.5 < figures["estimate.bytes"] < 2
    assert figures["peak_mb"] > 50
    table = stage_table({"a": figures, "b": {"extra": 1.0}})
    assert all(name in table for name in [*figures, "extra"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_sequence(tmp_path: Path) -> None:
    generate(tmp_path / "streets", SynthConfig(sequences=1, sweeps=24, beams=16, columns=192), workers=0)
    shutil.rmtree(tmp_path / "streets" / "sequences" / "00" / "labels")
    figures = bench_length(tmp_path / "streets", 2000)
    assert figures["2000.peak_mb"] < 1.1 * figures["200.peak_mb"]
