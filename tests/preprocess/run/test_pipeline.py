"""The offline stage as a whole, over real files, with real Dask workers and a real killed process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.local import LocalStore

from caches import TINY, content


def run(streets: Path, cache: Path, config: PreprocessConfig, workers: int = 0, *, accept: bool = False) -> None:
    dataset = registry.open_dataset("synthetic", streets)
    preprocess(dataset, LocalStore(cache), config, Executor(workers), accept_content=accept)


@pytest.mark.parametrize("workers", [1, 2])
def test_same_bytes_whatever_the_number_of_workers(
    tiny_streets: Path, tiny_cache: Path, tiny_config: PreprocessConfig, tmp_path: Path, workers: int
) -> None:
    run(tiny_streets, tmp_path / "cache", tiny_config, workers)
    assert content(tmp_path / "cache") == content(tiny_cache)


def test_a_running_dask_cluster_gives_the_same_bytes(
    tiny_streets: Path, tiny_cache: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    dataset = registry.open_dataset("synthetic", tiny_streets)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        preprocess(dataset, LocalStore(tmp_path / "cache"), tiny_config, Executor(scheduler=cluster.scheduler_address))
    assert content(tmp_path / "cache") == content(tiny_cache)


def test_labels_align_with_the_raw_points(tiny_streets: Path, tiny_cache: Path) -> None:
    dataset, cache = registry.open_dataset("synthetic", tiny_streets), Cache(tiny_cache)
    for sequence in dataset.sequences():
        for index, name in enumerate(dataset.sweep_names(sequence)):
            raw, cached = dataset.read(sequence, index), cache.sweep(sequence, index)
            assert cached.name == name
            np.testing.assert_allclose(cached.xyz, raw.xyz, atol=0.0021)
            np.testing.assert_allclose(cached.intensity, raw.intensity, atol=0.002)
            np.testing.assert_array_equal(cached.semantic, raw.semantic)
            np.testing.assert_array_equal(cached.world_SE3_sensor, raw.world_SE3_sensor)
            assert set(np.unique(cached.label[cached.label < 0])) <= {NOISE, GROUND, NOT_CONSIDERED}


def test_ids_follow_objects_through_windows_and_blocks(tiny_streets: Path, tiny_cache: Path) -> None:
    """Parked things keep one id although each window is clustered by itself."""
    dataset, cache = registry.open_dataset("synthetic", tiny_streets), Cache(tiny_cache)
    kept = []
    for sequence in dataset.sequences():
        raws = [dataset.read(sequence, i) for i in range(6)]
        labels = [cache.sweep(sequence, i).label for i in range(6)]
        for instance in np.unique(raws[0].instance)[1:]:
            main = [main_group(label[raw.instance == instance]) for raw, label in zip(raws, labels, strict=True)]
            ids = [i for i in main if i is not None]
            if len(ids) >= 4:
                kept.append(max(ids.count(i) for i in ids) / len(ids))
    assert len(kept) >= 5
    assert np.mean(kept) > 0.9


def main_group(label: np.ndarray) -> int | None:
    grouped = label[label >= 0]
    return int(np.bincount(grouped).argmax()) if len(grouped) >= 10 else None


def test_groups_table_describes_the_labels(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    for block in cache.blocks("00"):
        table = block.group_rows.to_pylist()
        for index in range(block.entry.start, block.entry.stop):
            sweep = cache.sweep("00", index)
            rows = {row["group"]: row for row in table if row["sweep"] == index}
            ids, counts = np.unique(sweep.label[sweep.label >= 0], return_counts=True)
            assert list(rows) == ids.tolist()
            assert [row["points"] for row in rows.values()] == counts.tolist()
            world = sweep.xyz @ sweep.world_SE3_sensor[:3, :3].T + sweep.world_SE3_sensor[:3, 3]
            for group, row in rows.items():
                own = world[sweep.label == group]
                np.testing.assert_allclose(row["centroid"], own.mean(axis=0), atol=0.01)
                np.testing.assert_allclose(row["box_min"], own.min(axis=0), atol=0.01)
                np.testing.assert_allclose(row["box_max"], own.max(axis=0), atol=0.01)


def test_queries_belong_to_groups_of_their_sweep_and_moving_ones_to_their_own_rays(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    seen_by_others = 0
    for block in cache.blocks("00"):
        rows = block.group_rows.to_pylist()
        for index in range(block.entry.start, block.entry.stop):
            sweep = cache.sweep("00", index)
            queries = sweep.queries
            assert set(queries.group.tolist()) <= set(sweep.label.tolist())
            assert (np.diff(queries.group) >= 0).all()
            moving = [row["group"] for row in rows if row["sweep"] == index and row["moving"]]
            assert (queries.source[np.isin(queries.group, moving)] == index).all()
            seen_by_others += int((queries.source != index).sum())
    assert seen_by_others > 100


def test_the_cache_that_was_there_can_be_read_until_the_next_is_complete(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run(own_streets, cache, tiny_config)
    before = Cache(cache)
    labels = [before.label("00", index) for index in range(6)]
    (own_streets / "sequences/00/velodyne/000004.bin").write_bytes(bytes(17))
    with pytest.raises(UserError, match=r"000004\.bin"):
        run(own_streets, cache, replace(tiny_config, seed=1))
    assert Cache(cache).digest == before.digest
    for index in range(6):
        np.testing.assert_array_equal(Cache(cache).label("00", index), labels[index])


def test_killed_at_any_time_a_rerun_gives_the_same_bytes(tiny_streets: Path, tiny_cache: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [
        sys.executable,
        "-m",
        "iscc_lidar.preprocess",
        "run",
        "synthetic",
        "--root",
        str(tiny_streets),
        "--cache",
        str(cache),
        "--workers",
        "0",
        *TINY,
    ]
    # Killed when its first files appear, then when its first finished block does.
    for sign in (".steps/*/*.npz", "sequences/*/block_*/block.json"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(cache, sign, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (cache / "manifest.json").exists()
        with pytest.raises(UserError, match="no finished cache"):
            Cache(cache)
    subprocess.run(command, check=True, capture_output=True)
    assert content(cache) == content(tiny_cache)


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    while not any(folder.glob(pattern)):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)


def rewrite(folder: Path, frame: str, points: np.ndarray) -> None:
    points.astype(np.float32).tofile(folder / "velodyne" / f"{frame}.bin")
    np.zeros(len(points), np.uint32).tofile(folder / "labels" / f"{frame}.label")


def test_empty_sweeps_nan_points_and_sweeps_without_objects(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    folder = own_streets / "sequences" / "00"
    rewrite(folder, "000001", np.empty((0, 4)))
    road = np.fromfile(folder / "labels/000002.label", "<u4") & 0xFFFF == 40
    rewrite(folder, "000002", np.fromfile(folder / "velodyne/000002.bin", np.float32).reshape(-1, 4)[road])
    points = np.fromfile(folder / "velodyne/000003.bin", np.float32).reshape(-1, 4)
    points[::7, :3] = np.nan
    points[1::7, 0] = np.inf
    points[2::7, :3] = 0
    points[:, 3] = np.nan
    points.tofile(folder / "velodyne/000003.bin")
    run(own_streets, tmp_path / "cache", tiny_config, accept=True)
    cache = Cache(tmp_path / "cache")
    assert verify_cache(cache.path) == []
    assert len(cache.sweep("00", 1).label) == 0
    flat = cache.sweep("00", 2)
    assert (flat.label >= 0).mean() < 0.01
    assert len(cache.sweep("00", 3).label) == len(points)
    for offset in (0, 1, 2):
        assert (cache.sweep("00", 3).label[offset::7] == NOT_CONSIDERED).all()
    assert (cache.sweep("00", 3).label >= 0).any()


def test_nothing_but_empty_sweeps(own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path) -> None:
    for frame in range(6):
        rewrite(own_streets / "sequences/00", f"{frame:06d}", np.empty((0, 4)))
    run(own_streets, tmp_path / "cache", tiny_config, accept=True)
    assert len(Cache(tmp_path / "cache").sweep("00", 5).label) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sweep_stops_the_run_with_its_path_and_leaves_no_cache(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path, workers: int
) -> None:
    damaged = own_streets / "sequences/00/velodyne/000004.bin"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"000004\.bin.*whole number of points"):
        run(own_streets, tmp_path / "cache", tiny_config, workers)
    with pytest.raises(UserError, match="no finished cache"):
        Cache(tmp_path / "cache")


@pytest.mark.parametrize(
    ("file", "row", "number", "says"),
    [
        ("calib.txt", -1, "1e160", r"calib\.txt: Tr: is not a finite rotation"),
        ("poses.txt", 4, "1e160", r"poses\.txt: line 5: is not a finite rotation"),
        (
            "poses.txt",
            4,
            "3e4",
            r"sequence 00, sweep .*its pose is \d+ km from that of sweep 00000\d, with which it is stacked",
        ),
    ],
)
def test_coordinates_beyond_all_measure_stop_the_run_before_the_c_code(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path, file: str, row: int, number: str, says: str
) -> None:
    path = own_streets / "sequences/00" / file
    rows = path.read_text().splitlines()
    rows[row] = f"{rows[row].rpartition(' ')[0]} {number}"  # the last number is a translation
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(UserError, match=says):
        run(own_streets, tmp_path / "cache", tiny_config)


def test_points_far_beyond_the_range_are_not_considered(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    sweep = own_streets / "sequences/00/velodyne/000003.bin"
    points = np.fromfile(sweep, np.float32).reshape(-1, 4)
    points[::200, :3] = (3e38, -3e38, 1e20)  # more of them are an error
    points.tofile(sweep)
    run(own_streets, tmp_path / "cache", tiny_config)
    assert (Cache(tmp_path / "cache").sweep("00", 3).label[::200] == NOT_CONSIDERED).all()


def test_other_folders_and_other_caches_are_left_alone(
    tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/holiday.jpg").touch()
    with pytest.raises(UserError, match=r"is not a cache, it contains holiday\.jpg"):
        run(tiny_streets, tmp_path / "photos", tiny_config)


def test_real_sequence_by_command_line(real_data: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    root = real_data / "kitti_raw_as_odometry"
    command = [
        sys.executable,
        "-m",
        "iscc_lidar.preprocess",
        "run",
        "semantickitti",
        "--root",
        str(root),
        "--cache",
        str(cache),
        "--workers",
        "1",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"COLUMNS": "100"})
    assert "Dask dashboard: http" in done.stdout
    assert "8/8 sweeps" in done.stderr
    sweep = Cache(cache).sweep("30", 4)
    assert 0.3 < (sweep.label >= 0).mean() < 0.8
    assert len(sweep.queries.kind) > 5000
