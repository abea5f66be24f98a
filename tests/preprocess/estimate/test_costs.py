"""What a dry run estimates, against runs of two sizes."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from iscc_lidar.data_schemas.manifest import SequenceEntry
from iscc_lidar.preprocess.cli import app
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.estimate.costs import choose_samples, estimate_costs, workload_of
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER, plan_sequence
from iscc_lidar.preprocess.run.pipeline import preprocess, process_jobs
from iscc_lidar.preprocess.segment.windows import WindowConfig, plan_windows
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.store.open import open_store

from caches import TINY

CONFIG = PreprocessConfig(window=WindowConfig(sweeps=4, stride=2, block_sweeps=8))


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    generate(root, SynthConfig(sequences=3, sweeps=24, beams=16, columns=96), workers=0)
    return root


@pytest.mark.slow
def test_bytes_are_those_of_runs_of_two_sizes(streets: Path, tmp_path: Path) -> None:
    dataset = open_dataset("synthetic", streets)
    sizes = [workload_of([24] * n, CONFIG.window) for n in (1, 3)]
    samples = choose_samples(dataset, dataset.sequences(), CONFIG.window)
    few, all_of_it = estimate_costs(dataset, samples, CONFIG, sizes)
    for n, found in ((1, few), (3, all_of_it)):
        store = open_store(tmp_path / str(n))
        preprocess(dataset, store, CONFIG, sequences=dataset.sequences()[:n])
        files = store.files("")
        steps = sum(size for name, size in files.items() if name.startswith(STEPS_FOLDER))
        assert fmean(cost.cache_bytes for cost in found) == pytest.approx(sum(files.values()) - steps, rel=0.12)
        assert fmean(cost.steps_bytes for cost in found) == pytest.approx(steps, rel=0.3)
    for one, three in zip(few, all_of_it, strict=True):
        assert three.cpu_s == pytest.approx(3 * one.cpu_s)
        assert three.peak_bytes == one.peak_bytes > 50e6


def test_samples_lie_in_equal_shares_of_all_sweeps(streets: Path) -> None:
    dataset = open_dataset("synthetic", streets)
    found = choose_samples(dataset, dataset.sequences(), CONFIG.window, samples=3)
    assert [(s.sequence, s.sweeps) for s in found] == [(f"{k:02}", range(12, 24)) for k in range(3)]
    assert len(choose_samples(dataset, ["01"], WindowConfig())) == 1  # all of the sequence, once


def test_the_windows_of_a_sample_are_those_of_its_own_sweeps(streets: Path, tmp_path: Path) -> None:
    dataset, store = open_dataset("synthetic", streets), open_store(tmp_path)
    job = plan_sequence(dataset, "02", store, CONFIG, range(12, 24))
    alone = plan_windows(12, CONFIG.window)
    assert job.sweeps == 12
    assert [(w.start - 12, w.stop - 12, w.own_start - 12, w.own_stop - 12) for w in job.windows] == [
        (w.start, w.stop, w.own_start, w.own_stop) for w in alone
    ]
    (result,) = process_jobs([job])
    assert isinstance(result.entry, SequenceEntry)
    assert [(block.start, block.stop) for block in result.entry.blocks] == [(12, 21), (21, 24)]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(1, 12), st.integers(1, 120))
def test_sizes_count_what_a_plan_holds(sweeps: list[int], stride: int, block_sweeps: int) -> None:
    config = WindowConfig(sweeps=12, stride=stride, block_sweeps=block_sweeps)
    size = workload_of(sweeps, config)
    assert (size.sequences, size.sweeps) == (len(sweeps), sum(sweeps))
    assert size.windows >= size.blocks >= size.sequences
    assert size.reads >= size.sweeps
    parts = [workload_of([n], config) for n in sweeps]
    for name in ("windows", "blocks", "reads"):
        assert getattr(size, name) == sum(getattr(part, name) for part in parts)
    assert size.block_sweeps == max(part.block_sweeps for part in parts)


def test_a_dry_run_tells_and_writes_nothing(own_streets: Path, tmp_path: Path) -> None:
    options = ["--root", str(own_streets), "--cache", str(tmp_path / "cache"), *TINY]
    done = CliRunner().invoke(app, ["run", "semantickitti", *options, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "sequences 1, sweeps 6, windows 4, blocks 3" in done.output
    assert "sequences 22, sweeps 43,552" in done.output
    assert all(word in done.output for word in ("CPU s", "on one core", "per worker"))
    assert not (tmp_path / "cache").exists()


def test_data_with_problems_are_refused_before_anything_is_tried(own_streets: Path, tmp_path: Path) -> None:
    sweep = sorted(own_streets.rglob("*.bin"))[2]
    sweep.write_bytes(b"odd")
    options = ["--root", str(own_streets), "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(app, ["run", "synthetic", *options, "--dry-run"])
    assert done.exit_code == 1
    assert sweep.name in done.output
