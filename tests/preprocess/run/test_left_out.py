"""Sweeps that cannot be used, with ``--on-error skip``: their places are kept, the rest of the sequence is used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.datasets.semantickitti import SemanticKitti
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import finalise_cache, init_cache, preprocess, process_part
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.local import LocalStore

from caches import TINY, content


def run(streets: Path, cache: Path, config: PreprocessConfig, skip: bool = True, workers: int = 0) -> Manifest:
    dataset = registry.open_dataset("synthetic", streets)
    return preprocess(dataset, LocalStore(cache), config, Executor(workers), on_error="skip" if skip else "stop")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def test_a_sweep_that_cannot_be_read_has_no_points(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    sweep, cache = own_streets / "sequences/00/velodyne/000003.bin", tmp_path / "cache"
    whole = sweep.read_bytes()
    cut(sweep)
    call = [sys.executable, "-m", "iscc_lidar.preprocess", "run", "synthetic", "--root", str(own_streets), *TINY]
    call += ["--cache", str(cache), "--workers", "1", "--on-error", "skip"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "skipped: 00: sweep 000003: " in done.stderr
    assert "Traceback" not in done.stderr
    found = Cache(cache)
    assert verify_cache(cache) == []
    assert [len(found.label("00", index)) > 0 for index in range(6)] == [True, True, True, False, True, True]
    assert all((found.label("00", index) >= 0).any() for index in (0, 1, 2, 4, 5))
    assert found.sweep_names("00") == [f"{k:06d}" for k in range(6)]
    info = [sys.executable, "-m", "iscc_lidar.shared.cache_cli", "info", str(cache)]
    assert "skipped: 00: sweep 000003: " in subprocess.run(info, capture_output=True, text=True, check=True).stdout
    before = content(cache)
    run(own_streets, cache, tiny_config)
    assert content(cache) == before
    with pytest.raises(UserError, match=r"000003\.bin"):  # results without the sweep are not taken for its own
        run(own_streets, cache, tiny_config, skip=False)
    sweep.write_bytes(whole)
    assert run(own_streets, cache, tiny_config).skipped == ()
    run(own_streets, tmp_path / "sound", tiny_config, skip=False)
    assert content(cache) == content(tmp_path / "sound")


def test_a_sweep_that_is_refused_keeps_its_number_of_points(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files look right; that it is not valid shows when it is read."""
    folder, cache = own_streets / "sequences/00", tmp_path / "cache"
    read = SemanticKitti.read

    def refuse(dataset: SemanticKitti, sequence: str, index: int) -> Sweep:
        sweep = read(dataset, sequence, index)
        if index in (0, 5):
            raise SweepError(f"sequence {sequence}, sweep {sweep.name}: refused", len(sweep))
        return sweep

    monkeypatch.setattr(SemanticKitti, "read", refuse)
    with pytest.raises(UserError, match="leave such sweeps out with --on-error skip"):
        run(own_streets, cache, tiny_config, skip=False)
    manifest = run(own_streets, cache, tiny_config)
    assert [(skipped.name, skipped.reason[:13]) for skipped in manifest.skipped] == [
        ("00", "sweep 000000:"),
        ("00", "sweep 000005:"),
    ]
    found = Cache(cache)
    for index in (0, 5):
        sweep = found.sweep("00", index)
        assert len(sweep.label) == (folder / f"velodyne/{index:06d}.bin").stat().st_size // 16
        assert (sweep.label == NOT_CONSIDERED).all()
        near = found.sweep("00", min(max(index, 1), 4))
        np.testing.assert_array_equal(sweep.world_SE3_sensor, near.world_SE3_sensor)
    assert (found.label("00", 1) >= 0).any()
    assert verify_cache(cache) == []
    with pytest.raises(UserError, match="leave such sweeps out"):  # not what was made without them
        run(own_streets, cache, tiny_config, skip=False)


@pytest.mark.parametrize("damaged", ["labels/000002.label", "velodyne/000000.bin"])
def test_in_parts(damaged: str, own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path) -> None:
    cut(own_streets / "sequences/00" / damaged)
    dataset, store = registry.open_dataset("synthetic", own_streets), LocalStore(tmp_path / "cache")
    init_cache(dataset, store, tiny_config, on_error="skip")
    process_part(dataset, store, tiny_config, on_error="skip")
    (skipped,) = finalise_cache(dataset, store, tiny_config).skipped
    assert skipped.reason.startswith(f"sweep {Path(damaged).stem}: ")
    assert Cache(tmp_path / "cache").sequence("00").sweeps == 6


def test_a_whole_block_and_a_whole_sequence(tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path) -> None:
    streets, cache = tmp_path / "streets", tmp_path / "cache"
    shutil.copytree(tiny_streets, streets)
    for index in range(6):
        cut(streets / f"sequences/00/velodyne/{index:06d}.bin")
    for index in range(5):
        cut(streets / f"sequences/01/velodyne/{index:06d}.bin")
    manifest = run(streets, cache, tiny_config)
    assert [entry.name for entry in manifest.sequences] == ["01"]
    assert [skipped.name for skipped in manifest.skipped] == ["00", *["01"] * 5]
    found = Cache(cache)
    assert [len(found.label("01", index)) > 0 for index in range(6)] == [False] * 5 + [True]
    assert verify_cache(cache) == []
