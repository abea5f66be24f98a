import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.folder import open_dataset
from iscc_lidar.preprocess.datasets.registry import with_options
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.local import LocalStore

from bag_writer import START_NS, BagWriter
from folder_writer import pose, sweep, write_folder

pytest.importorskip("rosbags")

PERIOD = 100_000_000
MOUNT = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, 0.1], [0, 0, 1, 1.2], [0, 0, 0, 1]])


def write_bag(path: Path, storage: str = "mcap", sweeps: int = 4, poses: str = "tf") -> Path:
    """Poses are of the vehicle, at 20 Hz; the LiDAR is mounted on it by a link in between."""
    with BagWriter(path, storage) as bag:
        if poses != "none":
            bag.transform("/tf_static", START_NS, "base", "mast", MOUNT)
            bag.transform("/tf_static", START_NS, "mast", "lidar", np.eye(4))
        for index in range(sweeps):
            ns = START_NS + index * PERIOD
            for half in (0.0, 0.5):
                base = pose(0) if index + half > sweeps else interpolated(index + half)
                at = ns + round(half * PERIOD)
                if poses == "tf":
                    bag.transform("/tf", at, "odom", "base", base @ inverse(MOUNT))
                elif poses == "odometry":
                    bag.odometry("/odom", at, "odom", "base", base @ inverse(MOUNT))
            bag.cloud("/points", ns, "lidar", sweep(index))
    return path


def interpolated(index: float) -> np.ndarray:
    angle = 0.004 * index
    found = pose(0)
    found[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    found[0, 3] = 0.5 * index
    return found


def groups(root: Path, cache: Path, poses: Path) -> list[np.ndarray]:
    config = PreprocessConfig(window=WindowConfig(sweeps=4, stride=2, block_sweeps=4))
    dataset = open_dataset(root).with_poses(poses)
    entry = preprocess(dataset.settled()[0], LocalStore(cache), config, accept_content=True).sequences[0]
    return [Cache(cache).sweep(entry.name, index).label for index in range(entry.sweeps)]


@pytest.mark.parametrize(("storage", "poses"), [("mcap", "tf"), ("db3", "odometry")])
def test_bags_give_the_points_poses_and_groups_that_were_written(tmp_path: Path, storage: str, poses: str) -> None:
    bag = write_bag(tmp_path / "drive", storage, poses=poses)
    dataset = open_dataset(bag)
    assert dataset.sequences() == ("drive",)
    assert dataset.sweep_names("drive") == tuple(str(START_NS + k * PERIOD) for k in range(4))
    assert dataset.has_poses("drive")
    assert list(dataset.problems("drive")) == []
    assert {file.name for file in dataset.watched_files("drive")} == {"metadata.yaml", f"drive.{storage}"}
    read = dataset.read("drive", 2)
    np.testing.assert_array_equal(read.xyz, np.stack([sweep(2)[axis] for axis in "xyz"], axis=1))
    np.testing.assert_allclose(read.world_SE3_sensor, pose(2), atol=1e-9)
    assert read.timestamp_ns == START_NS + 2 * PERIOD
    files = write_folder(tmp_path / "files", "pcd", sweeps=4)
    for mine, theirs in zip(
        *(groups(root, tmp_path / f"cache-{root.name}", files / "poses.txt") for root in (bag, files)), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_a_file_alone_and_folders_with_several_bags(tmp_path: Path) -> None:
    (tmp_path / "bags").mkdir()
    for name in ("a", "b"):
        write_bag(tmp_path / "bags" / name, sweeps=2)
    assert open_dataset(tmp_path / "bags").sequences() == ("a", "b")
    single = open_dataset(tmp_path / "bags" / "a" / "a.mcap")
    assert single.sequences() == ("a",)
    assert single.read("a", 1).timestamp_ns == START_NS + PERIOD


def test_topics_are_named_where_several_could_be_meant(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "d") as bag:
        for topic in ("/front", "/rear"):
            bag.cloud(topic, START_NS, "lidar", sweep(0))
    dataset = open_dataset(tmp_path / "d")
    with pytest.raises(UserError, match=r"topics of PointCloud2: /front, /rear; pass one as --data topic"):
        dataset.sweep_names("d")
    chosen = with_options(dataset, ["topic=/rear"])
    assert len(chosen.sweep_names("d")) == 1
    assert "no poses" in next(iter(chosen.problems("d"))).message


def test_damaged_bags_are_named(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "d", sweeps=2)
    file = bag / "d.mcap"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"/d: .*damaged"):
        open_dataset(bag).sweep_names("d")
    with BagWriter(tmp_path / "e") as writer:
        points = sweep(0)
        writer.cloud("/points", START_NS, "lidar", points)
        original = writer.types["sensor_msgs/msg/PointCloud2"]
        writer.types["sensor_msgs/msg/PointCloud2"] = lambda **k: original(**{**k, "width": k["width"] + 7})
        writer.cloud("/points", START_NS + PERIOD, "lidar", points)
        writer.types["sensor_msgs/msg/PointCloud2"] = original
    dataset = open_dataset(tmp_path / "e")
    with pytest.raises(UserError, match=r"/points at .*do not fit its points of 19 bytes"):
        dataset._source("e").read(1, dataset.options)


def test_without_rosbags_the_error_names_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.mcap").touch()
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    with pytest.raises(UserError, match=r'rosbags, which is not installed; .*pip install "\.\[formats\]"'):
        open_dataset(tmp_path / "d.mcap").sweep_names("d")


def test_topics_of_several_lidars_become_one_sweep(tmp_path: Path) -> None:
    front, rear = np.eye(4), np.diag([-1.0, -1, 1, 1])
    front[:3, 3], rear[:3, 3] = (1, 0, 2), (-3, 0, 2)
    with BagWriter(tmp_path / "d") as bag:
        for child, matrix in (("front", front), ("rear", rear)):
            bag.transform("/tf_static", START_NS, "base", child, matrix)
        for index in range(2):
            ns = START_NS + index * PERIOD
            bag.cloud("/front", ns, "front", sweep(index))
            bag.cloud("/rear", ns + 20_000_000, "rear", sweep(index))
            bag.transform("/tf", ns, "odom", "base", pose(index))
    dataset = with_options(open_dataset(tmp_path / "d"), ["topic=/front,/rear"])
    found, points = dataset.read("d", 1), np.stack([sweep(1)[axis] for axis in "xyz"], axis=1)
    assert len(found) == 2 * len(points)
    np.testing.assert_array_equal(found.xyz[: len(points)], points)
    moved = np.where(points.any(axis=1, keepdims=True), points * [-1, -1, 1] + [-4, 0, 0], 0)
    np.testing.assert_allclose(found.xyz[len(points) :], moved, atol=1e-5)
    np.testing.assert_allclose(found.origin[-1], [-4, 0, 0])
    np.testing.assert_allclose(found.world_SE3_sensor, pose(1) @ front, atol=1e-9)


@pytest.mark.parametrize("target", ["gone.mcap", "bag.mcap"])
def test_a_link_to_nothing_or_to_itself_in_a_bags_folder_is_named(tmp_path: Path, target: str) -> None:
    write_bag(tmp_path / "bag")
    (tmp_path / "bag/bag.mcap").unlink()
    (tmp_path / "bag/bag.mcap").symlink_to(target)
    with pytest.raises(UserError, match=r"bag\.mcap: (No such file|Too many levels)"):
        open_dataset(tmp_path).settled()[0].read("bag", 0)


@pytest.mark.parametrize("name", ["bag.mcap", "metadata.yaml", "more"])
def test_what_is_no_file_in_a_bags_folder_is_refused_before_it_is_opened(tmp_path: Path, name: str) -> None:
    """Opening a FIFO waits for somebody to write into it."""
    write_bag(tmp_path / "bag")
    (tmp_path / "bag" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "bag" / name)
    signal.alarm(20)  # instead of a hang
    try:
        with pytest.raises(UserError, match=rf"{name}: a folder, pipe or device|looked for sweeps"):
            open_dataset(tmp_path).settled()[0].read("bag", 0)
    finally:
        signal.alarm(0)
