import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from iscc_lidar.preprocess.datasets import semantickitti
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import transform

RAW = [
    0,
    1,
    10,
    11,
    13,
    15,
    16,
    18,
    20,
    30,
    31,
    32,
    40,
    44,
    48,
    49,
    50,
    51,
    52,
    60,
    70,
    71,
    72,
    80,
    81,
    99,
    252,
    253,
    254,
    255,
    256,
    257,
    258,
    259,
]
CLASS = [0, 0, 1, 2, 5, 3, 5, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 9, 15, 16, 17, 18, 19, 0, 1, 7, 6, 8, 5, 5, 4, 5]
TR = "Tr: 0 -1 0 0.5 0 0 -1 0 1 0 0 0"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sequence 03 with sweeps 000002 and 000004, poses for frames 0 to 4."""
    folder = tmp_path / "sequences" / "03"
    for name in ("velodyne", "labels"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in ("000002", "000004"):
        rng.random((len(RAW), 4), dtype=np.float32).tofile(folder / "velodyne" / f"{frame}.bin")
        (np.array(RAW, np.uint32) | (7 << 16)).tofile(folder / "labels" / f"{frame}.label")
    poses = [f"1 0 0 0 0 1 0 0 0 0 1 {frame}" for frame in range(5)]  # forward is the camera's z
    (folder / "poses.txt").write_text("\n".join(poses) + "\n")
    (folder / "calib.txt").write_text(f"P0: 1 2 3\n{TR}\n")
    (folder / "times.txt").write_text("0\n0.1\n0.2\n0.3\n0.4\n")
    return tmp_path


def test_reads_points_labels_time_and_the_pose_of_the_frame_number(root: Path) -> None:
    dataset = semantickitti.open_dataset(root)
    assert dataset.sequences() == ("03",)
    assert dataset.sweep_names("03") == ("000002", "000004")
    sweep = dataset.read("03", 1)
    raw = np.fromfile(root / "sequences/03/velodyne/000004.bin", np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(sweep.xyz, raw[:, :3])
    np.testing.assert_array_equal(sweep.intensity, raw[:, 3])
    assert sweep.semantic is not None
    assert sweep.instance is not None
    assert sweep.semantic.tolist() == CLASS
    assert set(sweep.instance.tolist()) == {7}
    assert sweep.timestamp_ns == 400_000_000
    # Row 4, though it is the second sweep; 4 m along the camera's z is 4 m along the sensor's x.
    np.testing.assert_allclose(sweep.world_SE3_sensor[:3, 3], [4, 0, 0], atol=1e-12)


def test_labels_and_times_are_optional(root: Path) -> None:
    shutil.rmtree(root / "sequences/03/labels")
    (root / "sequences/03/times.txt").unlink()
    sweep = semantickitti.open_dataset(root).read("03", 0)
    assert sweep.semantic is None
    assert sweep.timestamp_ns == 200_000_000


def break_bin(folder: Path) -> None:
    path = folder / "velodyne/000002.bin"
    path.write_bytes(path.read_bytes()[:-3])


def break_label(folder: Path) -> None:
    path = folder / "labels/000002.label"
    path.write_bytes(path.read_bytes()[:-4])


def cut_poses(folder: Path) -> None:
    path = folder / "poses.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_bin, ["velodyne/000002.bin", "whole number of points", "fetch it again"]),
        (break_label, ["labels/000002.label", "expected 4 for each"]),
        (cut_poses, ["poses.txt", "2 rows", "frame 000002"]),
        (lambda f: (f / "poses.txt").write_text("1 2 three"), ["poses.txt", "12 numbers"]),
        (lambda f: (f / "poses.txt").write_text("1 2 3"), ["poses.txt", "12 finite numbers"]),
        (lambda f: (f / "poses.txt").unlink(), ["poses.txt", "missing", "does not match"]),
        (lambda f: (f / "calib.txt").unlink(), ["calib.txt", "missing"]),
        (lambda f: (f / "calib.txt").write_text("P0: 1"), ["calib.txt", "Tr"]),
        (lambda f: (f / "times.txt").write_text("0\nx\n"), ["times.txt", "one number per row"]),
    ],
)
def test_damage_is_named(root: Path, damage, says: list[str]) -> None:  # type: ignore[no-untyped-def]
    damage(root / "sequences" / "03")
    with pytest.raises(UserError) as error:
        semantickitti.open_dataset(root).read("03", 0)
    for words in says:
        assert words in str(error.value)


def test_wrong_root_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "velodyne").mkdir()
    with pytest.raises(UserError, match=r"looked for sequences/NN/velodyne/\*\.bin and found: velodyne"):
        semantickitti.open_dataset(tmp_path)


def test_strange_file_names_are_refused(root: Path) -> None:
    (root / "sequences/03/velodyne/cloud.bin").touch()
    with pytest.raises(UserError, match=r"cloud\.bin: expected a frame number"):
        semantickitti.open_dataset(root).sweep_names("03")


def near_share(root: Path, poses: bool) -> float:
    """Share of points of the last sweep that lie within 10 cm of the first, placed by poses or not."""
    dataset = semantickitti.open_dataset(root)
    sequence = dataset.sequences()[0]
    first, last = dataset.read(sequence, 0), dataset.read(sequence, 4)
    placed = [transform(s.world_SE3_sensor, s.xyz) if poses else s.xyz for s in (first, last)]
    distance, _ = cKDTree(placed[0]).query(placed[1][::20], distance_upper_bound=0.1)
    return float(np.isfinite(distance).mean())


@pytest.mark.parametrize(
    ("name", "at_least"),
    [("semantickitti", 0.6), ("kitti_raw_as_odometry", 0.4)],  # the latter is not motion-compensated
)
def test_real_sweeps_line_up_by_their_poses(real_data: Path, name: str, at_least: float) -> None:
    with_poses, without = near_share(real_data / name, True), near_share(real_data / name, False)
    assert with_poses > at_least
    assert with_poses > without + 0.1
