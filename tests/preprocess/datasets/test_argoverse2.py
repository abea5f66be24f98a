import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp

from iscc_lidar.preprocess.datasets import argoverse2
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse, transform

from argoverse2_writer import (
    DOWN,
    LOG,
    TIMES,
    UP,
    city_SE3_ego,
    make_log,
    pose_columns,
    shots,
    write_poses,
    write_sweep,
    write_table,
)

VLP32C_DEG = [-25, -15.639, -11.31, -8.843, -7.254, -6.148, -5.333, -4.667, -4, -3.667, -3.333, -3, -2.667, -2.333]
VLP32C_DEG += [-2, -1.667, -1.333, -1, -0.667, -0.333, 0, 0.333, 0.667, 1, 1.333, 1.667, 2.333, 3.333, 4.667, 7]
VLP32C_DEG += [10.333, 15]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sweeps of one val log."""
    make_log(tmp_path / "sensor" / "val" / LOG)
    return tmp_path


def test_reads_points_intensity_time_and_the_pose_of_the_exact_time(root: Path) -> None:
    dataset = open_dataset("argoverse2", root)
    assert dataset.sequences() == (LOG,)
    assert dataset.sweep_names(LOG) == tuple(str(t) for t in TIMES)
    for index, time in enumerate(TIMES):
        sweep = dataset.read(LOG, index)
        xyz, _, _ = shots(index)
        assert (sweep.name, sweep.timestamp_ns, len(sweep)) == (str(time), time, 400)
        np.testing.assert_allclose(sweep.xyz + UP, xyz.astype(np.float16), atol=1e-5)
        np.testing.assert_allclose(sweep.intensity, (np.arange(400) % 256) / 255, rtol=1e-6)
        ego_SE3_sensor = np.eye(4)
        ego_SE3_sensor[:3, 3] = UP
        np.testing.assert_allclose(sweep.world_SE3_sensor, city_SE3_ego(time) @ ego_SE3_sensor, atol=1e-9)
        assert (sweep.semantic, sweep.instance, sweep.pixel) == (None, None, None)
        assert (sweep.xyz.dtype, sweep.intensity.dtype, sweep.origin.dtype) == (np.float32,) * 3


def test_a_ray_starts_where_its_lidar_was_when_it_fired(root: Path) -> None:
    for index, time in enumerate(TIMES):
        sweep = open_dataset("argoverse2", root).read(LOG, index)
        _, lasers, offsets = shots(index)
        expected = []
        for laser, offset in zip(lasers, offsets, strict=True):  # slow twin: one return at a time, its exact pose
            ego_SE3_then = inverse(city_SE3_ego(time)) @ city_SE3_ego(time + offset)
            expected.append(transform(ego_SE3_then, (UP if laser < 32 else DOWN)[None])[0] - UP)
        np.testing.assert_allclose(sweep.origin, expected, atol=1e-4)
        assert np.linalg.norm(sweep.origin, axis=1).max() > 1  # 12 m/s for .1 s


def test_poses_that_end_with_the_sweep_hold_the_last_position(root: Path) -> None:
    write_poses(root / "sensor/val" / LOG, np.array(TIMES))
    sweep = open_dataset("argoverse2", root).read(LOG, 1)
    _, laser, _ = shots(1)
    expected = np.where((laser < 32)[:, None], 0, DOWN - UP)
    np.testing.assert_allclose(sweep.origin, expected, atol=1e-6)


def test_rows_of_the_poses_may_stand_in_any_order(root: Path) -> None:
    before = open_dataset("argoverse2", root).read(LOG, 0)
    shuffled = root / "other" / "sensor" / "train" / LOG
    shutil.copytree(root / "sensor" / "val" / LOG, shuffled)
    path = shuffled / "city_SE3_egovehicle.feather"
    table = feather.read_table(path)
    feather.write_feather(table.take(np.random.default_rng(0).permutation(len(table))), path)
    after = open_dataset("argoverse2", root / "other").read(LOG, 0)
    np.testing.assert_array_equal(after.world_SE3_sensor, before.world_SE3_sensor)
    np.testing.assert_array_equal(after.origin, before.origin)


def test_points_that_do_not_exist_keep_their_place_and_value(root: Path) -> None:
    xyz, laser, offset = shots(0)
    xyz[3], xyz[5, 1], xyz[7, 0] = 0, np.nan, np.inf
    write_sweep(root / "sensor/val" / LOG, TIMES[0], xyz, laser, offset)
    sweep = open_dataset("argoverse2", root).read(LOG, 0)
    assert sweep.xyz[3].tolist() == [0, 0, 0]
    assert np.flatnonzero(~np.isfinite(sweep.xyz).all(axis=1)).tolist() == [5, 7]
    assert np.isfinite(sweep.origin).all()


def test_splits_go_by_folder_and_root_may_be_the_sensor_folder(root: Path) -> None:
    make_log(root / "sensor" / "train" / "00a")
    make_log(root / "sensor" / "train" / "ff0")
    (root / "sensor" / "test" / "without-lidar" / "sensors" / "cameras").mkdir(parents=True)
    for given_root in (root, root / "sensor"):
        dataset = open_dataset("argoverse2", given_root)
        assert dataset.sequences() == ("00a", LOG, "ff0")
        assert dataset.splits() == {"train": ("00a", "ff0"), "val": (LOG,), "test": ()}
        assert dataset.class_names == ("unlabelled",)


def test_sweeps_go_by_time_whatever_the_length_of_their_names(root: Path) -> None:
    folder = root / "sensor" / "val" / "bb"
    shutil.copytree(root / "sensor" / "val" / LOG, folder)
    write_sweep(folder, 9_000, *shots(0, 2))
    assert open_dataset("argoverse2", root).sweep_names("bb")[0] == "9000"


def test_a_sweep_depends_on_its_points_poses_and_calibration(root: Path) -> None:
    folder = root / "sensor" / "val" / LOG
    dataset = open_dataset("argoverse2", root)
    files = {str(file.relative_to(folder)) for file in dataset.input_files(LOG, 1)}
    calibration = "calibration/egovehicle_SE3_sensor.feather"
    assert files == {f"sensors/lidar/{TIMES[1]}.feather", "city_SE3_egovehicle.feather", calibration}
    (folder / calibration).unlink()
    assert calibration not in {str(file.relative_to(folder)) for file in dataset.input_files(LOG, 1)}


def test_without_calibration_nominal_positions_serve(root: Path) -> None:
    (root / "sensor/val" / LOG / "calibration/egovehicle_SE3_sensor.feather").unlink()
    dataset = open_dataset("argoverse2", root)
    assert list(dataset.problems(LOG)) == []
    xyz, _, _ = shots(0)
    np.testing.assert_allclose(dataset.read(LOG, 0).xyz + np.array([1.35, 0, 1.64]), xyz.astype(np.float16), atol=1e-5)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def drop_column(path: Path, name: str) -> None:
    feather.write_feather(feather.read_table(path).drop_columns([name]), path)


def break_quaternion(folder: Path) -> None:
    path = folder / "city_SE3_egovehicle.feather"
    table = feather.read_table(path)
    feather.write_feather(
        table.set_column(table.column_names.index("qw"), "qw", pa.array(np.full(len(table), 7.0))), path
    )


SWEEP = f"sensors/lidar/{TIMES[0]}.feather"
FAULTS = [
    (lambda f: cut(f / SWEEP), [SWEEP, "not a readable feather file", "fetch it again"]),
    (lambda f: (f / SWEEP).write_bytes(b""), [SWEEP, "not a readable feather file"]),
    (lambda f: drop_column(f / SWEEP, "laser_number"), [SWEEP, "no column laser_number", "offset_ns"]),
    (lambda f: (f / "city_SE3_egovehicle.feather").unlink(), ["city_SE3_egovehicle.feather", "missing", "fetch"]),
    (lambda f: drop_column(f / "city_SE3_egovehicle.feather", "qw"), ["city_SE3_egovehicle.feather", "no column qw"]),
    (lambda f: cut(f / "city_SE3_egovehicle.feather"), ["city_SE3_egovehicle.feather", "not a readable"]),
    (lambda f: write_poses(f, np.array([TIMES[1]])), ["city_SE3_egovehicle.feather", f"timestamp_ns {TIMES[0]}"]),
    (
        lambda f: retype(f / "city_SE3_egovehicle.feather", "tx_m", np.full(70, 1e160)),
        ["city_SE3_egovehicle.feather", "finite metres"],
    ),
    (break_quaternion, ["city_SE3_egovehicle.feather", "unit quaternion"]),
    (
        lambda f: write_table(
            f / "calibration/egovehicle_SE3_sensor.feather",
            {"sensor_name": np.array(["up_lidar"])} | pose_columns([np.eye(4)]),
        ),
        ["egovehicle_SE3_sensor.feather", "no row for down_lidar"],
    ),
]


def retype(path: Path, name: str, values: object) -> None:
    table = feather.read_table(path)
    changed = table.set_column(table.column_names.index(name), name, pa.array(values))  # type: ignore[arg-type]
    feather.write_feather(changed, path)


def as_text(f: Path, file: str, name: str) -> None:
    retype(f / file, name, [str(value) for value in feather.read_table(f / file)[name].to_pylist()])


def repeat_column(path: Path, name: str) -> None:
    table = feather.read_table(path)
    feather.write_feather(table.append_column(name, table[name]), path)


POSES = "city_SE3_egovehicle.feather"
CALIBRATION = "calibration/egovehicle_SE3_sensor.feather"
FAULTS += [
    (lambda f: repeat_column(f / CALIBRATION, "sensor_name"), [CALIBRATION, "two columns sensor_name"]),
    (lambda f: repeat_column(f / POSES, "qw"), [POSES, "two columns qw"]),
    (lambda f: repeat_column(f / SWEEP, "laser_number"), [SWEEP, "two columns laser_number"]),
    (lambda f: retype(f / CALIBRATION, "sensor_name", [1, 2, 3]), [CALIBRATION, "sensor_name has type int64", "text"]),
    (lambda f: retype(f / CALIBRATION, "sensor_name", [["up_lidar"]] * 3), [CALIBRATION, "has type list"]),
    (lambda f: as_text(f, SWEEP, "x"), [SWEEP, "column x has type string, expected numbers"]),
    (lambda f: as_text(f, SWEEP, "laser_number"), [SWEEP, "column laser_number has type string", "whole numbers"]),
    (lambda f: retype(f / SWEEP, "intensity", np.linspace(0, 1, 400)), [SWEEP, "intensity has type double"]),
    (lambda f: retype(f / SWEEP, "offset_ns", [[1]] * 400), [SWEEP, "offset_ns has type list"]),
    (lambda f: as_text(f, POSES, "tx_m"), [POSES, "column tx_m has type string"]),
    (lambda f: as_text(f, POSES, "timestamp_ns"), [POSES, "column timestamp_ns has type string"]),
    (
        lambda f: write_poses(f, np.array([TIMES[0], TIMES[1], TIMES[1]])),
        [POSES, f"the pose of {TIMES[1]}", "not later"],
    ),
]


@pytest.mark.parametrize(("damage", "says"), FAULTS)
def test_damage_is_named_on_reading_and_by_problems(root: Path, damage, says: list[str]) -> None:  # type: ignore[no-untyped-def]
    damage(root / "sensor" / "val" / LOG)
    dataset = open_dataset("argoverse2", root)
    with pytest.raises(UserError) as error:
        dataset.read(LOG, 0)
    problems = [p.message for p in dataset.problems(LOG)]
    assert len(problems) == 1
    for words in says:
        assert words in str(error.value)
        assert words in problems[0]


def test_damage_inside_a_file_is_named_on_reading(root: Path) -> None:
    path = root / "sensor/val" / LOG / SWEEP
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = b"\xff" * (len(content) // 2 - 200)
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{TIMES[0]}.feather: not a readable feather file"):
        open_dataset("argoverse2", root).read(LOG, 0)


def test_all_problems_of_a_log_are_listed_in_one_pass(root: Path) -> None:
    folder = root / "sensor/val" / LOG
    cut(folder / SWEEP)
    (folder / POSES).unlink()
    cut(folder / "calibration/egovehicle_SE3_sensor.feather")
    listed = "\n".join(p.message for p in open_dataset("argoverse2", root).problems(LOG))
    assert len(listed.splitlines()) == 3
    for words in (SWEEP, POSES, "egovehicle_SE3_sensor.feather"):
        assert words in listed


def test_hidden_files_are_no_sweeps_and_two_logs_of_one_name_are_named(root: Path) -> None:
    (root / "sensor/val" / LOG / "sensors/lidar/._99.feather").touch()
    (root / "sensor/val/.hidden/sensors/lidar").mkdir(parents=True)
    dataset = open_dataset("argoverse2", root)
    assert dataset.sequences() == (LOG,)
    assert list(dataset.problems(LOG)) == []
    shutil.copytree(root / "sensor/val" / LOG, root / "twice/sensor/val" / LOG)
    shutil.copytree(root / "sensor/val" / LOG, root / "twice/sensor/train" / LOG)
    with pytest.raises(UserError, match="two logs of one name"):
        open_dataset("argoverse2", root / "twice")


def test_a_sound_log_has_no_problems(root: Path) -> None:
    assert list(open_dataset("argoverse2", root).problems(LOG)) == []


def test_wrong_root_strange_names_and_unknown_logs_are_named(root: Path) -> None:
    with pytest.raises(UserError, match=rf"looked for sensor/.* and found: {LOG}"):
        open_dataset("argoverse2", root / "sensor" / "val")
    with pytest.raises(UserError, match="no log nothing"):
        open_dataset("argoverse2", root).sweep_names("nothing")
    (root / "sensor/val" / LOG / "sensors/lidar/cloud.feather").touch()
    with pytest.raises(UserError, match=r"cloud\.feather: expected a timestamp"):
        open_dataset("argoverse2", root).sweep_names(LOG)


coordinate = st.floats(width=16, allow_nan=True, allow_infinity=True)


@settings(max_examples=40, deadline=None)
@given(
    points=st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=3),
    lasers=st.lists(st.integers(0, 63), min_size=3, max_size=3),
    offsets=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3),
)
def test_any_sweep_keeps_its_points(points: list[tuple[float, ...]], lasers: list[int], offsets: list[int]) -> None:
    xyz = np.array(points, dtype=np.float16).reshape(-1, 3)
    count = len(xyz)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "train" / LOG
        write_sweep(folder, TIMES[0], xyz, np.array(lasers)[:count], np.array(offsets)[:count])
        write_poses(folder, np.array(TIMES))
        sweep = argoverse2.open_dataset(Path(name)).read(LOG, 0)
    exists = np.isfinite(xyz).all(axis=1) & xyz.any(axis=1)
    assert sweep.xyz.shape == sweep.origin.shape == (count, 3)
    assert sweep.intensity.shape == (count,)
    assert np.isfinite(sweep.origin).all()
    np.testing.assert_array_equal(np.isfinite(sweep.xyz).all(axis=1) & sweep.xyz.any(axis=1), exists)


@pytest.fixture
def real(real_data: Path) -> argoverse2.Argoverse2:
    if not (real_data / "av2").is_dir():
        pytest.skip("no Argoverse 2 log beside the checkout (shared/data/av2)")
    return argoverse2.open_dataset(real_data / "av2")


def test_real_beams_keep_the_data_sheet_s_elevation_seen_from_where_they_start(real: argoverse2.Argoverse2) -> None:
    (log,) = real.sequences()
    assert list(real.problems(log)) == []
    for index in range(2):
        sweep = real.read(log, index)
        files = [feather.read_table(file) for file in real.input_files(log, index)]
        lasers = files[0]["laser_number"].to_numpy()
        for number, lidar in enumerate(("up_lidar", "down_lidar")):
            mine = lasers // 32 == number
            beams = np.unique(lasers[mine], return_inverse=True)[1]
            moving = ray_elevations(sweep, files, lidar, mine, sweep.origin[mine])
            still = ray_elevations(sweep, files, lidar, mine, sweep.origin[mine][0])
            other = ray_elevations(sweep, files, lidar, mine, sweep.origin[~mine][0])
            spread, centre = beam_spread(moving, beams)
            assert spread < 0.005, lidar
            assert spread < 0.85 * beam_spread(still, beams)[0], lidar  # .0023 to .0037, .0044 to .0055: a slow drive
            assert spread < beam_spread(other, beams)[0] / 10, lidar  # .049 to .057
            assert np.abs(np.array(VLP32C_DEG)[:, None] - centre).min(axis=0).max() < 0.05, lidar


def ray_elevations(sweep, files: list[pa.Table], lidar: str, mine: np.ndarray, origin: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Elevation in degrees of a LiDAR's rays in its own frame as it stood when it fired; NaN where far."""
    points, poses, calibration = files
    time = poses["timestamp_ns"].to_numpy() - sweep.timestamp_ns
    turns = Rotation.from_quat(np.stack([poses[f"q{axis}"].to_numpy() for axis in "xyzw"], axis=1))
    city_SO3_then = Slerp(time, turns)(points["offset_ns"].to_numpy()[mine].astype(np.int64))
    (row,) = [r for r in calibration.to_pylist() if r["sensor_name"] == lidar]
    ego_SO3_lidar = Rotation.from_quat([row[f"q{axis}"] for axis in "xyzw"])
    city_ray = (sweep.xyz[mine] - origin) @ sweep.world_SE3_sensor[:3, :3].T
    ray = ego_SO3_lidar.inv().apply(city_SO3_then.inv().apply(city_ray))
    length = np.linalg.norm(ray, axis=1)
    near = (length > 3) & (length < 12)  # farther off float16 is too coarse to tell
    return np.where(near, np.degrees(np.arcsin(ray[:, 2] / length)), np.nan)


def beam_spread(elevation: np.ndarray, beams: np.ndarray) -> tuple[float, np.ndarray]:
    """Median over the beams with 50 near points of the median deviation, and those beams' elevations."""
    of_beam = [elevation[(beams == beam) & np.isfinite(elevation)] for beam in range(32)]
    of_beam = [beam for beam in of_beam if len(beam) >= 50]
    assert len(of_beam) >= 8
    centre = np.array([np.median(beam) for beam in of_beam])
    spread = float(np.median([np.median(np.abs(b - c)) for b, c in zip(of_beam, centre, strict=True)]))
    return spread, centre


def test_real_sweeps_line_up_by_their_poses(real: argoverse2.Argoverse2) -> None:
    (log,) = real.sequences()
    first, second = real.read(log, 0), real.read(log, 1)
    near = []
    for poses in (True, False):
        placed = [transform(s.world_SE3_sensor, s.xyz) if poses else s.xyz for s in (first, second)]
        distance, _ = cKDTree(placed[0]).query(placed[1][::20], distance_upper_bound=0.1)
        near.append(np.isfinite(distance).mean())
    assert near[0] > 0.7  # .78, without poses .60: the vehicle moved 6 cm and turned by .4 degrees
    assert near[0] > near[1] + 0.1
