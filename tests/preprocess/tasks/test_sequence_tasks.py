"""What is kept, and what is done anew, when input, options or files of a cache change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import remove_damaged, verify_cache
from iscc_lidar.shared.store.local import LocalStore

from caches import content


def run(streets: Path, cache: Path, config: PreprocessConfig, workers: int = 0) -> None:
    preprocess(registry.open_dataset("synthetic", streets), LocalStore(cache), config, Executor(workers))


def test_a_second_run_changes_nothing(
    tiny_streets: Path, tiny_cache: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(tiny_cache, cache)
    blocks = {f: f.stat().st_mtime_ns for f in (cache / "sequences").rglob("*") if f.is_file()}
    run(tiny_streets, cache, tiny_config)
    assert {f: f.stat().st_mtime_ns for f in (cache / "sequences").rglob("*") if f.is_file()} == blocks


def made(cache: Path, before: dict[str, str]) -> set[str]:
    """Kinds of files that are there and were not before."""
    new = content(cache).items() - before.items()
    return {Path(name).name.split("-")[0].split("_")[0] for name, _ in new if name.startswith(".steps")} | {
        "block" for name, _ in new if name.startswith("sequences")
    }


def test_a_changed_option_redoes_what_depends_on_it_and_no_more(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run(own_streets, cache, tiny_config)
    before = content(cache)
    run(own_streets, cache, tiny_config, workers=1)
    assert content(cache) == before
    run(own_streets, cache, replace(tiny_config, seed=1))
    assert made(cache, before) == {"block"}
    before = content(cache)
    linking = replace(tiny_config.linking, min_iou=0.3)
    run(own_streets, cache, replace(tiny_config, seed=1, linking=linking))
    assert made(cache, before) == {"segmented", "ids", "block"}
    assert verify_cache(cache) == []


def test_a_changed_sweep_redoes_the_blocks_whose_windows_hold_it(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run(own_streets, cache, tiny_config)
    before = content(cache)
    sweep = own_streets / "sequences/00/velodyne/000005.bin"
    points = np.fromfile(sweep, np.float32)
    points[:40] = 0
    points.tofile(sweep)
    run(own_streets, cache, tiny_config)
    kept = [name for name in content(cache).items() & before.items() if "segmented" in name[0]]
    entry = Cache(cache).sequence("00")
    last_of = [max(w.stop for w in entry.windows if b.start <= w.own_start < b.stop) for b in entry.blocks]
    assert len(kept) == sum(last <= 5 for last in last_of) > 0
    assert verify_cache(cache) == []


def test_steps_that_are_lost_or_damaged_are_done_again(
    tiny_streets: Path, tiny_cache: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(tiny_cache, cache)
    shutil.rmtree(cache / ".steps/00")
    for step in (cache / ".steps/01").iterdir():
        data = bytearray(step.read_bytes())
        data[len(data) // 2] ^= 1
        step.write_bytes(bytes(data))
    run(tiny_streets, cache, tiny_config)
    assert content(cache) == content(tiny_cache)


def test_only_blocks_that_verify_removed_are_made_again(
    tiny_streets: Path, tiny_cache: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(tiny_cache, cache)
    block = cache / Cache(cache).sequence("01").blocks[0].path
    (block / "groups.parquet").write_bytes(b"")
    times = {f: f.stat().st_mtime_ns for f in cache.rglob("*.parquet") if block not in f.parents}
    remove_damaged(cache, verify_cache(cache))
    run(tiny_streets, cache, tiny_config)
    assert content(cache) == content(tiny_cache)
    assert {f: f.stat().st_mtime_ns for f in times} == times
