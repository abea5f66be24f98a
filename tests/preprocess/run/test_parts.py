"""A cache made in parts by processes of their own: begun, worked on, finished by the commands of a scheduler."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.plan.cache_plan import make_plan, part_of
from iscc_lidar.preprocess.run.pipeline import finalise_cache, init_cache, preprocess, process_part
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.local import LocalStore

from caches import TINY, content


def command(verb: str, streets: Path, cache: str, *more: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "iscc_lidar.preprocess", verb, "synthetic", "--root", str(streets), "--cache", cache]
    return subprocess.run([*call, *TINY, *more], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("where", ["local", pytest.param("s3", marks=pytest.mark.slow)])
def test_parts_make_what_one_run_makes(
    where: str, tiny_streets: Path, tiny_cache: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cache = str(tmp_path / "cache") if where == "local" else f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}"
    assert command("init", tiny_streets, cache).returncode == 0
    parts = [command("run", tiny_streets, cache, "--workers", "0", "--part", f"{part}/2") for part in (2, 1)]
    assert [part.returncode for part in parts] == [0, 0]
    with pytest.raises(UserError, match="no finished cache"):
        Cache(cache)
    assert command("finalise", tiny_streets, cache).returncode == 0
    assert content(cache) == content(tiny_cache)
    for index in range(6):
        a, b = Cache(cache).sweep("01", index), Cache(tiny_cache).sweep("01", index)
        np.testing.assert_array_equal(a.xyz, b.xyz)
        np.testing.assert_array_equal(a.label, b.label)


def test_what_is_missing_is_named(tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path) -> None:
    dataset, store = registry.open_dataset("synthetic", tiny_streets), LocalStore(tmp_path / "cache")
    with pytest.raises(UserError, match="was not initialised"):
        process_part(dataset, store, tiny_config)
    init_cache(dataset, store, tiny_config)
    process_part(dataset, store, tiny_config, part=(1, 2))
    with pytest.raises(UserError, match="1 of 2 sequences are missing: 01"):
        finalise_cache(dataset, store, tiny_config)
    with pytest.raises(UserError, match="other options"):
        process_part(dataset, store, replace(tiny_config, seed=1))
    process_part(dataset, store, tiny_config, part=(2, 2))
    assert [entry.name for entry in finalise_cache(dataset, store, tiny_config).sequences] == ["00", "01"]


def test_parts_divide_the_sweeps_evenly_and_hold_each_sequence_once(
    tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    dataset, store = registry.open_dataset("synthetic", tiny_streets), LocalStore(tmp_path / "cache")
    job = make_plan(dataset, store, tiny_config, None, skip=False).jobs[0]
    lengths = np.random.default_rng(0).integers(1, 400, 60).tolist()
    jobs = [replace(job, sequence=f"{k:02d}", sweeps=sweeps) for k, sweeps in enumerate(lengths)]
    parts = [part_of(jobs, part, 7) for part in range(1, 8)]
    assert sorted(job.sequence for part in parts for job in part) == [job.sequence for job in jobs]
    sizes = [sum(job.sweeps for job in part) for part in parts]
    assert max(sizes) - min(sizes) < 40
    assert part_of(jobs[:2], 5, 7) == ()


def test_a_part_and_a_whole_run_exclude_each_other(
    tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    dataset, store = registry.open_dataset("synthetic", tiny_streets), LocalStore(tmp_path / "cache")
    init_cache(dataset, store, tiny_config)
    with store.claim("part-2-of-2"):
        process_part(dataset, store, tiny_config, part=(1, 2))
        for call in (
            lambda: preprocess(dataset, store, tiny_config),
            lambda: process_part(dataset, store, tiny_config, part=(2, 2)),
        ):
            with pytest.raises(UserError, match="works on it"):
                call()


def test_a_sequence_that_fails_at_work_is_skipped_and_listed(tmp_path: Path, tiny_streets: Path) -> None:
    """Its files look right, and poses in them lie far apart: that shows when sweeps are stacked."""
    streets, cache = tmp_path / "streets", str(tmp_path / "cache")
    shutil.copytree(tiny_streets, streets)
    poses = streets / "sequences/00/poses.txt"
    right = poses.read_text().splitlines()
    poses.write_text("\n".join([*right[:3], "1 0 0 3e7 0 1 0 0 0 0 1 0", *right[4:]]))
    stopped = command("run", streets, cache, "--workers", "0")
    assert stopped.returncode == 1
    assert "sequence 00, sweep 000003: its pose is" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (Path(cache) / ".steps/01").exists()  # nothing more was begun
    done = command("run", streets, cache, "--workers", "1", "--on-error", "skip")
    assert done.returncode == 3, done.stderr
    assert "skipped: 00: " in done.stderr
    assert Cache(cache).sequence_names == ("01",)
    (skipped,) = Cache(cache).manifest.skipped
    assert (skipped.name, "its pose is" in skipped.reason) == ("00", True)
    info = [sys.executable, "-m", "iscc_lidar.shared.cache_cli", "info", cache]
    assert "skipped: 00: " in subprocess.run(info, capture_output=True, text=True, check=True).stdout
    poses.write_text("\n".join(right))
    assert command("run", streets, cache, "--workers", "0", "--on-error", "skip").returncode == 0
    assert Cache(cache).sequence_names == ("00", "01")
