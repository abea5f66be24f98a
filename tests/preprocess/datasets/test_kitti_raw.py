"""Drives of KITTI raw laid out as their archives are."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets import _kitti_raw, _oxts, kitti
from iscc_lidar.shared.base.errors import UserError

from kitti_writer import DATE, DRIVE, packet, time_line, write_drive


def slow_pose(values: list[float], first_latitude: float) -> list[list[float]]:
    """Slow twin of the raw development kit's convertOxtsToPose: map_SE3_imu by plain sums over scalars."""
    lat, lon, alt, roll, pitch, yaw = values[:6]
    scale = math.cos(first_latitude * math.pi / 180)
    east = scale * lon * math.pi * 6378137 / 180
    north = scale * 6378137 * math.log(math.tan((90 + lat) * math.pi / 360))
    rotation = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]
    for axis, angle in ((2, yaw), (1, pitch), (0, roll)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = [[float(r == c) for c in range(3)] for r in range(3)]
        turn[i][i] = turn[j][j] = math.cos(angle)
        turn[i][j], turn[j][i] = -math.sin(angle), math.sin(angle)
        rotation = [[sum(rotation[r][k] * turn[k][c] for k in range(3)) for c in range(3)] for r in range(3)]
    return [[*row, t] for row, t in zip(rotation, (east, north, alt), strict=True)] + [[0, 0, 0, 1]]


def slow_sensor_pose(frame: int) -> NDArray[np.float64]:
    velo_SE3_imu = np.array([[0, -1, 0, -0.8], [1, 0, 0, 0.3], [0, 0, 1, -0.8], [0, 0, 0, 1]])
    world = [np.array(slow_pose(packet(f), packet(0)[0])) @ np.linalg.inv(velo_SE3_imu) for f in (0, frame)]
    for pose in world:  # before inverting: numpy's general inverse loses digits at map coordinates of 1e6 m
        pose[:3, 3] -= np.array(slow_pose(packet(0), packet(0)[0]))[:3, 3]
    return np.linalg.inv(world[0]) @ world[1]


def test_raw_drive_gives_back_points_times_and_the_poses_of_the_frame_numbers(tmp_path: Path) -> None:
    write_drive(tmp_path, frames=5, without=(0, 2))
    dataset = kitti.open_dataset(tmp_path)
    assert dataset.sequences() == (DRIVE,)
    assert dataset.splits() == {}
    assert dataset.class_names == ("unlabelled",)
    assert dataset.sweep_names(DRIVE) == ("0000000001", "0000000003", "0000000004")
    assert list(dataset.problems(DRIVE)) == []
    for index, frame in enumerate((1, 3, 4)):
        sweep = dataset.read(DRIVE, index)
        raw = np.random.default_rng(frame).random((7, 4), dtype=np.float32)
        np.testing.assert_array_equal(sweep.xyz, raw[:, :3])
        np.testing.assert_array_equal(sweep.intensity, raw[:, 3])
        np.testing.assert_allclose(sweep.world_SE3_sensor, slow_sensor_pose(frame), atol=1e-7)
        assert sweep.timestamp_ns % 10**9 == frame * 10**8 + 94360375  # 2011-09-26 13:02:25.x94360375
        assert (sweep.sequence, sweep.name, sweep.semantic) == (DRIVE, f"{frame:010d}", None)
        np.testing.assert_array_equal(sweep.origin, np.zeros((1, 3), np.float32))
        assert sweep.world_SE3_sensor.dtype == np.float64
        assert {file.name for file in dataset.input_files(DRIVE, index)} == {
            f"{frame:010d}.bin",
            f"{frame:010d}.txt",
            "0000000000.txt",  # the origin and the scale of the map
            "timestamps.txt",
            "calib_imu_to_velo.txt",
        }


def test_driving_north_by_a_milli_degree_is_111_metres_ahead(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, frames=2)
    (tmp_path / DATE / "calib_imu_to_velo.txt").write_text("R: 1 0 0 0 1 0 0 0 1\nT: 0 0 0\n")
    for frame in range(2):  # yaw of 90 degrees looks north
        values = [49 + 1e-3 * frame, 8.4, 100, 0, 0, math.pi / 2, *([0] * 24)]
        (folder / "oxts/data" / f"{frame:010d}.txt").write_text(" ".join(map(str, values)))
    dataset = kitti.open_dataset(tmp_path)
    np.testing.assert_allclose(dataset.read(DRIVE, 0).world_SE3_sensor, np.eye(4), atol=1e-8)
    # 1e-3 degrees of a sphere of the equator's radius; the map's scale is exact at the first latitude only
    np.testing.assert_allclose(dataset.read(DRIVE, 1).world_SE3_sensor[:3, 3], [111.319, 0, 0], atol=2e-3)


def test_times_keep_their_nanoseconds() -> None:
    assert _kitti_raw._nanoseconds("1970-01-02 00:00:01.000000007") == 86_401 * 10**9 + 7
    assert _kitti_raw._nanoseconds("2011-09-26 13:02:25.5") == 1317042145 * 10**9 + 500_000_000
    assert _kitti_raw._nanoseconds("2011-09-26 13:02:25") == 1317042145 * 10**9


angle = st.floats(-math.pi, math.pi)


@given(st.floats(-80, 80), st.floats(-180, 180), st.floats(-100, 4000), angle, angle, angle, st.floats(-80, 80))
def test_map_poses_are_rigid_and_those_of_the_slow_twin(
    lat: float, lon: float, alt: float, roll: float, pitch: float, yaw: float, first: float
) -> None:
    values = [lat, lon, alt, roll, pitch, yaw, *([0.0] * 24)]
    pose = _oxts.map_SE3_imu(np.array(values), _oxts.mercator_scale(np.array([first])))
    np.testing.assert_allclose(pose, slow_pose(values, first), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=st.integers(0, 3), frames=st.integers(1, 6), data=st.data())
def test_any_frames_may_be_missing_and_sweeps_may_be_empty(
    tmp_path_factory: pytest.TempPathFactory, points: int, frames: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("kitti")
    kept = sorted(data.draw(st.sets(st.integers(0, frames - 1), min_size=1)))
    write_drive(root, frames, without=tuple(set(range(frames)) - set(kept)), points=points)
    dataset = kitti.open_dataset(root)
    sweeps = [dataset.read(DRIVE, index) for index in range(len(kept))]
    assert [int(sweep.name) for sweep in sweeps] == kept
    assert [(sweep.xyz.shape, sweep.intensity.shape) for sweep in sweeps] == [((points, 3), (points,))] * len(kept)
    for frame, sweep in zip(kept, sweeps, strict=True):
        np.testing.assert_allclose(sweep.world_SE3_sensor, slow_sensor_pose(frame), atol=1e-7)
    assert list(dataset.problems(DRIVE)) == []


FRAME = "0000000002"
OXTS = f"oxts/data/{FRAME}.txt"


def edit(path: str, change):  # type: ignore[no-untyped-def]
    def damage(folder: Path) -> None:
        file = folder / path
        file.write_bytes(change(file.read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (edit(f"velodyne_points/data/{FRAME}.bin", lambda b: b[:-3]), [f"{FRAME}.bin", "whole number", "fetch it"]),
        (edit(f"oxts/data/{FRAME}.txt", lambda b: b"1 2 3"), [f"oxts/data/{FRAME}.txt", "30", "found 3"]),
        (edit(f"oxts/data/{FRAME}.txt", lambda b: b"x" + b), [f"oxts/data/{FRAME}.txt", "30 numbers"]),
        (edit(f"oxts/data/{FRAME}.txt", lambda b: b"nan " + b[5:]), [f"oxts/data/{FRAME}.txt", "finite"]),
        (lambda f: (f / "oxts/data" / f"{FRAME}.txt").unlink(), [f"oxts/data/{FRAME}.txt: missing", "archive"]),
        (lambda f: shutil.rmtree(f / "oxts"), ["oxts/data: contains no .txt", "archive"]),
        (lambda f: (f / "velodyne_points/timestamps.txt").unlink(), ["timestamps.txt: missing", "archive"]),
        (edit("velodyne_points/timestamps.txt", lambda b: b[:40]), ["timestamps.txt", f"no time for frame {FRAME}"]),
        (edit("velodyne_points/timestamps.txt", lambda b: b.replace(b"25.2", b"x")), ["line 3", "2011-09-26 13:02"]),
        (lambda f: (f.parent / "calib_imu_to_velo.txt").unlink(), ["calib_imu_to_velo.txt: missing", "calibration"]),
        (edit("../calib_imu_to_velo.txt", lambda b: b.replace(b"R:", b"Q:")), ["calib_imu_to_velo.txt", "'R:'"]),
        (edit("../calib_imu_to_velo.txt", lambda b: b.replace(b"T: ", b"T: 4 ")), ["calib_imu_to_velo.txt", "'T:'"]),
        (edit("../calib_imu_to_velo.txt", lambda b: b.replace(b"0.3", b"inf")), ["calib_imu_to_velo.txt", "finite"]),
        (edit("../calib_imu_to_velo.txt", lambda b: b.replace(b"0.3", b"1e160")), ["calib_imu_to_velo", "in metres"]),
        (edit("../calib_imu_to_velo.txt", lambda b: b.replace(b"0 -1", b"0 -3")), ["calib_imu_to_velo", "rotation"]),
        (edit(OXTS, lambda b: b"1e160 " + b.split(b" ", 1)[1]), [OXTS, "degrees and metres"]),
        (edit(f"oxts/data/{FRAME}.txt", lambda b: b"\xff" + b), [f"oxts/data/{FRAME}.txt", "UTF-8"]),
        (edit("velodyne_points/timestamps.txt", lambda b: b"\xff" + b), ["timestamps.txt", "UTF-8"]),
    ],
)
def test_damage_of_a_drive_is_named_by_reading_and_by_the_list_of_problems(
    tmp_path: Path,
    damage,  # type: ignore[no-untyped-def]
    says: list[str],
) -> None:
    damage(write_drive(tmp_path))
    dataset = kitti.open_dataset(tmp_path)
    with pytest.raises(UserError) as error:
        dataset.read(DRIVE, 2)
    listed = [p.message for p in dataset.problems(DRIVE)]
    for words in says:
        assert words in str(error.value)
        assert any(words in problem for problem in listed)


def test_times_that_fall_or_repeat_are_a_problem(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    lines = [time_line(frame) for frame in (0, 1, 1, 3, 4)]
    (folder / "velodyne_points/timestamps.txt").write_text("\n".join(lines))
    (problem,) = kitti.open_dataset(tmp_path).problems(DRIVE)
    assert "timestamps.txt: line 3: its time is not later" in problem.message


def test_text_of_windows_and_hidden_files_change_nothing(tmp_path: Path) -> None:
    write_drive(tmp_path / "a")
    sound = kitti.open_dataset(tmp_path / "a")
    folder = write_drive(tmp_path / "b")
    for file in (
        *folder.glob("oxts/data/*.txt"),
        folder / "velodyne_points/timestamps.txt",
        *tmp_path.glob("b/*/*.txt"),
    ):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    (folder / "velodyne_points/data/._0000000000.bin").touch()
    (folder / "oxts/data/._0000000000.txt").touch()
    dataset = kitti.open_dataset(tmp_path / "b")
    assert list(dataset.problems(DRIVE)) == []
    for index in range(5):
        pose = dataset.read(DRIVE, index).world_SE3_sensor
        np.testing.assert_array_equal(pose, sound.read(DRIVE, index).world_SE3_sensor)


def test_problems_lists_every_fault_once(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / "velodyne_points/timestamps.txt").unlink()
    for frame in (1, 3):
        edit(f"velodyne_points/data/{frame:010d}.bin", lambda b: b[:-1])(folder)
    (folder / "oxts/data/0000000004.txt").unlink()
    listed = "\n".join(p.message for p in kitti.open_dataset(tmp_path).problems(DRIVE))
    assert len(listed.splitlines()) == 3
    both = "(2 of 5 sweeps have such a fault: 0000000001, 0000000003)"
    for words in ("timestamps.txt: missing", "0000000001.bin", both, "0000000004.txt: missing"):
        assert words in listed


def test_a_sweep_that_was_recorded_but_is_not_there_is_a_problem(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, without=(1,))
    (folder / "velodyne_points/data/0000000003.bin").unlink()
    (problem,) = kitti.open_dataset(tmp_path).problems(DRIVE)
    assert "no .bin for 1 frames" in problem.message
    assert "0000000003" in problem.message


def test_the_frames_that_drive_0009_never_had_are_no_problem(tmp_path: Path) -> None:
    drive = "2011_09_26_drive_0009_sync"
    folder = write_drive(tmp_path, frames=183, without=(177, 178, 179, 180), points=1, drive=drive)
    lines = "".join(f"{time_line(frame)}\n" for frame in range(183))  # even where their lines are not blank
    (folder / "velodyne_points/timestamps.txt").write_text(lines)
    dataset = kitti.open_dataset(tmp_path)
    assert list(dataset.problems(drive)) == []
    assert dataset.sweep_names(drive)[176:178] == ("0000000176", "0000000181")
    np.testing.assert_allclose(dataset.read(drive, 177).world_SE3_sensor, slow_sensor_pose(181), atol=1e-6)


def test_an_empty_drive_and_strange_names_are_named(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / "velodyne_points/data/cloud.bin").touch()
    dataset = kitti.open_dataset(tmp_path)
    with pytest.raises(UserError, match=r"cloud\.bin: expected a frame number"):
        dataset.sweep_names(DRIVE)
    other = "2011_09_28_drive_0001_sync"
    (tmp_path / other[:10] / other / "velodyne_points" / "data").mkdir(parents=True)
    (problem,) = dataset.problems(other)
    assert "contains no .bin file" in problem.message
