"""The root of the KITTI adapter, which may contain drives, frames or both."""

import pickle
from pathlib import Path

import pytest

from iscc_lidar.preprocess.datasets import kitti
from iscc_lidar.shared.base.errors import UserError

from kitti_writer import DATE, DRIVE, write_drive, write_points


def test_both_layouts_may_share_a_root_and_points_a_link(tmp_path: Path) -> None:
    write_drive(tmp_path, frames=1)
    write_points(tmp_path / "elsewhere" / "000001.bin", 3)
    (tmp_path / "training").mkdir()
    (tmp_path / "training/velodyne").symlink_to("../elsewhere")
    dataset = pickle.loads(pickle.dumps(kitti.open_dataset(tmp_path)))  # noqa: S301
    assert dataset.sequences() == (DRIVE, "training_000001")
    assert [len(dataset.read(sequence, 0)) for sequence in dataset.sequences()] == [7, 3]


def make_link_file(root: Path) -> None:
    (root / "training").mkdir()
    (root / "training/velodyne").write_text("../../elsewhere/velodyne")


def make_dead_link(root: Path) -> None:
    (root / "training").mkdir()
    (root / "training/velodyne").symlink_to("../gone")


@pytest.mark.parametrize(
    ("folder", "passed", "hint"),
    [
        ("sequences/00/velodyne", ".", "use semantickitti with --root"),
        ("dataset/sequences/00/velodyne", ".", "dataset"),
        (f"{DATE}/{DRIVE}/velodyne_points/data", DATE, "pass the folder above, --root"),
        (f"{DATE}/{DATE}_drive_0005_extract/velodyne_points/data", ".", "synced"),
        ("training/velodyne", "training", "Pass the folder above"),
        ("images", ".", "found: images"),
        ("empty", "empty", "an empty folder"),
        (".", "nowhere", "no such folder"),
        (make_link_file, ".", "training/velodyne is a file"),
        (make_dead_link, ".", "is a link to ../gone, which does not exist"),
    ],
)
def test_a_wrong_root_says_what_to_pass(tmp_path: Path, folder, passed: str, hint: str) -> None:  # type: ignore[no-untyped-def]
    if callable(folder):
        folder(tmp_path)
    else:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError, match="looked for") as error:
        kitti.open_dataset(tmp_path / passed)
    assert hint in str(error.value)
