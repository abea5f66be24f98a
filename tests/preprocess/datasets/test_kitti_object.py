"""Frames of KITTI's object benchmark laid out as their archives are, and real ones."""

from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.datasets import kitti
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import transform

from kitti_writer import write_object


def test_object_frames_are_sequences_of_one_sweep(tmp_path: Path) -> None:
    write_object(tmp_path)
    dataset = kitti.open_dataset(tmp_path)
    assert dataset.sequences() == ("testing_000008", "training_000000", "training_000008")
    assert dataset.splits() == {"training": ("training_000000", "training_000008"), "testing": ("testing_000008",)}
    assert dataset.sweep_names("training_000008") == ("000008",)
    sweep = dataset.read("training_000008", 0)
    raw = np.random.default_rng(8).random((5, 4), dtype=np.float32)
    np.testing.assert_array_equal(sweep.xyz, raw[:, :3])
    np.testing.assert_array_equal(sweep.intensity, raw[:, 3])
    np.testing.assert_array_equal(sweep.world_SE3_sensor, np.eye(4))
    assert sweep.semantic is None
    assert dataset.input_files("training_000008", 0) == (tmp_path / "training/velodyne/000008.bin",)
    assert list(dataset.problems("training_000008")) == []
    with pytest.raises(IndexError):
        dataset.read("training_000008", 1)


def test_image_sets_are_the_splits_where_they_are_there(tmp_path: Path) -> None:
    write_object(tmp_path)
    (tmp_path / "ImageSets").mkdir()
    for split, frames in {"train": "000000\n000003\n", "val": "000008\n", "test": "000008"}.items():
        (tmp_path / "ImageSets" / f"{split}.txt").write_text(frames)
    dataset = kitti.open_dataset(tmp_path)
    assert dataset.splits() == {
        "train": ("training_000000", "training_000003"),
        "val": ("training_000008",),
        "test": ("testing_000008",),
    }
    assert list(dataset.problems("training_000000")) == []
    (problem,) = dataset.problems("training_000003")  # is not here
    assert "training/velodyne/000003.bin: missing, but listed in" in problem.message
    (tmp_path / "ImageSets/val.txt").write_text("image_000008.png")
    with pytest.raises(UserError, match=r"val\.txt: expected one frame number per line"):
        dataset.splits()


def test_names_go_by_number_hidden_files_are_no_frames_and_two_of_one_number_are_named(tmp_path: Path) -> None:
    write_object(tmp_path)
    folder = tmp_path / "training/velodyne"
    (folder / "._000000.bin").touch()
    (folder / "000000.bin").rename(folder / "10.bin")
    (folder / "000008.bin").rename(folder / "9.bin")
    assert kitti.open_dataset(tmp_path).sequences() == ("testing_000008", "training_10", "training_9")
    (folder / "09.bin").write_bytes((folder / "9.bin").read_bytes())
    with pytest.raises(UserError, match=r"09\.bin and .*9\.bin: two files of one number"):
        kitti.open_dataset(tmp_path)


def test_lists_may_have_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    write_object(tmp_path)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/train.txt").write_bytes(b"\xef\xbb\xbf000000\r\n\r\n000008\r\n")
    assert kitti.open_dataset(tmp_path).splits() == {"train": ("training_000000", "training_000008")}
    (tmp_path / "ImageSets/train.txt").write_bytes(b"\xff\xfe0\x000\x00")
    with pytest.raises(UserError, match=r"train\.txt: not a text file: byte"):
        kitti.open_dataset(tmp_path).splits()


def test_a_folder_where_a_file_is_due_is_named(tmp_path: Path) -> None:
    write_object(tmp_path)
    (tmp_path / "training/velodyne/000000.bin").unlink()
    (tmp_path / "training/velodyne/000000.bin").mkdir()
    dataset = kitti.open_dataset(tmp_path)
    (problem,) = dataset.problems("training_000000")
    assert "000000.bin: is not a file" in problem.message
    with pytest.raises(UserError, match="is not a file"):
        dataset.read("training_000000", 0)


def test_damage_of_a_frame_is_named(tmp_path: Path) -> None:
    write_object(tmp_path)
    dataset = kitti.open_dataset(tmp_path)
    file = tmp_path / "training/velodyne/000000.bin"
    file.write_bytes(file.read_bytes()[:-2])
    (problem,) = dataset.problems("training_000000")
    with pytest.raises(UserError, match=r"000000\.bin: 78 bytes is not a whole number of points") as error:
        dataset.read("training_000000", 0)
    assert problem.message == str(error.value)
    file.unlink()
    (problem,) = dataset.problems("training_000000")
    assert "000000.bin: missing" in problem.message
    (tmp_path / "training/velodyne/first.bin").touch()
    with pytest.raises(UserError, match=r"first\.bin: expected a frame number"):
        dataset.sequences()


def test_real_frames_stand_on_ground_as_far_below_as_the_sensor_is_high(real_data: Path) -> None:
    dataset = kitti.open_dataset(real_data / "kitti_detection")
    assert len(dataset.sequences()) == 6
    assert dataset.splits()["train"] == dataset.sequences()
    for sequence in dataset.sequences():
        assert list(dataset.problems(sequence)) == []
        sweep = dataset.read(sequence, 0)
        assert len(sweep) > 100_000
        assert 0 <= sweep.intensity.min() < sweep.intensity.max() <= 1
        ahead = (np.abs(sweep.xyz[:, 1]) < 3) & (sweep.xyz[:, 0] > 4) & (sweep.xyz[:, 0] < 12)
        assert np.median(sweep.xyz[ahead, 2]) == pytest.approx(-1.73, abs=0.12)


def test_real_frames_behind_a_link_are_read_and_split(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "kitti_detection_from_pandaset"
    points = real_data / "semantickitti_from_pandaset/sequences/40/velodyne"
    if not points.is_dir() or not source.is_dir():
        pytest.skip("kitti_detection_from_pandaset or the points it links to are not there")
    (tmp_path / "training").mkdir()
    (tmp_path / "training/velodyne").symlink_to(points)
    (tmp_path / "ImageSets").symlink_to(source / "ImageSets")
    dataset = kitti.open_dataset(tmp_path)
    assert len(dataset.sequences()) == 52
    assert {split: len(names) for split, names in dataset.splits().items()} == {"train": 40, "val": 8}
    assert [problem for sequence in dataset.sequences() for problem in dataset.problems(sequence)] == []
    sweep = dataset.read(dataset.splits()["val"][0], 0)
    assert np.isfinite(transform(sweep.world_SE3_sensor, sweep.xyz)).all()
