"""The nuScenes adapter over tables and files laid out as the archives lay them out, and over one real sweep."""

import hashlib
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets import _nuscenes_tables, nuscenes, registry
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.layouts.formats import nuscenes_tables
from iscc_lidar.shared.layouts.nuscenes import splits

from nuscenes_writer import RAW_NAMES, START_US, Table, change, global_position, points_of, rotation, write, wxyz

# Raw number -> class, as both the table of the development kit's README and its label ids have it.
CLASS_OF_RAW = [0, 0, 7, 7, 7, 0, 7, 0, 0, 1, 0, 0, 8, 0, 2, 3, 3, 4, 5, 0, 0, 6, 9, 10, 11, 13, 14, 12, 15, 16, 0, 0]


def slow_turn(quaternion: list[float], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slow twin of a rotation by a unit quaternion w, x, y, z: q p q* by cross products."""
    w, axis = quaternion[0], np.array(quaternion[1:])
    return point + 2 * np.cross(axis, np.cross(axis, point) + w * point)


def test_a_scene_gives_back_points_names_times_and_labels(tmp_path: Path) -> None:
    write(tmp_path)
    dataset = pickle.loads(pickle.dumps(nuscenes.open_dataset(tmp_path)))  # noqa: S301
    assert dataset.sequences() == ("scene-0001", "scene-0003")
    assert dataset.sweep_names("scene-0003") == tuple(str(START_US + 10**8 + 50_000 * k) for k in range(4))
    assert dataset.key_frames("scene-0003") == (True, False, True, False)
    assert len(dataset.class_names) == 17
    for index in range(4):
        sweep = dataset.read("scene-0003", index)
        raw = points_of(100 + index, len(RAW_NAMES))
        # Forward is the LiDAR's y, left is against its x.
        np.testing.assert_array_equal(sweep.xyz, np.stack([raw[:, 1], -raw[:, 0], raw[:, 2]], axis=1))
        np.testing.assert_allclose(sweep.intensity, raw[:, 3] / 255, rtol=1e-6)
        assert (sweep.xyz.dtype, sweep.intensity.dtype) == (np.float32, np.float32)
        assert sweep.xyz.flags.c_contiguous
        assert sweep.timestamp_ns == 1000 * (START_US + 10**8 + 50_000 * index)
        assert (sweep.sequence, sweep.name) == ("scene-0003", str(sweep.timestamp_ns // 1000))
        np.testing.assert_array_equal(sweep.origin, np.zeros((1, 3), np.float32))
        if index % 2:
            assert sweep.semantic is None
        else:
            assert sweep.semantic is not None
            assert sweep.semantic.dtype == np.uint8
            assert sweep.semantic.tolist() == CLASS_OF_RAW
        suffixes = [".pcd.bin"] if index % 2 else [".pcd.bin", "_lidarseg.bin"]
        files = dataset.input_files("scene-0003", index)
        assert [file.name.endswith(s) for file, s in zip(files, suffixes, strict=True)] == [True] * len(suffixes)
    for sequence in dataset.sequences():
        assert list(dataset.problems(sequence)) == []


def test_poses_take_points_as_the_raw_frame_calibration_and_own_ego_pose_do(tmp_path: Path) -> None:
    write(tmp_path)
    dataset = nuscenes.open_dataset(tmp_path)
    for s, sequence in enumerate(dataset.sequences()):
        for k in range(4):
            sweep = dataset.read(sequence, k)
            placed = transform(sweep.world_SE3_sensor, sweep.xyz)
            raw = points_of(100 * s + k, len(RAW_NAMES))[:, :3].astype(np.float64)
            for row, expected in zip(raw, placed, strict=True):
                ego = slow_turn(wxyz(rotation(1000 + s)), row) + np.array([0.9 + s, 0.0, 1.84])
                world = slow_turn(wxyz(rotation(100 * s + k)), ego) + np.array(global_position(100 * s + k))
                np.testing.assert_allclose(expected, world, atol=1e-9)
            np.testing.assert_allclose(
                sweep.world_SE3_sensor[:3, :3] @ sweep.world_SE3_sensor[:3, :3].T, np.eye(3), atol=1e-12
            )
            assert np.linalg.det(sweep.world_SE3_sensor) == pytest.approx(1)


def test_labels_are_optional(tmp_path: Path) -> None:
    write(tmp_path / "none", lidarseg=False)
    write(tmp_path / "tables_only")
    shutil.rmtree(tmp_path / "tables_only" / "lidarseg")
    for name in ("none", "tables_only"):
        dataset = nuscenes.open_dataset(tmp_path / name)
        assert dataset.read("scene-0001", 0).semantic is None
        assert list(dataset.problems("scene-0001")) == []


def test_strange_intensities_stay_in_0_to_1_and_raw_labels_beyond_31_are_unlabelled(tmp_path: Path) -> None:
    write(tmp_path, scenes=("scene-0001",), points=4)
    name = nuscenes.open_dataset(tmp_path).sweep_names("scene-0001")[0]
    (file,) = tmp_path.glob(f"samples/LIDAR_TOP/*{name}.pcd.bin")
    rows = np.zeros((4, 5), np.float32)
    rows[:, 3] = [300, -1, np.nan, 51]
    rows[1, :3] = np.nan
    rows.tofile(file)
    (labels,) = tmp_path.glob("lidarseg/*/*-0_lidarseg.bin")
    np.array([17, 32, 200, 255], np.uint8).tofile(labels)
    sweep = nuscenes.open_dataset(tmp_path).read("scene-0001", 0)
    np.testing.assert_allclose(sweep.intensity, [1, 0, 0, 0.2])
    assert np.isnan(sweep.xyz[1]).all()  # it keeps its place
    assert sweep.semantic is not None
    assert sweep.semantic.tolist() == [4, 0, 0, 0]


def test_the_splits_are_the_official_ones() -> None:
    """Counts and digests of the lists in utils/splits.py of the development kit (commit d9de17a)."""
    every = {f"scene-{number:04d}": "v1.0-trainval" for number in range(1, 1111)}
    found = splits(every)
    digest = {name: hashlib.sha256("\n".join(scenes).encode()).hexdigest()[:16] for name, scenes in found.items()}
    assert digest["val"] == "9c6d87239035bbd3"
    assert digest["mini_train"] == "c849f160715c4c6f"
    assert digest["mini_val"] == "12657200a28a6a68"
    assert [len(found[name]) for name in ("val", "mini_train", "mini_val")] == [150, 8, 2]


def test_splits_are_of_the_scenes_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, ("scene-0001", "scene-0003", "scene-0103", "scene-1110"))
    write(tmp_path, ("scene-0077",), "v1.0-test", lidarseg=False)
    assert nuscenes.open_dataset(tmp_path).splits() == {
        "train": ("scene-0001", "scene-1110"),
        "val": ("scene-0003", "scene-0103"),
        "test": ("scene-0077",),
        "mini_train": (),
        "mini_val": ("scene-0103",),
    }


def test_a_scene_of_two_versions_is_read_once_and_from_trainval(tmp_path: Path) -> None:
    write(tmp_path, ("scene-0103",), "v1.0-mini", lidarseg=False)
    write(tmp_path, ("scene-0103", "scene-0104"), "v1.0-trainval")
    dataset = nuscenes.open_dataset(tmp_path)
    assert dataset.sequences() == ("scene-0103", "scene-0104")
    assert len(dataset.sweep_names("scene-0103")) == 4
    assert dataset.read("scene-0103", 0).semantic is not None  # mini has no labels here


def test_scenes_of_archives_that_were_not_fetched_are_left_out(tmp_path: Path) -> None:
    write(tmp_path)
    for file in tmp_path.glob(f"s*/LIDAR_TOP/*__{START_US // 10**8}*"):  # all of scene-0001
        file.unlink()
    dataset = nuscenes.open_dataset(tmp_path)
    assert dataset.sequences() == ("scene-0003",)
    assert dataset.splits()["train"] == ()


@settings(max_examples=15, deadline=None)
@given(sweeps=st.integers(1, 5), points=st.integers(0, 2), chunk=st.integers(1, 400))
def test_any_number_of_sweeps_and_points_and_any_piece_of_a_table(
    tmp_path_factory: pytest.TempPathFactory, sweeps: int, points: int, chunk: int
) -> None:
    root = tmp_path_factory.mktemp("nuscenes")
    write(root, ("scene-0001",), sweeps=sweeps, points=points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nuscenes_tables, "_CHUNK_BYTES", chunk)
        dataset = nuscenes.open_dataset(root)
        found = [dataset.read("scene-0001", index) for index in range(len(dataset.sweep_names("scene-0001")))]
    assert [sweep.timestamp_ns for sweep in found] == [1000 * (START_US + 50_000 * k) for k in range(sweeps)]
    assert [sweep.xyz.shape for sweep in found] == [(points, 3)] * sweeps
    assert [sweep.semantic is not None for sweep in found] == [k % 2 == 0 for k in range(sweeps)]
    for number, sweep in enumerate(found):
        np.testing.assert_array_equal(sweep.xyz[:, 0], points_of(number, points)[:, 1])
    assert list(dataset.problems("scene-0001")) == []


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 1e-3))
def test_quaternions_turn_points_as_the_slow_twin_does(quaternion: list[float]) -> None:
    unit = [float(value) for value in np.array(quaternion) / np.linalg.norm(quaternion)]
    pose = _nuscenes_tables.rigid((1, 2, 3, *quaternion))
    point = np.array([[4.0, -5, 6]])
    np.testing.assert_allclose(transform(pose, point)[0], slow_turn(unit, point[0]) + np.array([1, 2, 3]), atol=1e-9)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def cut(pattern: str, by: int) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        file = first(root, pattern)
        file.write_bytes(file.read_bytes()[:-by])

    return damage


def drop_index(rows: Table) -> None:
    for row in rows:
        del row["index"]


def drop_pose(rows: Table) -> None:
    rows[:] = [row for row in rows if row["token"] != "pose-v1.0-trainval-scene-0001-LIDAR_TOP-0"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut("samples/LIDAR_TOP/*.bin", 3), ["samples/LIDAR_TOP", "whole number of points", "fetch it again"]),
        (cut("lidarseg/*/*scene-0001*", 3), ["_lidarseg.bin: 29 bytes", "32 points"]),
        (lambda root: first(root, "lidarseg/*/*scene-0001*").unlink(), ["_lidarseg.bin: missing", "unpack"]),
        (lambda root: first(root, "samples/LIDAR_TOP/*").unlink(), ["samples/LIDAR_TOP/n015", "missing; unpack"]),
        (change("ego_pose", drop_pose), ["ego_pose.json: has no pose for samples/LIDAR_TOP", "unpack"]),
        (change("category", drop_index), ["category.json: has no 'index'", "unpack"]),
    ],
)
def test_damage_is_named_by_reading_and_by_the_list_of_problems(
    tmp_path: Path, damage: Callable[[Path], None], says: list[str]
) -> None:
    write(tmp_path)
    damage(tmp_path)
    dataset = nuscenes.open_dataset(tmp_path)
    with pytest.raises(UserError) as error:
        dataset.read("scene-0001", 0)
    assert [p.message for p in dataset.problems("scene-0001")] == [str(error.value)]
    for words in says:
        assert words in str(error.value)


def test_without_the_other_sweeps_the_key_frames_alone_are_read_and_the_loss_is_reported(tmp_path: Path) -> None:
    write(tmp_path)
    shutil.rmtree(tmp_path / "sweeps")
    dataset = nuscenes.open_dataset(tmp_path)
    assert dataset.sweep_names("scene-0001") == tuple(str(START_US + 50_000 * k) for k in (0, 2))
    assert dataset.key_frames("scene-0001") == (True, True)
    assert list(dataset.problems("scene-0001")) == []
    assert [dataset.read("scene-0001", index).semantic is not None for index in (0, 1)] == [True, True]
    (warning,) = dataset.warnings("scene-0001")
    assert "sweeps/LIDAR_TOP: missing, so only key frames are read, at 2 Hz" in warning
    (tmp_path / "sweeps/LIDAR_TOP").mkdir(parents=True)
    (warning,) = dataset.warnings("scene-0001")
    assert "sweeps/LIDAR_TOP: has no file of scene-0001" in warning


def test_a_sweep_that_is_missing_among_others_is_a_problem_and_no_loss(tmp_path: Path) -> None:
    write(tmp_path)
    first(tmp_path, "sweeps/LIDAR_TOP/*").unlink()
    dataset = nuscenes.open_dataset(tmp_path)
    (problem,) = dataset.problems("scene-0001")
    assert "missing; unpack" in problem.message
    assert list(dataset.warnings("scene-0001")) == []


def set_all(**values: object) -> Callable[[Table], None]:
    return lambda rows: [row.update(values) for row in rows] and None


@pytest.mark.parametrize(
    ("table", "edit", "says"),
    [
        ("sample_data", set_all(filename="../../etc/passwd"), "expected a path below"),
        ("sample_data", set_all(filename="/etc/passwd"), "expected a path below"),
        ("sample_data", set_all(filename=""), "expected a path below"),
        ("sample_data", set_all(filename="samples/\x1b[2J.bin"), "expected a path below"),
        ("sample_data", set_all(filename=7), "'filename' .* expected text"),
        ("lidarseg", set_all(filename="../labels.bin"), "expected a path below"),
        ("sample_data", set_all(timestamp="1532402927647951"), "'timestamp' .* expected a whole number"),
        ("sample_data", set_all(timestamp=True), "'timestamp' .* expected a whole number"),
        ("sample_data", set_all(timestamp=10**40), "has time"),
        ("sample_data", set_all(is_key_frame=1), "'is_key_frame' .* expected true or false"),
        ("ego_pose", set_all(translation=[1, 2]), "'translation' .* list of 3 finite numbers"),
        ("ego_pose", set_all(translation="abc"), "'translation' .* list of 3 finite numbers"),
        ("ego_pose", set_all(translation=[1, 2, float("nan")]), "'translation' .* list of 3 finite numbers"),
        ("ego_pose", set_all(translation=[1, 2, 1e160]), "is not in metres"),
        ("ego_pose", set_all(rotation=[0, 0, 0, 0]), "not a unit quaternion"),
        ("calibrated_sensor", set_all(rotation=None), "'rotation' .* list of 4 finite numbers"),
        ("category", set_all(index="1"), "'index' .* expected a whole number"),
        ("category", set_all(index=256), "not one of the raw labels"),
        ("scene", set_all(name=5), "'name' .* expected text"),
        ("sample", set_all(token=[]), "'token' .* expected text"),
    ],
)
def test_wrong_types_and_paths_in_tables_are_named(
    tmp_path: Path, table: str, edit: Callable[[Table], None], says: str
) -> None:
    write(tmp_path)
    change(table, edit)(tmp_path)
    if table in ("category", "scene", "sample"):
        with pytest.raises(UserError, match=says):
            nuscenes.open_dataset(tmp_path)
        return
    problem = next(nuscenes.open_dataset(tmp_path).problems("scene-0001"))
    assert re.search(says, problem.message)
    with pytest.raises(UserError, match=says):
        nuscenes.open_dataset(tmp_path).read("scene-0001", 0)


@pytest.mark.parametrize("content", [b"{}", b"[1, 2]", b"[" * 100_000, b"\xff\xff", b"null"])
@pytest.mark.parametrize("table", ["sensor", "scene", "category"])
def test_a_table_that_is_no_list_of_rows_is_named(tmp_path: Path, table: str, content: bytes) -> None:
    write(tmp_path)
    (tmp_path / "v1.0-trainval" / f"{table}.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"{table}\.json: (is no JSON table|expected a list of rows)"):
        nuscenes.open_dataset(tmp_path)


def test_tables_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    write(tmp_path)
    for file in (tmp_path / "v1.0-trainval").iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert list(nuscenes.open_dataset(tmp_path).problems("scene-0001")) == []


@pytest.mark.parametrize("name", ["../scene", "a/b", "", "..", "a\nb", " scene"])
def test_a_scene_s_name_that_cannot_be_a_folder_s_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    change("scene", lambda rows: rows[0].update(name=name))(tmp_path)
    with pytest.raises(UserError, match=r"the name of sequence .* rename it"):
        registry.open_dataset("nuscenes", tmp_path)


def test_raw_labels_that_no_category_has_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    dataset = nuscenes.open_dataset(tmp_path)
    assert dataset.unknown_labels("scene-0001", 0) == {}
    assert dataset.unknown_labels("scene-0001", 1) == {}
    labels = np.full(len(RAW_NAMES), 77, np.uint8)
    labels.tofile(first(tmp_path, "lidarseg/*/*scene-0001*-0_lidarseg.bin"))
    assert dataset.unknown_labels("scene-0001", 0) == {77: len(RAW_NAMES)}


def test_two_sweeps_of_one_time_are_a_problem(tmp_path: Path) -> None:
    write(tmp_path)

    def same_time(rows: Table) -> None:
        for row in rows:
            if row["token"] == "v1.0-trainval-scene-0001-LIDAR_TOP-1":
                row["timestamp"] -= 50_000

    change("sample_data", same_time)(tmp_path)
    (problem,) = nuscenes.open_dataset(tmp_path).problems("scene-0001")
    assert f"two sweeps of time {START_US}" in problem.message


@pytest.mark.parametrize("table", _nuscenes_tables.TABLES)
def test_a_table_that_is_missing_or_damaged_is_named(tmp_path: Path, table: str) -> None:
    write(tmp_path / "cut")
    path = tmp_path / "cut" / "v1.0-trainval" / f"{table}.json"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{table}\.json: (is no JSON table|does not end as a table)"):
        nuscenes.open_dataset(tmp_path / "cut")
    write(tmp_path / "gone")
    (tmp_path / "gone" / "v1.0-trainval" / f"{table}.json").unlink()
    with pytest.raises(UserError, match=rf"v1\.0-trainval: the tables {table}\.json are missing"):
        nuscenes.open_dataset(tmp_path / "gone")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (change("sample", lambda rows: rows.clear()), r"refer to a missing row 'sample-scene-.*'"),
        (change("scene", lambda rows: rows.clear()), r"refer to a missing row 'token-scene-.*'"),
        (change("sensor", lambda rows: rows[0].pop("channel")), "rows of a table lack 'channel'"),
        (change("sample_data", lambda rows: [row.update(filename={"a": 1}) for row in rows]), "table of flat rows"),
    ],
)
def test_tables_that_do_not_fit_each_other_are_named(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    write(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=says):
        nuscenes.open_dataset(tmp_path)


def test_a_wrong_root_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"looked for .*v1\.0-trainval.* found: an empty folder"):
        nuscenes.open_dataset(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        nuscenes.open_dataset(tmp_path / "nowhere")
    write(tmp_path)
    with pytest.raises(UserError, match="pass the one above"):
        nuscenes.open_dataset(tmp_path / "v1.0-trainval")
    shutil.rmtree(tmp_path / "samples")
    with pytest.raises(UserError, match=r"none of the key frames .* Unpack the file blobs"):
        nuscenes.open_dataset(tmp_path)


def test_one_real_sweep_is_read_without_tables_and_the_data_set_says_that_they_are_missing(real_data: Path) -> None:
    root = real_data / "nuscenes_single"
    with pytest.raises(UserError, match=r"sample_data, ego_pose.*The points are here, but not the tables"):
        nuscenes.open_dataset(root)
    (file,) = (root / "samples" / "LIDAR_TOP").glob("*.pcd.bin")
    xyz, intensity = nuscenes.read_points(file)
    assert len(xyz) == len(intensity) == 34_688
    assert 0 <= intensity.min() < intensity.max() <= 1
    own_car = xyz[np.linalg.norm(xyz, axis=1) < 2]
    assert len(own_car) / len(xyz) == pytest.approx(0.25, abs=0.03)
    length, width, _ = np.percentile(own_car, 99, axis=0) - np.percentile(own_car, 1, axis=0)
    assert length > 1.5 * width  # the car's longer side is forward
    distance = np.hypot(xyz[:, 0], xyz[:, 1])
    ground = xyz[(distance > 4) & (distance < 10), 2]
    assert np.median(ground) == pytest.approx(-1.84, abs=0.15)  # the height that nuScenes calibrates
