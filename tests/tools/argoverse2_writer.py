"""Write Argoverse 2 logs, laid out as the sensor dataset is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather
from scipy.spatial.transform import Rotation

LOG = "0b9321d8-aaaa"
TIMES = (99_950_000_000, 100_050_000_000)  # of different length when shortened: sorting must go by number
UP, DOWN = np.array([1.35, 0.02, 1.64]), np.array([1.34, -0.01, 1.53])


def city_SE3_ego(time_ns: float) -> np.ndarray:
    """Drive at 12 m/s along a curve, far from the city's origin, on a road with some slope."""
    elapsed = (time_ns - TIMES[0]) / 1e9
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("zyx", [0.7 + 0.4 * elapsed, 0.03, 0.01]).as_matrix()
    pose[:3, 3] = [5200 + 12 * elapsed, -800 + 3 * elapsed, 70]
    return pose


def write_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.table(columns), path, compression="lz4")


def pose_columns(poses: list[np.ndarray]) -> dict[str, np.ndarray]:
    quaternion = np.array([Rotation.from_matrix(p[:3, :3]).as_quat() for p in poses]).reshape(-1, 4)
    columns = {name: quaternion[:, i] for i, name in enumerate(("qx", "qy", "qz", "qw"))}
    return columns | {name: np.array([p[i, 3] for p in poses]) for i, name in enumerate(("tx_m", "ty_m", "tz_m"))}


def write_poses(folder: Path, times: np.ndarray) -> None:
    columns = {"timestamp_ns": times.astype(np.int64)} | pose_columns([city_SE3_ego(t) for t in times])
    write_table(folder / "city_SE3_egovehicle.feather", columns)


def write_calibration(folder: Path, up: np.ndarray = UP, down: np.ndarray = DOWN) -> None:
    down_SE3, up_SE3, camera = np.diag([1.0, -1, -1, 1]), np.eye(4), np.eye(4)
    down_SE3[:3, 3], up_SE3[:3, 3] = down, up
    names = np.array(["ring_front_center", "down_lidar", "up_lidar"])
    write_table(
        folder / "calibration" / "egovehicle_SE3_sensor.feather",
        {"sensor_name": names} | pose_columns([camera, down_SE3, up_SE3]),
    )


def write_sweep(folder: Path, time: int, xyz: np.ndarray, laser: np.ndarray, offset_ns: np.ndarray) -> None:
    columns = {axis: xyz[:, i].astype(np.float16) for i, axis in enumerate("xyz")}
    columns["intensity"] = (np.arange(len(xyz)) % 256).astype(np.uint8)
    columns["laser_number"] = laser.astype(np.uint8)
    columns["offset_ns"] = offset_ns.astype(np.int32)
    write_table(folder / "sensors" / "lidar" / f"{time}.feather", columns)


def shots(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in the ego frame within 30 m, lasers, times of firing in order."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(-30, 30, (count, 3)),
        rng.integers(0, 64, count),
        np.sort(rng.integers(2_600_000, 106_000_000, count)),
    )


def make_log(folder: Path) -> None:
    for seed, time in enumerate(TIMES):
        write_sweep(folder, time, *shots(seed))
    write_poses(folder, np.concatenate([np.arange(TIMES[0] - 50_000_000, TIMES[1] + 200_000_000, 5_000_000)]))
    write_calibration(folder)
