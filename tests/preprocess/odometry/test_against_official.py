"""Own recordings against official poses and in all formats, on real sweeps; deskewing together with odometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.folder import open_dataset
from iscc_lidar.preprocess.datasets.registry import Dataset, with_options
from iscc_lidar.preprocess.datasets.registry import open_dataset as open_by_name
from iscc_lidar.preprocess.odometry.prepare import prepare
from iscc_lidar.preprocess.plan.alignment import measure_alignment
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.local import LocalStore

import folder_writer
from bag_writer import START_NS, BagWriter
from benchmarks.preprocess.group_quality import label_sequence, read_points, segment
from benchmarks.preprocess.object_metrics import object_scores
from folder_writer import FORMATS, NEEDS, Records, cast, kitti_rows, write_las

REAL_SWEEPS = 60
FORMAT_SWEEPS = 8


def relative(dataset: Dataset, sequence: str, count: int) -> NDArray[np.float64]:
    poses = np.array([dataset.read(sequence, index).world_SE3_sensor for index in range(count)])
    return np.asarray(inverse(poses[0]) @ poses)


def coverage(dataset: Dataset, truth: NDArray[np.int32] | None, sweeps: int) -> tuple[float, NDArray[np.int32]]:
    """Mean over true objects of the best IoU with any group of the sequence, as the benchmark of groups measures it."""
    points = read_points(dataset, "00")
    assert len(points.truth) == len(points.xyz)
    truth = points.truth if truth is None else truth
    labels = np.maximum(label_sequence(points, sweeps, segment), -1)
    return float(object_scores(labels, truth, points.sweep, min_sweep_points=10).best_iou.mean()), truth


@pytest.mark.slow
def test_sweeps_without_poses_are_as_good_as_with_official_ones(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """60 sweeps of SemanticKITTI 00: path, points near surfaces, and coverage of objects."""
    pytest.importorskip("kiss_icp")
    source = real_data / "semantickitti"
    folder = tmp_path / "data" / "00"
    folder.mkdir(parents=True)
    for part, suffix in (("velodyne", ".bin"), ("labels", ".label")):
        for file in sorted((source / "sequences/00" / part).iterdir())[:REAL_SWEEPS]:
            (folder / f"{file.stem}{suffix}").symlink_to(file)
    official = open_by_name("semantickitti", source)
    posed = prepare(open_dataset(tmp_path / "data"), None, str(tmp_path / "cache"))
    right, found = relative(official, "00", REAL_SWEEPS), relative(posed, "00", REAL_SWEEPS)
    length = np.linalg.norm(np.diff(right[:, :3, 3], axis=0), axis=1).sum()
    error = np.linalg.norm(found[:, :3, 3] - right[:, :3, 3], axis=1).max()
    near = [measure_alignment(dataset, "00", 20)["near_with_poses"] for dataset in (official, posed)]
    # Classes need classes.txt; instances of the files .label do not.
    covered, truth = coverage(official, None, REAL_SWEEPS)
    covered_without, _ = coverage(posed, truth, REAL_SWEEPS)
    with capsys.disabled():
        print(
            f"\npath error {error:.3f} m of {length:.1f} m ({error / length:.2%}); near {near[0]:.3f} official, "
            f"{near[1]:.3f} odometry; coverage {covered:.3f}, {covered_without:.3f}"
        )
    assert error <= 0.01 * length
    assert abs(near[1] - near[0]) <= 0.05
    assert abs(covered_without - covered) <= 0.02


def records(file: Path) -> Records:
    raw = np.fromfile(file, "<f4").reshape(-1, 4)
    points = np.zeros(len(raw), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
    for column, name in enumerate(points.dtype.names or ()):
        points[name] = raw[:, column]
    return points


def write_real(root: Path, form: str, sweeps: list[Records], poses: list[NDArray[np.float64]]) -> Path:
    """Write real sweeps in a format. LAS and LAZ store whole millimetres and 16 bits of intensity."""
    root.mkdir(parents=True)
    if form in ("mcap", "db3"):
        with BagWriter(root / "bag", form) as bag:
            for index, (points, pose) in enumerate(zip(sweeps, poses, strict=True)):
                bag.cloud("/points", START_NS + index * 10**8, "lidar", points)
                bag.transform("/tf", START_NS + index * 10**8, "odom", "lidar", pose)
        return root / "bag"
    suffix, write = FORMATS[form]
    for index, points in enumerate(sweeps):
        file = root / f"{index:06d}{suffix}"
        if suffix in (".las", ".laz"):
            stored = points.copy()
            stored["intensity"] = np.rint(points["intensity"] * 65535)
            write_las(file, stored, unit_m=0.001)
        else:
            write(file, points)
    (root / "poses.txt").write_text(kitti_rows(poses))
    return root


def groups(dataset: Dataset, cache: Path) -> list[NDArray[np.int32]]:
    config = PreprocessConfig(window=WindowConfig(sweeps=4, stride=2, block_sweeps=8))
    entry = preprocess(dataset, LocalStore(cache), config).sequences[0]
    opened = Cache(cache)
    return [opened.label(entry.name, index) for index in range(entry.sweeps)]


@pytest.mark.slow
def test_the_same_real_sweeps_in_every_format_give_the_same_groups(real_data: Path, tmp_path: Path) -> None:
    """8 sweeps of SemanticKITTI 00, one point in four. LAS rounds points to mm, bags poses by 1e-14."""
    official = open_by_name("semantickitti", real_data / "semantickitti")
    files = [official.input_files("00", index)[0] for index in range(FORMAT_SWEEPS)]
    sweeps, poses = [records(file)[::4] for file in files], [*relative(official, "00", FORMAT_SWEEPS)]
    expected = {}
    for name, given in (("exact", sweeps), ("rounded", [rounded(points) for points in sweeps])):
        dataset = open_dataset(write_real(tmp_path / name, "bin", given, poses)).settled()[0]
        expected[name] = groups(dataset, tmp_path / f"cache-{name}")
    assert max(label.max() for label in expected["exact"]) > 50
    for form in (*FORMATS, "mcap", "db3"):
        if form in ("mcap", "db3"):
            pytest.importorskip("rosbags")
        elif form in NEEDS:
            pytest.importorskip(NEEDS[form])
        name = "rounded" if form in ("las", "laz") else "exact"
        points = rounded(sweeps[5]) if name == "rounded" else sweeps[5]
        dataset = open_dataset(write_real(tmp_path / form, form, sweeps, poses)).settled()[0]
        xyz = dataset.read(dataset.sequences()[0], 5).xyz
        np.testing.assert_array_equal(xyz, np.stack([points[axis] for axis in "xyz"], axis=1), err_msg=form)
        for found, right in zip(groups(dataset, tmp_path / f"cache-{form}"), expected[name], strict=True):
            np.testing.assert_array_equal(found, right, err_msg=form)


def rounded(points: Records) -> Records:
    """Return points with whole millimetres, as LAS stores them here: at most 0.5 mm off."""
    found = points.copy()
    for axis in "xyz":
        found[axis] = np.rint(points[axis].astype(np.float64) * 1000) * 0.001
        assert np.abs(found[axis] - points[axis]).max() < 0.00051
    return found


def posts() -> NDArray[np.float64]:
    """Return boxes [B, 6], two corners each, on both sides of a street: higher and lower than any ray reaches."""
    rng, count = np.random.default_rng(0), 100
    side = rng.choice([-1.0, 1.0], count)
    low = np.stack([rng.uniform(-45, 65, count), side * rng.uniform(4, 20, count), np.full(count, -4.0)], axis=1)
    size = np.stack([rng.uniform(0.3, 2, count), rng.uniform(0.3, 2, count), rng.uniform(5, 9, count)], axis=1)
    return np.concatenate([low, low + size], axis=1)


def turning(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return poses [N, 4, 4] at times [N] of a vehicle that sets off, up to 8 m/s, and turns at up to 23 degrees/s."""
    yaw = 0.25 * (1 - np.cos(1.6 * seconds))
    found = np.tile(np.eye(4), (len(seconds), 1, 1))
    found[:, 0, 0] = found[:, 1, 1] = np.cos(yaw)
    found[:, 1, 0], found[:, 0, 1] = np.sin(yaw), -np.sin(yaw)
    found[:, 0, 3] = 8 * (seconds - 1 + np.exp(-seconds)) - 8
    return found


def turning_sweep(start_s: float) -> tuple[Records, NDArray[np.float64]]:
    """Return a sweep of 0.1 s, each point in the frame of its own time, and its points in that of the sweep's time.

    Returns from the ground are left out: so few rings of a simulated plane look the same wherever the vehicle is.
    """
    elevation, azimuth = np.radians(np.linspace(-10, 14, 48)), np.linspace(-np.pi, np.pi, 500, endpoint=False)
    azimuth, elevation = (grid.ravel() for grid in np.meshgrid(azimuth, elevation, indexing="ij"))
    flat = np.cos(elevation)
    directions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)
    offset_s = 0.1 * (azimuth + np.pi) / (2 * np.pi)
    poses = turning(start_s + offset_s)
    world = np.einsum("nij,nj->ni", poses[:, :3, :3], directions)
    distance = cast(poses[:, :3, 3], world)
    height = poses[:, 2, 3] + world[:, 2] * np.minimum(distance, 1e3)
    seen = (distance < 60) & (height > -1.699)
    points = np.zeros(seen.sum(), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("t", "<f4")])
    points["x"], points["y"], points["z"] = (directions[seen] * distance[seen, None]).T
    points["t"] = offset_s[seen]
    hit = poses[:, :3, 3] + world * np.where(seen, distance, 0)[:, None]
    return points, transform(inverse(turning(np.array([start_s]))[0]), hit[seen])


def test_odometry_of_skewed_sweeps_gives_poses_and_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vehicle that sets off and turns: poses, and the points that are deskewed by them."""
    pytest.importorskip("kiss_icp")
    monkeypatch.setattr(folder_writer, "_BOXES", posts())
    root, count = tmp_path / "drive", 12
    root.mkdir()
    made = [turning_sweep(0.1 * index) for index in range(count)]
    for index, (points, _) in enumerate(made):
        np.save(root / f"{1700000000 + 0.1 * index:.3f}.npy", points)
    dataset = with_options(open_dataset(root), ["axes=x,y,z"])  # without ground they are not found
    posed = prepare(dataset, None, str(tmp_path / "cache"))
    right = turning(0.1 * np.arange(count))
    right = inverse(right[0]) @ right
    found = relative(posed, "drive", count)
    yaw = np.degrees(np.arctan2(found[:, 1, 0], found[:, 0, 0]) - np.arctan2(right[:, 1, 0], right[:, 0, 0]))
    off, skewed = [], []
    for index, (points, truth) in enumerate(made):
        off.append(np.linalg.norm(posed.read("drive", index).xyz - truth, axis=1))
        skewed.append(np.linalg.norm(np.stack([points[axis] for axis in "xyz"], axis=1) - truth, axis=1))
    position = np.linalg.norm(found[:, :3, 3] - right[:, :3, 3], axis=1)
    assert position.max() < 0.15
    assert np.abs(yaw).max() < 0.5
    assert np.percentile(np.concatenate(off), 95) < 0.15
    assert np.percentile(skewed[-1], 95) > 0.4
