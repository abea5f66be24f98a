import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from iscc_lidar.preprocess.datasets import registry, semantickitti
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


def edit(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")


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
        (lambda f: (f / "poses.txt").write_text("1 2 3"), ["poses.txt", "line 1", "expected 12 numbers"]),
        (lambda f: edit(f / "poses.txt", 2, "1 0 0 0 0 nan 0 0 0 0 1 3"), ["poses.txt", "finite", "line 3", "1 of 5"]),
        (lambda f: edit(f / "poses.txt", 2, "1 0 0 0 0 2 0 0 0 0 1 3"), ["poses.txt: line 3", "rotation"]),
        (lambda f: edit(f / "poses.txt", 2, "-1 0 0 0 0 1 0 0 0 0 1 3"), ["poses.txt: line 3", "rotation"]),
        (lambda f: edit(f / "poses.txt", 2, "1 0 0 1e160 0 1 0 0 0 0 1 3"), ["poses.txt: line 3", "in metres"]),
        (lambda f: edit(f / "poses.txt", 1, ""), ["poses.txt", "line 2 has 0 columns", "line 1 is of frame 0"]),
        (lambda f: edit(f / "poses.txt", 1, "# 1 2 3"), ["poses.txt", "line 2 has 4 columns"]),
        (lambda f: (f / "poses.txt").write_bytes(b"\xff\xfe1\x00"), ["poses.txt", "UTF-8"]),
        (lambda f: edit(f / "calib.txt", 1, "Tr: 0 -2 0 0 0 0 -1 0 1 0 0 0"), ["calib.txt: Tr", "rotation"]),
        (lambda f: edit(f / "times.txt", 3, "0.2"), ["times.txt: line 4", "not later"]),
        (lambda f: edit(f / "times.txt", 3, "0.1"), ["times.txt: line 4", "not later"]),
        (lambda f: edit(f / "times.txt", 2, "inf"), ["times.txt: line 3", "not a time", "1 of 5"]),
        (lambda f: edit(f / "times.txt", 1, ""), ["times.txt", "line 2 has 0 columns"]),
        (lambda f: (f / "times.txt").write_text("0\n0.1\n"), ["times.txt", "2 rows", "frame 000002"]),
        (lambda f: (f / "poses.txt").unlink(), ["poses.txt", "missing", "does not match"]),
        (lambda f: (f / "calib.txt").unlink(), ["calib.txt", "missing"]),
        (lambda f: (f / "calib.txt").write_text("P0: 1"), ["calib.txt", "Tr"]),
        (lambda f: edit(f / "times.txt", 2, "x"), ["times.txt: line 3", "not a time", "1 of 5"]),
    ],
)
def test_damage_is_named(root: Path, damage, says: list[str]) -> None:  # type: ignore[no-untyped-def]
    damage(root / "sequences" / "03")
    with pytest.raises(UserError) as error:
        semantickitti.open_dataset(root).read("03", 0)
    listed = [p.message for p in semantickitti.open_dataset(root).problems("03")]
    for words in says:
        assert words in str(error.value)
        assert any(words in problem for problem in listed)


def test_all_problems_of_a_sequence_are_listed_in_one_pass(root: Path) -> None:
    folder = root / "sequences/03"
    for name in ("poses.txt", "calib.txt"):
        (folder / name).unlink()
    (folder / "times.txt").write_text("0\n0.2\n0.1\n0.3\n0.4\n")
    break_bin(folder)
    listed = "\n".join(p.message for p in semantickitti.open_dataset(root).problems("03"))
    assert len(listed.splitlines()) == 4
    for words in ("poses.txt: missing", "calib.txt: missing", "times.txt: line 3", "000002.bin"):
        assert words in listed


def test_text_may_have_a_byte_order_mark_windows_line_ends_and_blank_lines_at_its_end(root: Path) -> None:
    folder = root / "sequences/03"
    sound = semantickitti.open_dataset(root).read("03", 1)
    for name in ("poses.txt", "calib.txt", "times.txt"):
        lines = (folder / name).read_text().replace("\n", "\r\n")
        (folder / name).write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n \r\n")
    sweep = semantickitti.open_dataset(root).read("03", 1)
    np.testing.assert_array_equal(sweep.world_SE3_sensor, sound.world_SE3_sensor)
    assert sweep.timestamp_ns == sound.timestamp_ns
    assert list(semantickitti.open_dataset(root).problems("03")) == []


def test_names_that_are_not_text_are_named_and_printable(root: Path) -> None:
    bad = os.fsencode(root / "sequences") + b"/caf\xe9"
    os.makedirs(bad + b"/velodyne")
    with pytest.raises(UserError, match=r"sequence 'caf\\udce9' contains .* not UTF-8; rename it"):
        registry.open_dataset("semantickitti", root)
    shutil.rmtree(bad)
    for name in (b"\xff.bin", b"a\nb.bin", "\u0663.bin".encode()):
        file = os.fsencode(root / "sequences/03/velodyne") + b"/" + name
        Path(os.fsdecode(file)).touch()
        semantickitti._sweep_names.cache_clear()
        (problem,) = semantickitti.open_dataset(root).problems("03")
        assert "expected a frame number" in problem.message
        assert "\n" not in problem.message
        assert problem.message.encode()
        Path(os.fsdecode(file)).unlink()


def test_hidden_files_and_folders_are_not_sweeps(root: Path) -> None:
    folder = root / "sequences/03"
    (folder / "velodyne/._000002.bin").write_bytes(bytes(163))
    (folder / "labels/._000002.label").write_bytes(bytes(163))
    (root / "sequences/.trash/velodyne").mkdir(parents=True)
    (root / "sequences/._03").touch()
    dataset = semantickitti.open_dataset(root)
    assert dataset.sequences() == ("03",)
    assert dataset.sweep_names("03") == ("000002", "000004")
    assert list(dataset.problems("03")) == []


def test_names_without_leading_zeros_go_by_number(root: Path) -> None:
    folder = root / "sequences/03"
    for name, number in (("velodyne", "000002.bin"), ("velodyne", "000004.bin"), ("labels", "000002.label")):
        file = folder / name / number
        file.rename(file.with_name(f"{int(file.stem) - 1}{file.suffix}"))
    shutil.copy(folder / "velodyne/1.bin", folder / "velodyne/10.bin")
    (folder / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {k}\n" for k in range(11)))
    (folder / "times.txt").unlink()
    dataset = semantickitti.open_dataset(root)
    assert dataset.sweep_names("03") == ("1", "3", "10")
    assert dataset.read("03", 2).world_SE3_sensor[0, 3] == 10
    assert list(dataset.problems("03")) == []


def test_two_files_of_one_number_are_named(root: Path) -> None:
    folder = root / "sequences/03/velodyne"
    shutil.copy(folder / "000002.bin", folder / "2.bin")
    with pytest.raises(UserError, match=r"000002\.bin and .*/2\.bin: two files of one number"):
        semantickitti.open_dataset(root).sweep_names("03")


def test_a_label_file_whose_name_differs_from_its_sweeps_is_a_problem(root: Path) -> None:
    labels = root / "sequences/03/labels"
    (labels / "000002.label").rename(labels / "2.label")
    (problem,) = semantickitti.open_dataset(root).problems("03")
    assert "labels/2.label: its sweep is named 000002.bin" in problem.message


def test_labels_that_the_dataset_does_not_have_are_counted(root: Path) -> None:
    dataset = semantickitti.open_dataset(root)
    assert dataset.unknown_labels("03", 0) == {}
    np.array([*RAW[:-3], 7, 7, 300], np.uint32).tofile(root / "sequences/03/labels/000002.label")
    assert dataset.unknown_labels("03", 0) == {7: 2, 300: 1}


def test_poses_and_times_of_different_counts_are_a_warning(root: Path) -> None:
    dataset = semantickitti.open_dataset(root)
    assert list(dataset.warnings("03")) == []
    edit(root / "sequences/03/times.txt", 4, "0.4\n0.5")
    (warning,) = semantickitti.open_dataset(root).warnings("03")
    assert "poses.txt has 5 rows, times.txt 6" in warning


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
