"""The files of a procedural sequence, read as anyone would read SemanticKITTI."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.semantics import BUILDING, CAR, MOVING, THINGS, TRUCK
from iscc_lidar.preprocess.synthetic.write import sequence_name, write_sequence
from iscc_lidar.shared.base.errors import UserError

SMALL = SynthConfig(sequences=2, sweeps=3, seed=5, beams=16, columns=128)
FULL = SynthConfig(sequences=6, sweeps=6, seed=1, columns=512)


def write_all(root: Path, config: SynthConfig) -> list[Path]:
    return [write_sequence(root, config, index) for index in range(config.sequences)]


# SemanticKITTI's learning map for the ids that occur here.
TRAIN_CLASS = {
    10: 1,
    252: 1,
    11: 2,
    15: 3,
    18: 4,
    258: 4,
    20: 5,
    259: 5,
    30: 6,
    254: 6,
    31: 7,
    253: 7,
    32: 8,
    255: 8,
    40: 9,
    44: 10,
    48: 11,
    49: 12,
    50: 13,
    51: 14,
    70: 15,
    71: 16,
    72: 17,
    80: 18,
    81: 19,
    99: 0,
}


@dataclasses.dataclass(frozen=True)
class Read:
    """One sweep read back: points and labels, the instance, and the points in the first sweep's frame."""

    points: NDArray[np.float32]
    raw: NDArray[np.uint32]
    instance: NDArray[np.uint32]
    world_xyz: NDArray[np.float64]


def read(folder: Path) -> list[Read]:
    tr = np.eye(4)
    lines = dict(line.split(": ") for line in (folder / "calib.txt").read_text().splitlines())
    tr[:3] = np.array(lines["Tr"].split(), float).reshape(3, 4)
    sweeps = []
    for number, row in enumerate((folder / "poses.txt").read_text().splitlines()):
        pose = np.eye(4)
        pose[:3] = np.array(row.split(), float).reshape(3, 4)
        pose = np.linalg.inv(tr) @ pose @ tr
        points = np.fromfile(folder / "velodyne" / f"{number:06d}.bin", np.float32).reshape(-1, 4)
        label = np.fromfile(folder / "labels" / f"{number:06d}.label", np.uint32)
        assert len(points) == len(label)
        xyz = points[:, :3].astype(float) @ pose[:3, :3].T + pose[:3, 3]
        sweeps.append(Read(points, label & 0xFFFF, label >> 16, xyz))
    return sweeps


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> list[list[Read]]:
    root = tmp_path_factory.mktemp("synth")
    return [read(write_sequence(root, FULL, index)) for index in range(4)]


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_in_any_order(tmp_path: Path) -> None:
    write_all(tmp_path / "a", SMALL)
    for index in (1, 0):
        write_sequence(tmp_path / "b", SMALL, index)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    write_all(tmp_path / "c", dataclasses.replace(SMALL, seed=6))
    first, other = files(tmp_path / "a"), files(tmp_path / "c")
    assert first.keys() == other.keys()
    bins = [name for name in first if name.endswith(".bin")]
    assert len({first[name] for name in bins} | {other[name] for name in bins}) == 2 * len(bins)


def test_layout_is_semantickittis(tmp_path: Path) -> None:
    folders = write_all(tmp_path, SMALL)
    assert [f.relative_to(tmp_path).as_posix() for f in folders] == ["sequences/00", "sequences/01"]
    assert sorted(files(folders[0])) == sorted(
        ["calib.txt", "poses.txt", "times.txt", "synthetic.json"]
        + [f"velodyne/{n:06d}.bin" for n in range(3)]
        + [f"labels/{n:06d}.label" for n in range(3)]
        + [f"label_2/{n:06d}.txt" for n in range(3)]
    )
    assert [float(t) for t in (folders[0] / "times.txt").read_text().split()] == pytest.approx([0, 0.1, 0.2])
    points = read(folders[0])[0].points
    assert len(points) > 0.5 * SMALL.beams * SMALL.columns
    assert np.isfinite(points).all()
    assert points[:, 3].min() >= 0
    assert points[:, 3].max() <= 0.99
    reach = np.linalg.norm(points[:, :3], axis=1)
    assert reach.max() < SMALL.max_range_m + 1
    assert not list(tmp_path.rglob("*.part"))


def test_a_finished_sequence_is_left_alone_and_another_is_refused(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path, SMALL, 0)
    before = (folder / "velodyne" / "000000.bin").stat().st_mtime_ns
    more = dataclasses.replace(SMALL, sequences=9)
    assert write_sequence(tmp_path, more, 0) == folder
    assert (folder / "velodyne" / "000000.bin").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="not made by these options"):
        write_sequence(tmp_path, dataclasses.replace(SMALL, dropout=0.5), 0)


def test_an_interrupted_sequence_is_not_taken_for_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iscc_lidar.preprocess.synthetic import write

    real, calls = write.sweep, []

    def breaks(*args: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(write, "sweep", breaks)
    with pytest.raises(KeyboardInterrupt):
        write_sequence(tmp_path, SMALL, 0)
    assert not (tmp_path / "sequences" / "00").exists()
    monkeypatch.undo()
    assert len(read(write_sequence(tmp_path, SMALL, 0))) == SMALL.sweeps


def test_a_sequence_is_not_written_through_a_link_at_its_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "sequences").mkdir(parents=True)
    (tmp_path / "root" / "sequences" / f".00.{os.getpid()}.part").symlink_to(tmp_path / "outside")
    folder = write_sequence(tmp_path / "root", SMALL, 0)
    assert not folder.is_symlink()
    assert not list((tmp_path / "outside").iterdir())
    assert [path.name for path in folder.parent.iterdir()] == ["00"]


def test_sequence_names_grow_with_their_number() -> None:
    assert sequence_name(SynthConfig(sequences=100), 7) == "07"
    assert sequence_name(SynthConfig(sequences=101), 7) == "007"


def test_a_few_streets_show_most_classes(streets: list[list[Read]]) -> None:
    found = {TRAIN_CLASS[int(raw)] for sweeps in streets for one in sweeps for raw in np.unique(one.raw)} - {0}
    assert len(found) >= 14


def test_still_points_line_up_between_sweeps(streets: list[list[Read]]) -> None:
    checked = 0
    for sweeps in streets:
        first, last = (s.world_xyz[s.raw == BUILDING] for s in (sweeps[0], sweeps[-1]))
        if len(first) < 500 or len(last) < 500:
            continue
        near = last[np.linalg.norm(last, axis=1) < 20]
        if len(near) < 200:
            continue
        checked += 1
        gap, match = cKDTree(first).query(near)
        # Surfaces, not points, coincide: what is left along the local surface is the spacing of rays.
        local = cKDTree(first).query(near, k=12)[1]
        spread = first[local] - first[local].mean(axis=1, keepdims=True)
        normal = np.linalg.svd(spread)[2][:, 2]
        off = np.abs(np.einsum("ni,ni->n", near - first[match], normal))
        assert np.median(gap) < 0.35
        assert np.median(off) < 0.04
    assert checked >= 2


def test_things_have_stable_ids_and_stuff_has_none(streets: list[list[Read]]) -> None:
    things = list(THINGS | set(MOVING.values()))
    for sweeps in streets:
        kind: dict[int, int] = {}
        for one in sweeps:
            thing = np.isin(one.raw, things)
            assert (one.instance[thing] > 0).all()
            assert (one.instance[~thing] == 0).all()
            for instance in np.unique(one.instance[thing]):
                raws = np.unique(one.raw[one.instance == instance])
                assert len(raws) == 1
                assert kind.setdefault(int(instance), int(raws[0])) == raws[0]


def test_movers_move_and_the_parked_stay(streets: list[list[Read]]) -> None:
    moved, stayed = [], []
    for sweeps in streets:
        first, last = sweeps[0], sweeps[-1]
        for instance in np.intersect1d(first.instance, last.instance):
            a, b = (s.world_xyz[s.instance == instance] for s in (first, last))
            if instance == 0 or min(len(a), len(b)) < 60:
                continue
            raw = int(first.raw[first.instance == instance][0])
            distance = float(np.linalg.norm(np.median(a, axis=0)[:2] - np.median(b, axis=0)[:2]))
            if raw in (MOVING[CAR], MOVING[TRUCK]):
                moved.append(distance)
            elif raw == CAR:
                stayed.append(float(np.median(cKDTree(a).query(b)[0])))
    assert len(moved) >= 2
    assert min(moved) > 0.8  # half a second at no less than 3 m/s, seen from changing sides
    assert len(stayed) >= 3
    assert np.median(stayed) < 0.2


def test_the_own_car_drives_along_a_street_that_slopes(streets: list[list[Read]]) -> None:
    # Ground under the sensor lies one sensor height below, in each sweep's own tilted frame.
    for sweeps in streets:
        for one in sweeps:
            under = np.hypot(one.points[:, 0], one.points[:, 1]) < 4.6
            road = one.points[under & np.isin(one.raw, (40, 44))]
            assert np.median(road[:, 2]) == pytest.approx(-FULL.sensor_height_m, abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"sweeps": 0}, {"dropout": 1.0}, {"min_range_m": 90.0}, {"seed": -1}, {"ego_speed_min_mps": 20.0}]
)
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SynthConfig(**wrong)  # type: ignore[arg-type]
