"""What check and run say of data that no LiDAR gives: every mistake is named, and no sound data are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.cli import app
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.datasets.registry import DataProblem, Dataset
from iscc_lidar.preprocess.plan.alignment import judge_alignment, try_motions
from iscc_lidar.preprocess.plan.plausibility import judge, judge_sweep
from iscc_lidar.preprocess.plan.select import check_data
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.write import write_sequence
from iscc_lidar.shared.cache.reader import Cache

from kitti_writer import write_drive

Points = NDArray[np.float32]  # [N, 4]
CAMERA_SE3_SENSOR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def with_ring(points: Points) -> Points:
    return np.column_stack([points, np.arange(len(points)) % 64]).astype(np.float32)


def scaled(*factors: float) -> Callable[[Points], Points]:
    return lambda points: points * np.array(factors, dtype=np.float32)


MISTAKES: dict[str, tuple[Callable[[Points], np.ndarray | bytes], str]] = {
    "no byte": (lambda p: b"", "contains no point"),
    "all zeros": (lambda p: 0 * p, "only points at zero"),
    "all NaN": (lambda p: p * np.nan, "only points that are NaN"),
    "float64": (lambda p: p.astype("<f8"), "Read as 4 columns of float64 it looks like a sweep"),
    "float64, computed": (lambda p: p * np.float64(1.0001), "Read as 4 columns of float64 it looks like a sweep"),
    "float16": (lambda p: p.astype("<f2"), "Read as 4 columns of float16 it looks like a sweep"),
    "big-endian": (lambda p: p.astype(">f4"), "4 columns of big_endian_float32"),
    "integers": (lambda p: (1000 * p).astype("<i4"), "finite and not zero"),
    "three columns": (lambda p: p[:, :3].copy(), "Read as 3 columns of float32 it looks like a sweep"),
    "five columns": (with_ring, "Read as 5 columns of float32 it looks like a sweep"),
    "intensity first": (lambda p: p[:, [3, 0, 1, 2]], "z is not the height"),
    "intensity third": (lambda p: p[:, [0, 1, 3, 2]], "z is not the height"),
    "y and z swapped": (lambda p: p[:, [0, 2, 1, 3]], "z is not the height"),
    "camera's frame": (lambda p: p[:, [1, 2, 0, 3]] * np.float32([-1, -1, 1, 1]), "z is not the height"),
    "column by column": (lambda p: np.ascontiguousarray(p.T), "an intensity of at least 1"),
    "intensity 0..255": (scaled(1, 1, 1, 255), "0..255 where 0..1 is expected"),
    "millimetres": (scaled(1000, 1000, 1000, 1), "farther away than 1000 m"),
    "frame of the map": (lambda p: p + np.float32([455_000, 5_420_000, 100, 0]), "in the frame of a map"),
    "unit sphere": (scaled(0.01, 0.01, 0.01, 1), "coordinates are not in metres"),
    "text": (lambda p: "\n".join(" ".join(map(str, row)) for row in p[:5000]).encode(), "the type of the numbers"),
}


def spoil(folder: Path, mistake: str) -> None:
    """Write all points of a sequence with a mistake, at a length that passes for float32 x 4."""
    for file in (folder / "velodyne").iterdir():
        points = np.fromfile(file, "<f4").reshape(-1, 4)
        changed = MISTAKES[mistake][0](points)
        data = changed if isinstance(changed, bytes) else np.ascontiguousarray(changed).tobytes()
        file.write_bytes(data[: len(data) // 16 * 16])
    for other in ("labels", "label_2"):
        shutil.rmtree(folder / other, ignore_errors=True)


@pytest.fixture
def real_street(real_data: Path, tmp_path: Path) -> Path:
    """Four real sweeps of a moving car in SemanticKITTI's layout."""
    source, folder = real_data / "semantickitti_from_pandaset_001/sequences/42", tmp_path / "real/sequences/42"
    (folder / "velodyne").mkdir(parents=True)
    for name in ("poses.txt", "calib.txt", "times.txt"):
        shutil.copy(source / name, folder)
    for file in (source / "velodyne").iterdir():
        shutil.copy(file, folder / "velodyne")
    return tmp_path / "real"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_names_points_that_no_lidar_gives_and_run_refuses_them(own_streets: Path, mistake: str) -> None:
    spoil(own_streets / "sequences/00", mistake)
    done = command("check", "semantickitti", own_streets)
    assert done.exit_code == 1, done.output
    assert MISTAKES[mistake][1] in done.output
    assert "Traceback" not in done.output
    refused = command("run", "semantickitti", "--root", own_streets, "--cache", own_streets / "cache", "--workers", 0)
    assert refused.exit_code == 1
    assert "nothing was done" in refused.stderr
    assert "--accept-content" in refused.stderr


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_same_mistakes_in_real_sweeps(real_street: Path, mistake: str) -> None:
    spoil(real_street / "sequences/42", mistake)
    dataset = registry.open_dataset("semantickitti", real_street)
    ((_, findings),) = judge(dataset, ("42",))
    errors = [finding.message for finding in findings if finding.level != "warning"]
    assert len(errors) == 1
    assert MISTAKES[mistake][1] in errors[0]


def test_run_processes_what_is_accepted_and_warns(own_streets: Path) -> None:
    spoil(own_streets / "sequences/00", "intensity 0..255")
    call = ["semantickitti", "--root", own_streets, "--cache", own_streets / "cache"]
    small = ["--set", "window.sweeps=3", "--set", "window.stride=3"]
    for first in ("run", "init"):
        assert command(first, *call, *small).exit_code == 1
    done = command("run", *call, *small, "--workers", 0, "--accept-content")
    assert done.exit_code == 0, done.output
    assert "warning: " in done.stderr
    assert "0..255 where 0..1" in done.stderr
    assert len(Cache(own_streets / "cache").sequence_names) == 1
    assert command("init", *call, *small, "--accept-content").exit_code == 0


def test_a_sweep_without_points_is_an_error_that_skip_accepts(own_streets: Path) -> None:
    for file in (own_streets / "sequences/00").glob("l*/000002.*"):
        file.write_bytes(b"")
    (own_streets / "sequences/00/velodyne/000002.bin").write_bytes(b"")
    done = command("check", "semantickitti", own_streets)
    assert done.exit_code == 1
    assert "000002.bin: contains no point" in done.output
    call = ["run", "semantickitti", "--root", own_streets, "--cache", own_streets / "cache", "--workers", 0]
    assert command(*call).exit_code == 1
    done = command(*call, "--on-error", "skip", "--set", "window.sweeps=3", "--set", "window.stride=3")
    assert done.exit_code == 0, done.output
    assert "warning: " in done.stderr
    assert len(Cache(own_streets / "cache").sweep("00", 2).xyz) == 0


def moved(poses: Callable[[NDArray[np.float64]], NDArray[np.float64]], sweeps: tuple[Sweep, ...]) -> tuple[Sweep, ...]:
    start = np.linalg.inv(sweeps[0].world_SE3_sensor)
    return tuple(replace(sweep, world_SE3_sensor=poses(start @ sweep.world_SE3_sensor)) for sweep in sweeps)


WRONG_POSES: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], str]] = {
    "inverted": (np.linalg.inv, "invert each pose"),
    "the LiDAR's": (lambda p: CAMERA_SE3_SENSOR.T @ p @ CAMERA_SE3_SENSOR, "write Tr P Tr"),
    "the camera's": (lambda p: CAMERA_SE3_SENSOR @ p @ CAMERA_SE3_SENSOR.T, "Tr from LiDAR to camera"),
    "identity": (lambda p: np.eye(4), "the poses do not move, but the vehicle does"),
    "half as far": (
        lambda p: np.vstack([np.column_stack([p[:3, :3], p[:3, 3] / 2]), [0, 0, 0, 1]]),
        "another sequence",
    ),
}

PACKS = [
    ("semantickitti", "semantickitti", 30),
    ("semantickitti", "semantickitti_from_pandaset", 50),
    ("semantickitti", "semantickitti_from_pandaset_001", 1),
    ("semantickitti", "semantickitti_from_nuscenes", 8),
    ("semantickitti", "kitti_raw_as_odometry", 2),
    ("kitti", "kitti_raw", 5),
]


@pytest.mark.parametrize(("adapter", "pack", "index"), PACKS)
def test_poses_of_real_drives_are_sound_and_wrong_ones_are_named(
    real_data: Path, adapter: str, pack: str, index: int
) -> None:
    dataset = registry.open_dataset(adapter, real_data / pack)
    (sequence,) = dataset.sequences()
    pair = (dataset.read(sequence, index), dataset.read(sequence, index + 1))
    assert list(judge_alignment([pair])) == []
    for name, (change, cause) in WRONG_POSES.items():
        first, second = moved(change, pair)
        if name == "half as far" and pack in ("semantickitti_from_pandaset", "semantickitti_from_nuscenes"):
            continue  # 0.2 m off in a scene that hardly moves; 1.5 m off in sparse sweeps at 2 Hz
        (error,) = judge_alignment([(first, second)])
        assert cause in error, name


@pytest.mark.parametrize(
    ("beams", "columns", "seed"),
    [(32, 256, 0), pytest.param(16, 1024, 8, marks=pytest.mark.slow), pytest.param(32, 512, 9, marks=pytest.mark.slow)],
)
def test_poses_of_sparse_sweeps_are_sound_and_wrong_ones_are_named(
    tmp_path: Path, beams: int, columns: int, seed: int
) -> None:
    config = SynthConfig(sequences=6, sweeps=2, seed=seed, beams=beams, columns=columns, ego_speed_min_mps=5)
    named = dict.fromkeys(WRONG_POSES, 0)
    judged = 0
    for index in range(config.sequences):
        write_sequence(tmp_path, config, index)
    dataset = registry.open_dataset("synthetic", tmp_path)
    for sequence in dataset.sequences():
        pair = (dataset.read(sequence, 0), dataset.read(sequence, 1))
        assert list(judge_alignment([pair])) == [], sequence  # the rays' pattern alone repeats where the sensor is
        judged += try_motions(*pair) is not None
        for name, (change, _) in WRONG_POSES.items():
            first, second = moved(change, pair)
            named[name] += len(list(judge_alignment([(first, second)])))
    assert judged >= 3
    assert named["the LiDAR's"] == named["the camera's"] == judged
    assert min(named["inverted"], named["identity"]) >= judged / 2


def test_poses_of_the_lidar_in_the_file_of_the_camera_are_named_by_check_and_refused(own_streets: Path) -> None:
    folder = own_streets / "sequences/00"
    dataset = registry.open_dataset("synthetic", own_streets)
    poses = [dataset.read("00", index).world_SE3_sensor[:3].ravel() for index in range(6)]
    copy = own_streets / "copy"
    shutil.copytree(own_streets / "sequences", copy / "sequences")
    np.savetxt(copy / "sequences/00/poses.txt", poses)
    done = command("check", "semantickitti", copy)
    assert done.exit_code == 1, folder
    assert "poses of the LiDAR were written where the dataset expects the camera's" in done.output


def test_a_vehicle_that_stands_has_sound_poses(real_data: Path) -> None:
    dataset = registry.open_dataset("semantickitti", real_data / "semantickitti_from_pandaset")
    pairs = [(dataset.read("40", index), dataset.read("40", index + 1)) for index in (0, 13)]
    assert np.linalg.norm((pairs[0][0].world_SE3_sensor - pairs[0][1].world_SE3_sensor)[:3, 3]) < 0.02
    assert list(judge_alignment(pairs)) == []
    still = [moved(lambda pose: np.eye(4), pair) for pair in pairs]
    assert list(judge_alignment([(first, second) for first, second in still])) == []


@pytest.mark.parametrize(
    ("adapter", "pack"),
    [
        *((adapter, pack) for adapter, pack, _ in PACKS),
        ("semantickitti", "semantickitti_labeled_frame"),
        ("kitti", "kitti_detection"),
        ("argoverse2", "av2"),
        ("waymo", "waymo_v2_from_pandaset"),
    ],
)
def test_sound_real_data_have_no_error_and_no_warning(real_data: Path, adapter: str, pack: str) -> None:
    dataset = registry.open_dataset(adapter, real_data / pack)
    checked = check_data(dataset, dataset.sequences())
    assert (checked.problems, checked.spoiling, checked.warnings) == ({}, {}, [])


def test_every_sweep_of_the_real_drives_is_plausible(real_data: Path) -> None:
    for adapter, pack, _ in PACKS:
        dataset = registry.open_dataset(adapter, real_data / pack)
        (sequence,) = dataset.sequences()
        for index in range(0, len(dataset.sweep_names(sequence)), 5):
            assert list(judge_sweep(dataset, dataset.read(sequence, index), index)) == [], (pack, index)


def test_labels_of_another_dataset_are_an_error_and_a_few_unknown_ones_a_warning(own_streets: Path) -> None:
    labels = sorted((own_streets / "sequences/00/labels").iterdir())
    dataset = registry.open_dataset("semantickitti", own_streets)
    for share, exit_code in ((0.01, 0), (0.5, 1)):
        for file in labels:
            raw = np.fromfile(file, "<u4")
            raw[: int(share * len(raw))] = 9
            raw.tofile(file)
        done = command("check", "semantickitti", own_streets)
        assert done.exit_code == exit_code, done.output
        assert f"labels that {dataset.name} does not define: 9" in done.output


def test_missing_sweeps_are_a_warning(own_streets: Path) -> None:
    (own_streets / "sequences/00/velodyne/000003.bin").unlink()
    done = command("check", "semantickitti", own_streets)
    assert done.exit_code == 0, done.output
    assert "warning: sequence 00: lacks about 1 sweep in 1 place, the first between 000002 and" in done.output


def test_the_frames_that_drive_0009_never_had_are_a_warning(tmp_path: Path) -> None:
    drive = "2011_09_26_drive_0009_sync"
    write_drive(tmp_path, frames=183, without=(177, 178, 179, 180), points=1, drive=drive)
    dataset = registry.open_dataset("kitti", tmp_path)
    checked = check_data(dataset, dataset.sequences())
    assert (checked.problems, checked.spoiling) == ({}, {})
    assert "lacks about 4 sweeps in 1 place, the first between 0000000176 and 0000000181" in checked.warnings[0]


def test_regular_steps_of_any_size_have_no_gap(own_streets: Path) -> None:
    velodyne = own_streets / "sequences/00/velodyne"
    for number in (1, 3, 5):
        (velodyne / f"{number:06d}.bin").unlink()
    dataset = registry.open_dataset("semantickitti", own_streets)
    assert check_data(dataset, ("00",)).warnings == []


def test_every_sweep_is_read_if_asked_for(own_streets: Path) -> None:
    file = own_streets / "sequences/00/velodyne/000000.bin"
    file.write_bytes(bytes(file.stat().st_size))
    assert command("check", "semantickitti", own_streets).exit_code == 0
    done = command("check", "semantickitti", own_streets, "--every-sweep")
    assert done.exit_code == 1
    assert "000000.bin: contains only points at zero" in done.output


class Broken:
    """A dataset whose readers raise what no adapter should."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getattr__(self, name: str) -> object:
        return getattr(self.dataset, name)

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        yield DataProblem("first")
        raise RecursionError("too deep")

    def read(self, sequence: str, index: int) -> Sweep:
        raise KeyError(index)


def test_whatever_a_reader_raises_is_a_problem_and_the_others_are_checked(tiny_streets: Path) -> None:
    dataset = Broken(registry.open_dataset("synthetic", tiny_streets))
    checked = check_data(dataset, dataset.sequences())  # type: ignore[arg-type]
    assert [len(found) for found in checked.problems.values()] == [3, 3]
    assert DataProblem("sequence 00: RecursionError: too deep") in checked.problems["00"]
    assert all("KeyError" in found[2].message and found[2].sweeps for found in checked.problems.values())
    assert checked.spoiling == {}


class Many:
    """One street under a thousand names, that counts how often a sweep is read."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.reads = dataset, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.dataset, name)

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        return self.dataset.sweep_names("00")

    def warnings(self, sequence: str) -> Iterator[str]:
        yield from ()

    def unknown_labels(self, sequence: str, index: int) -> dict[int, int]:
        return {}

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        return ()

    def read(self, sequence: str, index: int) -> Sweep:
        self.reads += 1
        return self.dataset.read("00", index)


@pytest.mark.parametrize(("sequences", "reads"), [(1, 4), pytest.param(10, 40, marks=pytest.mark.slow), (200, 120)])
def test_few_sweeps_are_read_however_many_there_are(tiny_streets: Path, sequences: int, reads: int) -> None:
    dataset = Many(registry.open_dataset("synthetic", tiny_streets))
    names = [f"{number:04d}" for number in range(sequences)]
    found = dict(judge(dataset, names))  # type: ignore[arg-type]
    assert list(found) == names
    assert all(findings == [] for findings in found.values())
    assert dataset.reads == reads
