import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import DataProblem, open_dataset
from iscc_lidar.preprocess.plan.alignment import measure_alignment
from iscc_lidar.shared.base.geometry import inverse, transform

from benchmarks.preprocess.adapters import adapter_table, bench_adapter

SLEEP_S = 0.004


@dataclass(frozen=True)
class Drive:
    """One scene seen from a car that moves 1 m and turns by 2 degrees per sweep; sequence b has a single sweep."""

    root: Path
    right_poses: bool = True
    name: str = "drive"
    class_names: tuple[str, ...] = ("unlabelled",)
    reads: list[tuple[str, int]] = field(default_factory=list)

    def sequences(self) -> tuple[str, ...]:
        return ("a", "b")

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {}

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        return tuple(f"{i}" for i in range(7 if sequence == "a" else 1))

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        return self.root / f"{sequence}{index}", self.root / "poses"

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        return iter(())

    def read(self, sequence: str, index: int) -> Sweep:
        self.reads.append((sequence, index))
        time.sleep(SLEEP_S)
        rng = np.random.default_rng(0)
        sides = rng.uniform(-1, 1, (100, 30, 2)) @ Rotation.random(100, random_state=0).as_matrix()[:, :2]
        world = (sides + rng.uniform(-40, 40, (100, 1, 3))).reshape(3000, 3) + np.array([100, 0, 0])
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("z", 2 * index, degrees=True).as_matrix()
        pose[:3, 3] = [100 + index, 0, 0]
        seen = transform(inverse(pose), world)
        seen = seen[np.linalg.norm(seen, axis=1) > 5]
        own_car = np.random.default_rng(1).uniform(-1.5, 1.5, (3000, 3))  # moves with the sensor: half of all points
        absent = np.array([[np.nan, 0, 0], [np.inf, 1, 1], [0, 0, 0]])
        xyz = np.concatenate([seen, own_car, absent]).astype(np.float32)
        given = pose if self.right_poses else np.eye(4)
        return Sweep(
            sequence, f"{index}", index, xyz, np.zeros(len(xyz), np.float32), np.zeros((1, 3), np.float32), given
        )


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    for name in ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "b0"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    (tmp_path / "poses").write_bytes(b"x" * 500)
    return Drive(tmp_path)


def test_every_sweep_is_read_once_in_order_and_shared_files_count_once_per_sequence(drive: Drive) -> None:
    figures = bench_adapter(drive)
    assert drive.reads == [("a", i) for i in range(7)] + [("b", 0)]
    assert figures["sweeps"] == 8
    assert figures["mb_per_sweep"] * 8 == pytest.approx((8 * 1000 + 2 * 500) / 1e6)
    assert 5000 < figures["points_per_sweep"] < 6003
    assert figures["mb_per_s"] == pytest.approx(figures["mb_per_sweep"] * figures["sweeps_per_s"])
    assert figures["times_floor"] == pytest.approx(figures["floor_mb_per_s"] / figures["mb_per_s"])


def test_rates_are_those_of_the_clock(drive: Drive) -> None:
    figures = bench_adapter(drive, ["a"])
    assert {sequence for sequence, _ in drive.reads} == {"a"}
    assert 1 / SLEEP_S / 20 < figures["sweeps_per_s"] < 1 / SLEEP_S  # it sleeps that long, and does little else
    assert figures["times_floor"] > 5


def test_right_poses_lay_sweeps_on_each_other(drive: Drive) -> None:
    figures = measure_alignment(drive, "a")
    assert figures["pairs"] == 6
    assert figures["near_with_poses"] > 0.98  # points nearer than 5 m by then are not seen
    assert figures["near_without"] < 0.2
    assert figures["moved_m"] == pytest.approx(1)
    assert figures["turned_deg"] == pytest.approx(2)


def test_constant_poses_are_detected(drive: Drive) -> None:
    figures = measure_alignment(Drive(drive.root, right_poses=False), "a")
    assert figures["near_with_poses"] == figures["near_without"] < 0.2
    assert figures["moved_m"] == 0


@pytest.mark.parametrize(("pairs", "first"), [(1, [0]), (2, [0, 5]), (3, [0, 2, 5]), (99, [0, 1, 2, 3, 4, 5])])
def test_pairs_spread_over_the_sequence(drive: Drive, pairs: int, first: list[int]) -> None:
    assert measure_alignment(drive, "a", max_pairs=pairs)["pairs"] == len(first)
    assert [index for _, index in drive.reads] == [i + step for i in first for step in (0, 1)]


def test_a_sequence_without_a_pair_has_no_shares(drive: Drive) -> None:
    assert measure_alignment(drive, "b") == {"pairs": 0}
    assert measure_alignment(drive, "a", max_pairs=0) == {"pairs": 0}


def test_the_table_has_one_row_per_dataset_and_a_dash_for_what_was_not_measured(drive: Drive) -> None:
    table = adapter_table({"drive": bench_adapter(drive) | measure_alignment(drive, "a"), "other": {"sweeps": 0.0}})
    head, first, second = table.splitlines()
    assert len(head) == len(first) == len(second) <= 160
    assert first.split()[:2] == ["drive", "8"]
    assert second.split() == ["other", "0"] + ["-"] * (len(first.split()) - 2)


def test_simulated_streets_are_read_and_line_up(tiny_streets: Path) -> None:
    dataset = open_dataset("synthetic", tiny_streets)
    figures = bench_adapter(dataset) | measure_alignment(dataset, dataset.sequences()[0])
    assert figures["sweeps"] == 12
    files = {file for s in dataset.sequences() for i in range(6) for file in dataset.input_files(s, i)}
    assert figures["mb_per_sweep"] * 12 == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    assert figures["near_with_poses"] > figures["near_without"]
