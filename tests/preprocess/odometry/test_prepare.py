import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.datasets.folder import open_dataset
from iscc_lidar.preprocess.datasets.registry import Dataset, HasRawLabels, HasWarnings, absolute
from iscc_lidar.preprocess.datasets.registry import open_dataset as open_by_name
from iscc_lidar.preprocess.odometry.posed import Posed, with_poses
from iscc_lidar.preprocess.odometry.prepare import compute_poses, prepare
from iscc_lidar.preprocess.odometry.register import register_sweeps
from iscc_lidar.shared.base.errors import UserError

from folder_writer import kitti_rows, pose, tum_rows, write_folder
from kitti_writer import DATE, DRIVE, write_drive, write_object


def relative(dataset: Dataset, sequence: str, indices: range) -> np.ndarray:
    poses = np.array([dataset.read(sequence, index).world_SE3_sensor for index in indices])
    return np.asarray(np.linalg.inv(poses[0]) @ poses)


def real_folder(real_data: Path, folder: Path, sweeps: int) -> Path:
    for path in sorted((real_data / "semantickitti/sequences/00/velodyne").iterdir())[:sweeps]:
        (folder / "00").mkdir(parents=True, exist_ok=True)
        (folder / "00" / path.name).symlink_to(path)
    return folder


def test_poses_of_real_sweeps_are_computed_once_and_close_to_the_official_ones(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("kiss_icp")
    dataset = open_dataset(real_folder(real_data, tmp_path / "data", 8))
    posed = prepare(dataset, None, str(tmp_path / "cache"))
    file = tmp_path / "cache-poses" / "00.tum"
    printed = capsys.readouterr().err
    assert "no poses: they are computed" in printed
    assert "odometry: sequence 00: 8 sweeps" in printed
    official = relative(open_by_name("semantickitti", real_data / "semantickitti"), "00", range(8))
    found = relative(posed, "00", range(8))
    length = np.linalg.norm(np.diff(official[:, :3, 3], axis=0), axis=1).sum()
    assert np.linalg.norm(found[:, :3, 3] - official[:, :3, 3], axis=1).max() < 0.02 * length
    assert not {path.name for path in (tmp_path / "data").iterdir()} - {"00"}
    before = file.stat().st_mtime_ns
    prepare(dataset, "odometry", str(tmp_path / "cache"))
    assert file.stat().st_mtime_ns == before
    (tmp_path / "data" / "00" / "000007.bin").unlink()
    assert list(posed.problems("00"))  # which lists that were read before still contain


def test_own_poses_are_used_unless_odometry_is_wanted(tmp_path: Path) -> None:
    dataset = open_dataset(write_folder(tmp_path / "d", sweeps=2))
    assert prepare(dataset, None, str(tmp_path / "cache")).read("d", 1).world_SE3_sensor[0, 3] == 0.5
    assert not (tmp_path / "cache-poses").exists()
    with pytest.raises(UserError, match="iscc-preprocess odometry folder POSES"):
        prepare(dataset, "odometry", "s3://bucket/cache")


def test_passed_poses_replace_those_of_any_dataset(real_data: Path, tmp_path: Path) -> None:
    dataset = open_by_name("semantickitti", real_data / "semantickitti")
    (tmp_path / "00.txt").write_text(kitti_rows([pose(k) for k in range(60)]))
    posed = with_poses(dataset, tmp_path)
    assert isinstance(posed, Posed)
    assert isinstance(posed, HasWarnings)
    assert isinstance(posed, HasRawLabels)
    assert (posed.name, posed.class_names, posed.sequences()) == (dataset.name, dataset.class_names, ("00",))
    np.testing.assert_allclose(posed.read("00", 3).world_SE3_sensor, pose(3), atol=1e-12)
    assert tmp_path / "00.txt" in posed.input_files("00", 3)
    assert list(posed.problems("00")) == []
    assert not hasattr(posed, "options")
    assert absolute(posed) == posed
    (tmp_path / "00.txt").write_text("1 2\n")
    assert "has lines of 2" in next(iter(posed.problems("00"))).message


def test_faulty_poses_that_are_passed_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / "data" / name, sweeps=2)
    dataset = open_dataset(tmp_path / "data")
    with pytest.raises(UserError, match="no such file or folder"):
        prepare(dataset, str(tmp_path / "x"), "cache")
    (tmp_path / "one.tum").write_text(tum_rows([pose(0)], ["0"]))
    with pytest.raises(UserError, match="one file for 2 sequences"):
        prepare(dataset, str(tmp_path / "one.tum"), "cache")
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses" / "a.tum").write_text(tum_rows([pose(0), pose(3)], ["0", "0.1"]))
    posed = prepare(dataset, str(tmp_path / "poses"), "cache")
    assert posed.read("a", 1).world_SE3_sensor[0, 3] == 1.5
    assert "looked for b.tum, b.txt" in next(iter(posed.problems("b"))).message


def messages(dataset: Dataset) -> list[str]:
    return [problem.message for name in dataset.sequences() for problem in dataset.problems(name)]


def test_other_datasets_need_no_files_of_poses_where_odometry_is_wanted(tiny_streets: Path, tmp_path: Path) -> None:
    pytest.importorskip("kiss_icp")
    shutil.copytree(tiny_streets / "sequences/00/velodyne", tmp_path / "streets/sequences/00/velodyne")
    write_drive(tmp_path / "raw", frames=3, points=200)
    shutil.rmtree(tmp_path / "raw" / DATE / DRIVE / "oxts")
    (tmp_path / "raw" / DATE / "calib_imu_to_velo.txt").unlink()
    for name, root in (("semantickitti", "streets"), ("kitti", "raw")):
        dataset = open_by_name(name, tmp_path / root)
        assert "compute poses: --poses odometry" in messages(dataset)[0]
        posed = prepare(dataset, "odometry", str(tmp_path / f"{root}-cache"))
        assert isinstance(posed, Posed)
        assert messages(posed) == []
        names = {file.name for file in posed.input_files(posed.sequences()[0], 0)}
        assert f"{posed.sequences()[0]}.tum" in names
        np.testing.assert_allclose(posed.read(posed.sequences()[0], 0).world_SE3_sensor, np.eye(4), atol=1e-9)
        passed = prepare(dataset, str(tmp_path / f"{root}-cache-poses"), "cache")
        assert messages(passed) == []


def test_a_single_sweep_has_the_identity_as_its_pose(tmp_path: Path) -> None:
    pytest.importorskip("kiss_icp")
    write_object(tmp_path / "frames")
    posed = prepare(open_by_name("kitti", tmp_path / "frames"), "odometry", str(tmp_path / "cache"))
    assert messages(posed) == []
    for name in ("testing_000008", "training_000000"):
        np.testing.assert_array_equal(posed.read(name, 0).world_SE3_sensor, np.eye(4))


def test_without_kiss_icp_the_error_names_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kiss_icp.config", None)
    dataset = open_dataset(write_folder(tmp_path / "d", sweeps=2, poses=False))
    with pytest.raises(UserError, match=r'kiss-icp, which is not installed; .*pip install "\.\[odometry\]"'):
        register_sweeps(dataset, "d")


def test_a_folder_of_others_is_not_written_to(tmp_path: Path) -> None:
    dataset = open_dataset(write_folder(tmp_path / "d", sweeps=2, poses=False))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(UserError, match="which this program did not write"):
        compute_poses(dataset, tmp_path / "out", ["d"])
