"""Faults of one sweep in every adapter: with ``--on-error skip`` the others are used, and the sweep is listed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.datasets.registry import DataProblem, Dataset
from iscc_lidar.preprocess.plan.left_out import only_sweeps
from iscc_lidar.preprocess.plan.select import check_data
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.local import LocalStore

import argoverse2_writer
import kitti_writer
import nuscenes_writer
import waymo_writer
from caches import TINY

SWEEPS, BAD = 6, 3
CONFIG = PreprocessConfig(window=WindowConfig(sweeps=3, stride=3, block_sweeps=6))
Damage = Callable[[Path], object]


def write_streets(root: Path, streets: Path) -> None:
    """Every eighth point of a tiny street."""
    shutil.copytree(streets / "sequences" / "00", root / "sequences" / "00")
    for file in sorted((root / "sequences/00").glob("*/*.bin")) + sorted((root / "sequences/00").glob("*/*.label")):
        np.fromfile(file, np.float32).reshape(-1, 4 if file.suffix == ".bin" else 1)[::8].tofile(file)


def write_drive(root: Path, _: Path) -> None:
    kitti_writer.write_drive(root, frames=SWEEPS, points=50)


def write_scene(root: Path, _: Path) -> None:
    nuscenes_writer.write(root, ("scene-0001", "scene-0002"), sweeps=SWEEPS)


def write_context(root: Path, _: Path) -> None:
    scene = waymo_writer.WaymoScene(frames=SWEEPS, shapes=dict.fromkeys((1, 2, 3), (3, 16)))
    ((context, truths),) = waymo_writer.write_dataset(root, scene).items()
    box = (10.0, 2.0, 1.0, 4.5, 1.9, 1.6, 0.3)
    waymo_writer.write_boxes(root, context, [(truth.timestamp, 1, box) for truth in truths])


LOG_TIMES = [argoverse2_writer.TIMES[1] + 100_000_000 * k for k in range(SWEEPS)]


def write_log(root: Path, _: Path) -> None:
    folder = root / "train" / "log"
    for seed, time in enumerate(LOG_TIMES):
        argoverse2_writer.write_sweep(folder, time, *argoverse2_writer.shots(seed, 60))
    argoverse2_writer.write_poses(folder, np.arange(LOG_TIMES[0], LOG_TIMES[-1] + 200_000_000, 5_000_000))
    argoverse2_writer.write_calibration(folder)


WRITERS = {
    "synthetic": write_streets,
    "kitti": write_drive,
    "nuscenes": write_scene,
    "waymo": write_context,
    "argoverse2": write_log,
}


def cut(pattern: str, position: int = BAD) -> Damage:
    def damage(root: Path) -> None:
        file = sorted(root.glob(pattern))[position]
        file.write_bytes(file.read_bytes()[:-7])

    return damage


def line(pattern: str, text: str, position: int = BAD) -> Damage:
    def damage(root: Path) -> None:
        (file,) = root.glob(pattern)
        lines = file.read_text().splitlines()
        lines[position] = text
        file.write_text("\n".join(lines) + "\n")

    return damage


def content(pattern: str, text: str, position: int = BAD) -> Damage:
    return lambda root: sorted(root.glob(pattern))[position].write_text(text)


def rename(old: str, new: str) -> Damage:
    return lambda root: (root / old).rename((root / old).with_name(new))


def both(*damages: Damage) -> Damage:
    return lambda root: [damage(root) for damage in damages]


def row(table: str, **values: Any) -> Damage:
    """Set values in the nuScenes row of the bad sweep; of ego_pose its own row."""
    token = f"v1.0-trainval-scene-0001-LIDAR_TOP-{2 if table == 'lidarseg' else BAD}"

    def damage(root: Path) -> None:
        path = root / f"v1.0-trainval/{table}.json"
        rows = json.loads(path.read_text())
        (found,) = (r for r in rows if r["token"] in (token, f"pose-{token}"))
        found.update(values) if values else rows.remove(found)
        path.write_text(json.dumps(rows))

    return damage


def parquet(component: str, change: Callable[[list[dict[str, Any]]], object]) -> Damage:
    """Change the rows of a Waymo component."""

    def damage(root: Path) -> None:
        (path,) = root.glob(f"training/{component}/*.parquet")
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)

    return damage


def value(column: str, new: object) -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: rows[BAD].update({next(name for name in rows[0] if column in name): new})


def without(laser: int) -> Callable[[list[dict[str, Any]]], object]:
    """Remove the bad frame's row of a laser."""

    def remove(rows: list[dict[str, Any]]) -> None:
        times = sorted({row[waymo_writer.TIME] for row in rows})
        rows[:] = [r for r in rows if (r[waymo_writer.TIME], r[waymo_writer.LASER]) != (times[BAD], laser)]

    return remove


def pose_rows(change: Callable[[dict[str, np.ndarray], np.ndarray], object]) -> Damage:
    """Change the columns of Argoverse 2 poses, given the times since the bad sweep in ms."""

    def damage(root: Path) -> None:
        path = root / "train/log/city_SE3_egovehicle.feather"
        columns = {name: np.array(values) for name, values in feather.read_table(path).to_pydict().items()}
        change(columns, (columns["timestamp_ns"] - LOG_TIMES[BAD]) / 1e6)
        feather.write_feather(pa.table(columns), path)

    return damage


def set_tx(new: float, first_ms: float, last_ms: float) -> Damage:
    def change(columns: dict[str, np.ndarray], ms: np.ndarray) -> None:
        columns["tx_m"][(ms >= first_ms) & (ms <= last_ms)] = new

    return pose_rows(change)


def scribble(root: Path) -> None:
    """Damage the content of a feather file, not its footer."""
    path = sorted(root.glob("train/log/sensors/lidar/*"))[BAD]
    data = bytearray(path.read_bytes())
    data[200 : len(data) // 2] = b"\xff" * (len(data) // 2 - 200)
    path.write_bytes(data)


@dataclass(frozen=True)
class Fault:
    """What is done to a dataset, and what the message of its bad sweep contains."""

    dataset: str
    damage: Damage
    message: str
    bad: int = BAD


BIN, LABEL, POSES = "sequences/00/velodyne/*.bin", "sequences/00/labels/*.label", "sequences/00/poses.txt"
DRIVE_BIN, OXTS = "*/*/velodyne_points/data/*.bin", "*/*/oxts/data/*.txt"
KEY_FRAMES, LOG_SWEEPS = "samples/LIDAR_TOP/*.bin", "train/log/sensors/lidar/*.feather"
VALUES, TRANSFORM = "[LiDARComponent].range_image_return1.values", "world_from_vehicle.transform"

FAULTS = {
    "points cut short": Fault("synthetic", cut(BIN), "000003.bin: "),
    "labels cut short": Fault("synthetic", cut(LABEL), "000003.label: "),
    "labels of another name": Fault("synthetic", rename("sequences/00/labels/000003.label", "3.label"), "/3.label: "),
    "pose NaN": Fault("synthetic", line(POSES, "nan " * 12), "poses.txt: line 4: is not a finite"),
    "pose of Windows": Fault("synthetic", line(POSES, "-nan(ind) " * 12), "(1 of 6 entries are faulty)"),
    "pose not rigid": Fault("synthetic", line(POSES, "1 0 0 0 0 2 0 0 0 0 1 0"), "poses.txt: line 4: is not a finite"),
    "time NaN": Fault("synthetic", line("sequences/00/times.txt", "nan"), "times.txt: line 4: is not a time"),
    "two faults": Fault("synthetic", both(cut(BIN), line(POSES, "nan " * 12)), "000003.bin: "),
    "drive points": Fault("kitti", cut(DRIVE_BIN), "0000000003.bin: "),
    "drive packet": Fault("kitti", content(OXTS, "1 2 3"), "oxts/data/0000000003.txt: "),
    "drive first packet": Fault("kitti", content(OXTS, "1 2 3", 0), "oxts/data/0000000000.txt: ", 0),
    "drive time": Fault("kitti", line("*/*/velodyne_points/timestamps.txt", "noon"), "timestamps.txt: line 4 is"),
    "drive time blank": Fault("kitti", line("*/*/velodyne_points/timestamps.txt", ""), "timestamps.txt: line 4 is"),
    "drive two faults": Fault("kitti", both(cut(DRIVE_BIN), content(OXTS, "nan " * 30)), "0000000003.bin: "),
    "scene points": Fault("nuscenes", cut(KEY_FRAMES, 1), ".pcd.bin: ", 2),
    "scene pose missing": Fault("nuscenes", row("ego_pose"), "ego_pose.json: has no pose for"),
    "scene pose": Fault("nuscenes", row("ego_pose", rotation=[0, 0, 0, 0]), "ego_pose.json: rotation"),
    "scene pose without numbers": Fault("nuscenes", row("ego_pose", translation=None), "(1 of 12 entries are faulty)"),
    "scene row": Fault("nuscenes", row("sample_data", filename="../x"), "sample_data.json: 'filename' of a row"),
    "scene time": Fault("nuscenes", row("sample_data", timestamp=2**60), f"has time {2**60}", 5),
    "scene labels": Fault("nuscenes", row("lidarseg", filename="/x"), "lidarseg.json: 'filename' of a row", 2),
    "scene two faults": Fault(
        "nuscenes", both(cut("sweeps/LIDAR_TOP/*.bin", 1), row("ego_pose", rotation=[0, 0, 0, 0])), ".pcd.bin: "
    ),
    "context pose": Fault(
        "waymo", parquet("vehicle_pose", value(TRANSFORM, [2.0] * 16)), "(1 of 6 entries are faulty)"
    ),
    "context pose missing": Fault("waymo", parquet("vehicle_pose", lambda rows: rows.pop(BAD)), "has no pose for"),
    "context pose twice": Fault("waymo", parquet("vehicle_pose", lambda rows: rows.append(rows[BAD])), "occurs twice"),
    "context image missing": Fault("waymo", parquet("lidar", without(3)), "has no range image of laser 3 (SIDE_LEFT)"),
    "context pixel poses": Fault("waymo", parquet("lidar_pose", without(1)), "has no poses of the pixels of TOP"),
    "context box": Fault("waymo", parquet("lidar_box", value("box.size.x", float("nan"))), "box's numbers"),
    "context image": Fault(
        "waymo", parquet("lidar", lambda rows: rows[3 * BAD][VALUES].pop()), "do not fill the shape"
    ),
    "context two faults": Fault(
        "waymo",
        both(parquet("lidar", without(2)), parquet("vehicle_pose", lambda rows: rows.pop(BAD))),
        "laser 2 (FRONT)",
    ),
    "log points": Fault("argoverse2", cut(LOG_SWEEPS), "not a readable feather file"),
    "log content": Fault("argoverse2", scribble, "not a readable feather file"),
    "log pose": Fault("argoverse2", set_tx(float("nan"), 0, 0), "(1 of 140 entries are faulty)"),
    "log poses during a sweep": Fault("argoverse2", set_tx(1e160, 20, 90), "(15 of 140 entries are faulty)"),
    "log two faults": Fault("argoverse2", both(cut(LOG_SWEEPS), set_tx(1e160, 0, 0)), "not a readable feather file"),
}


def make(fault: Fault, root: Path, streets: Path) -> Dataset:
    WRITERS[fault.dataset](root, streets)
    fault.damage(root)
    return registry.open_dataset(fault.dataset, root)


def run(dataset: Dataset, cache: Path, *, skip: bool = True) -> Manifest:
    sequence = dataset.sequences()[0]
    on_error = "skip" if skip else "stop"
    return preprocess(dataset, LocalStore(cache), CONFIG, Executor(0), sequences=(sequence,), on_error=on_error)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_of_one_sweep_leaves_out_this_sweep_alone(fault: Fault, tiny_streets: Path, tmp_path: Path) -> None:
    dataset = make(fault, tmp_path / "data", tiny_streets)
    (sequence, *others), cache = dataset.sequences(), tmp_path / "cache"
    checked = check_data(dataset, dataset.sequences(), every=True)
    problems = checked.problems.pop(sequence)
    assert [problem.sweeps for problem in problems] == [(fault.bad,)] * len(problems)
    assert any(fault.message in problem.message for problem in problems)
    assert not any(other in checked.problems for other in others)
    with pytest.raises(UserError, match="in the data, nothing was done"):
        run(dataset, cache, skip=False)
    manifest = run(dataset, cache)
    assert [(entry.name, entry.sweeps) for entry in manifest.sequences] == [(sequence, SWEEPS)]
    (skipped,) = manifest.skipped
    assert skipped.reason.startswith(f"sweep {dataset.sweep_names(sequence)[fault.bad]}: ")
    assert fault.message in skipped.reason
    found = [Cache(cache).label(sequence, index) for index in range(SWEEPS)]
    assert (found[fault.bad] == NOT_CONSIDERED).all()
    assert all(len(label) for index, label in enumerate(found) if index != fault.bad)


def drop_line(pattern: str) -> Damage:
    def damage(root: Path) -> None:
        (file,) = root.glob(pattern)
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))

    return damage


def repeat_time(columns: dict[str, np.ndarray], _: np.ndarray) -> None:
    columns["timestamp_ns"][1] = columns["timestamp_ns"][0]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("synthetic", drop_line(POSES), "has 5 rows, none for frame 000005"),
        Fault("synthetic", drop_line("sequences/00/times.txt"), "has 5 rows, none for frame 000005"),
        Fault("synthetic", line(POSES, "1 2 3"), "line 4 has 3 columns"),
        Fault("synthetic", line("sequences/00/times.txt", "0"), "line 4: its time is not later"),
        Fault("kitti", drop_line("*/*/velodyne_points/timestamps.txt"), "has 5 lines, no time for frame 0000000005"),
        Fault("nuscenes", row("sample_data", timestamp="noon"), "so the sweeps of scene-0001 have no order"),
        Fault("waymo", parquet("lidar_calibration", lambda rows: rows.pop()), "has no entry for laser 3"),
        Fault("argoverse2", pose_rows(repeat_time), "not later"),
        Fault("argoverse2", set_tx(1e160, -1e9, 1e9), "(140 of 140 entries are faulty)"),
    ],
    ids=lambda fault: f"{fault.dataset}: {fault.message}",
)
def test_a_fault_of_the_sequence_still_leaves_it_out(fault: Fault, tiny_streets: Path, tmp_path: Path) -> None:
    dataset = make(fault, tmp_path / "data", tiny_streets)
    with pytest.raises(UserError) as raised:
        run(dataset, tmp_path / "cache")
    assert fault.message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 3  # one problem


def test_a_row_that_no_sweep_needs_is_reported_and_leaves_nothing_out(
    tiny_streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_streets(tmp_path / "data", tiny_streets)
    poses = tmp_path / "data" / POSES
    poses.write_text(poses.read_text() + "nan " * 12 + "\n")
    dataset = registry.open_dataset("synthetic", tmp_path / "data")
    (problem,) = dataset.problems("00")
    assert ("line 7" in problem.message, problem.sweeps) == (True, ())
    with pytest.raises(UserError, match="nothing was done"):
        run(dataset, tmp_path / "cache", skip=False)
    assert run(dataset, tmp_path / "cache").skipped == ()
    assert "poses.txt: line 7: is not a finite rotation" in capsys.readouterr().err


def test_a_few_faulty_poses_between_those_of_sweeps_are_interpolated(tiny_streets: Path, tmp_path: Path) -> None:
    dataset = make(Fault("argoverse2", set_tx(1e160, 20, 40), ""), tmp_path / "bad", tiny_streets)
    sound = make(Fault("argoverse2", lambda _: None, ""), tmp_path / "sound", tiny_streets)
    (problem,) = dataset.problems("log")
    assert ("(5 of 140 entries are faulty)" in problem.message, problem.sweeps) == (True, ())
    before, after = (d.read("log", BAD).origin for d in (sound, dataset))
    assert 0 < np.abs(before - after).max() < 0.002


def test_a_sweep_that_has_a_problem_but_can_be_read_is_not_used(tiny_streets: Path) -> None:
    dataset = registry.open_dataset("synthetic", tiny_streets)
    assert only_sweeps(dataset, "00", [DataProblem("of a row that no sweep needs", ())])
    assert not only_sweeps(dataset, "00", [DataProblem("of its header", (2,))])
    assert not only_sweeps(dataset, "00", [DataProblem("of the sequence")])


def test_the_message_of_many_sweeps_is_short(tmp_path: Path, tiny_streets: Path) -> None:
    write_streets(tmp_path, tiny_streets)
    folder = tmp_path / "sequences/00"
    for name in ("velodyne", "labels"):
        for number in range(SWEEPS, 400):
            suffix = {"velodyne": "bin", "labels": "label"}[name]
            (folder / name / f"{number:06d}.{suffix}").write_bytes(bytes(32 if name == "velodyne" else 4))
    shutil.rmtree(folder / "label_2")
    (folder / "times.txt").unlink()
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 100 + "0 0 0 0 0 0 0 0 0 0 0 0\n" * 300)
    labels, poses = registry.open_dataset("synthetic", tmp_path).problems("00")
    assert labels.message.endswith("(394 of 400 sweeps have such a fault: 000006, 000007, 000008, 000009, 000010, "
                                   "000011, 000012, 000013, ...)")  # fmt: skip
    assert "poses.txt: line 101: is not a finite" in poses.message
    assert poses.message.endswith("(300 of 400 entries are faulty)")
    assert (labels.sweeps, poses.sweeps) == (tuple(range(6, 400)), tuple(range(100, 400)))
    assert max(len(labels.message), len(poses.message)) < 600


def test_the_exit_status_is_3_and_check_and_run_agree(tmp_path: Path, tiny_streets: Path) -> None:
    write_streets(tmp_path / "data", tiny_streets)
    line(POSES, "nan " * 12)(tmp_path / "data")
    call = [sys.executable, "-m", "iscc_lidar.preprocess", "run", "synthetic", "--root", str(tmp_path / "data"), *TINY]
    call += ["--cache", str(tmp_path / "cache"), "--workers", "0", "--on-error", "skip"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "skipped: 00: sweep 000003: " in done.stderr
