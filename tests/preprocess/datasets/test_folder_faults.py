"""Faults of own recordings that the other adapters' tests have too; see the matrix in docs/reliability.md."""

from __future__ import annotations

import io
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets._folder.options import FolderOptions
from iscc_lidar.preprocess.datasets._points.formats import count_points, read_points
from iscc_lidar.preprocess.datasets.folder import open_dataset
from iscc_lidar.preprocess.datasets.registry import open_dataset as open_by_name
from iscc_lidar.preprocess.datasets.registry import with_options
from iscc_lidar.preprocess.plan.select import check_data
from iscc_lidar.preprocess.plan.sequence_job import plan_sequence
from iscc_lidar.preprocess.tasks.sequence_tasks import finish_task, link_task, segment_task
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.local import LocalStore

from folder_writer import kitti_rows, pose, sweep, write_folder, write_pcd


def other_points(root: Path) -> Path:
    write_pcd(root / "000001.pcd", sweep(1)[::-1])
    return root / "000001.pcd"


def other_poses(root: Path) -> Path:
    (root / "poses.txt").write_text(kitti_rows([pose(index + 1) for index in range(3)]))
    return root / "poses.txt"


def other_labels(root: Path) -> Path:
    np.ones(len(sweep(1)), "<u4").tofile(root / "000001.label")
    return root / "000001.label"


def other_classes(root: Path) -> Path:
    (root / "classes.txt").write_text("unlabelled\nroad\nother\n")
    return root / "classes.txt"


@pytest.mark.parametrize("change", [other_points, other_poses, other_labels, other_classes])
def test_files_that_change_between_the_passes_are_named(
    tmp_path: Path, tiny_config: PreprocessConfig, change: Callable[[Path], Path]
) -> None:
    root = write_folder(tmp_path / "d", sweeps=3)
    np.zeros(len(sweep(1)), "<u4").tofile(root / "000001.label")
    (root / "classes.txt").write_text("unlabelled\nground\nother\n")
    job = plan_sequence(open_dataset(root).settled()[0], "d", LocalStore(tmp_path / "cache"), tiny_config)
    segmented = [segment_task(job, block) for block in range(len(job.blocks))]
    ids = link_task(job, segmented)
    file = change(root)
    with pytest.raises(
        UserError, match=rf"{file.name}.* while sequence d was processed, .* run the same command again"
    ):
        finish_task(job, 0, segmented, ids)
    assert not job.store.files("sequences")


def test_a_bag_that_changes_between_the_passes_is_named(tmp_path: Path, tiny_config: PreprocessConfig) -> None:
    pytest.importorskip("rosbags")
    from readers import write_bag

    write_bag(tmp_path / "bag")
    dataset = open_dataset(tmp_path / "bag").settled()[0]
    job = plan_sequence(dataset, "bag", LocalStore(tmp_path / "cache"), tiny_config)
    segmented = [segment_task(job, block) for block in range(len(job.blocks))]
    with (tmp_path / "bag/bag.mcap").open("ab") as file:
        file.write(bytes(8))
    with pytest.raises(UserError, match="bag"):
        finish_task(job, 0, segmented, link_task(job, segmented))
    assert not job.store.files("sequences")


def test_text_may_have_a_byte_order_mark_windows_line_ends_and_blank_lines_at_its_end(tmp_path: Path) -> None:
    plain, windows = (write_folder(tmp_path / name, sweeps=3) for name in ("plain", "windows"))
    for root in (plain, windows):
        (root / "classes.txt").write_text("unlabelled\nground\nother\n")
        (root / "times.txt").write_text("1\n1.1\n1.2\n")
        (root / "calib.txt").write_text("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    for name in ("poses.txt", "times.txt", "classes.txt", "calib.txt"):
        text = (windows / name).read_bytes()
        (windows / name).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n") + b"\r\n" * (name != "classes.txt"))
    (windows / "._000001.pcd").write_bytes(b"of a file manager")
    (windows / ".hidden").mkdir()
    one, other = open_dataset(plain), open_dataset(windows)
    assert [*one.problems("plain"), *other.problems("windows")] == []
    assert other.class_names == ("unlabelled", "ground", "other")
    for index in range(3):
        mine, theirs = other.read("windows", index), one.read("plain", index)
        assert (mine.name, mine.timestamp_ns) == (theirs.name, theirs.timestamp_ns)
        np.testing.assert_array_equal(mine.world_SE3_sensor, theirs.world_SE3_sensor)
        np.testing.assert_array_equal(mine.semantic, theirs.semantic)


def test_numbers_that_no_sensor_gives_make_a_point_invalid(tmp_path: Path) -> None:
    """What is not finite is invalid; what is finite but too far is judged, as of any dataset."""
    points = sweep(0)
    points["x"][:4] = [np.nan, np.inf, -np.inf, 3e38]
    points["intensity"][4:7] = [np.nan, np.inf, -5]
    root = write_folder(tmp_path / "d", sweeps=2)
    write_pcd(root / "000000.pcd", points)
    found = open_dataset(root).settled()[0].read("d", 0)
    assert not np.isfinite(found.xyz[:3]).all(axis=1).any()
    assert found.intensity[4:7].tolist() == [0, 0, 0]
    assert np.isfinite(found.intensity).all()
    far = sweep(0)
    far["x"] += 3e6
    write_pcd(root / "000000.pcd", far)
    write_pcd(root / "000001.pcd", far)
    checked = check_data(with_options(open_dataset(root), ["range_scale=1", "intensity_scale=255"]), ["d"], every=True)
    assert "d" in checked.problems | checked.spoiling


def test_content_that_no_lidar_gives_is_refused_where_options_are_wrong(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=4)
    for item, says in (("range_scale=1000", "1000 m"), ("axes=z,x,y", "z"), ("intensity_scale=1", "intensity")):
        dataset = with_options(open_dataset(root), [item]).settled()[0]
        assert any(says in message for message in check_data(dataset, ["d"], every=True).spoiling["d"]), item


def test_sweeps_without_points_are_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=3)
    write_pcd(root / "000001.pcd", sweep(1)[:0])
    checked = check_data(open_dataset(root).settled()[0], ["d"], every=True)
    assert any("000001" in message for message in checked.spoiling["d"])


def test_names_that_are_no_plain_names_are_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", sweeps=2)
    write_pcd(root / "a\nb.pcd", sweep(0))
    with pytest.raises(UserError, match="control character"):
        open_dataset(root).sweep_names("d")
    (tmp_path / "e").mkdir()
    write_folder(tmp_path / "e" / "x\ty", sweeps=1)
    with pytest.raises(UserError, match="control character"):
        open_by_name("folder", tmp_path / "e")


@pytest.mark.parametrize("place", [0xFFFFFFFF, -1, 5, 1 << 40])
def test_a_laz_file_that_claims_billions_of_chunks_is_named(tmp_path: Path, place: int) -> None:
    """For which lazrs would reserve 59 GB, and end the process."""
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    root = write_folder(tmp_path / "d", "laz", sweeps=1)
    file = root / "000000.laz"
    data = bytearray(file.read_bytes())
    with laspy.open(file) as opened:
        start = opened.header.offset_to_point_data
    table = int.from_bytes(data[start : start + 8], "little")
    if place == 0xFFFFFFFF:
        data[table + 4 : table + 8] = place.to_bytes(4, "little")
    else:
        data[start : start + 8] = place.to_bytes(8, "little", signed=True)
    file.write_bytes(bytes(data))
    for read in (
        lambda: open_dataset(root).read("d", 0),
        lambda: open_dataset(root)._source("d").count(0, FolderOptions()),
    ):
        with pytest.raises(UserError, match=r"000000\.laz"):
            read()


@pytest.mark.parametrize(("minor", "at"), [(2, 100), (4, 100), (4, 243)])
def test_a_las_file_that_claims_billions_of_records_is_named(tmp_path: Path, minor: int, at: int) -> None:
    """Which laspy would look for, one by one, for hours beyond the end of the file."""
    laspy = pytest.importorskip("laspy")
    file = tmp_path / "d" / "000000.las"
    file.parent.mkdir()
    content = laspy.LasData(laspy.LasHeader(version=f"1.{minor}", point_format=0 if minor < 4 else 6))
    content.x = content.y = content.z = np.arange(9.0)
    content.write(file)
    data = bytearray(file.read_bytes())
    data[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(bytes(data))
    signal.alarm(20)  # instead of a hang
    try:
        for read in (read_points, count_points):
            with pytest.raises(UserError, match=r"000000\.las: .*records"):
                read(file, (), "float32")
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_anywhere_in_a_compressed_archive_is_named(tmp_path: Path, compression: int) -> None:
    """Each way to compress has errors of its own: zlib.error is neither an OSError nor a ValueError."""
    points, buffer = np.stack([sweep(0)[axis] for axis in "xyz"], axis=1)[:300], io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        file = io.BytesIO()
        np.save(file, points)
        archive.writestr("points.npy", file.getvalue())
    content, path = buffer.getvalue(), tmp_path / "0.npz"
    rng = np.random.default_rng(0)
    messages = []
    for place in rng.integers(0, len(content), 300).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        for read in (count_points, read_points):
            try:
                read(path, (), "float32")
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > 250
    assert [message for message in messages if not message.startswith(f"{path}: ")] == []
