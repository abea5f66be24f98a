"""Write nuScenes scenes, tables and files, laid out as the archives are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

START_US = 1532402927647951
RAW_NAMES = [
    "noise",
    "animal",
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.stroller",
    "human.pedestrian.wheelchair",
    "movable_object.barrier",
    "movable_object.debris",
    "movable_object.pushable_pullable",
    "movable_object.trafficcone",
    "static_object.bicycle_rack",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.motorcycle",
    "vehicle.trailer",
    "vehicle.truck",
    "flat.driveable_surface",
    "flat.sidewalk",
    "flat.terrain",
    "flat.other",
    "static.manmade",
    "static.vegetation",
    "static.other",
    "vehicle.ego",
]

Table = list[dict[str, Any]]


def dump(folder: Path, name: str, rows: Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))  # as published: every value in its line


def rotation(seed: int) -> Rotation:
    return Rotation.random(random_state=seed)


def wxyz(turn: Rotation) -> list[float]:
    x, y, z, w = turn.as_quat()
    return [w, x, y, z]


def global_position(number: int) -> list[float]:
    return [1010.5 + 0.5 * number, 630.25 - 0.25 * number, 0.0]


def points_of(number: int, points: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(number).uniform(-50, 50, (points, 5)).astype(np.float32)
    rows[:, 3] = np.random.default_rng(number).integers(0, 256, points)
    return rows


def write(
    root: Path,
    scenes: tuple[str, ...] = ("scene-0001", "scene-0003"),
    version: str = "v1.0-trainval",
    sweeps: int = 4,
    points: int = len(RAW_NAMES),
    lidarseg: bool = True,
) -> None:
    """Scenes of ``sweeps`` LIDAR_TOP files, of which those of even number are key frames, and a camera's rows.

    The rows are out of order, as sample_data's are, and a sweep's own ego pose is unlike its sample's.
    """
    channels = ("CAM_FRONT", "LIDAR_TOP")
    data: Table = []
    poses: Table = []
    labels: Table = []
    for s, scene in enumerate(scenes):
        for c, channel in enumerate(channels):
            for k in range(sweeps):
                number = 100 * s + k
                token = f"{version}-{scene}-{channel}-{k}"
                stamp = START_US + 10**8 * s + 50_000 * k
                folder = ("samples", "sweeps")[k % 2]
                filename = f"{folder}/{channel}/n015-2018-07-24-11-22-45+0800__{channel}__{stamp}.pcd.bin"
                data.append(
                    {
                        "token": token,
                        "sample_token": f"sample-{scene}-{(k + 1) // 2}",
                        "ego_pose_token": f"pose-{token}",
                        "calibrated_sensor_token": f"calibration-{channel}-{s}",
                        "timestamp": stamp,
                        "fileformat": "pcd",
                        "is_key_frame": k % 2 == 0,
                        "height": 0,
                        "width": 0,
                        "filename": filename,
                        "prev": f"{version}-{scene}-{channel}-{k - 1}" if k else "",
                        "next": f"{version}-{scene}-{channel}-{k + 1}" if k < sweeps - 1 else "",
                    }
                )
                turn = wxyz(rotation(number)) if c else [1, 0, 0, 0]
                place = global_position(number) if c else [0, 0, 0]
                poses.append({"token": f"pose-{token}", "timestamp": stamp, "rotation": turn, "translation": place})
                if channel != "LIDAR_TOP":
                    continue
                (root / folder / channel).mkdir(parents=True, exist_ok=True)
                points_of(number, points).tofile(root / filename)
                if lidarseg and k % 2 == 0:
                    name = f"lidarseg/{version}/{token}_lidarseg.bin"
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    np.arange(points, dtype=np.uint8).tofile(root / name)
                    labels.append({"token": token, "sample_data_token": token, "filename": name})
    samples = [(scene, k) for scene in scenes for k in range(sweeps // 2 + 1)]
    tables: dict[str, Table] = {
        "sensor": [{"token": f"sensor-{channel}", "channel": channel, "modality": "?"} for channel in channels],
        "calibrated_sensor": [
            {
                "token": f"calibration-{channel}-{s}",
                "sensor_token": f"sensor-{channel}",
                "translation": [0.9 + s, 0.0, 1.84],
                "rotation": wxyz(rotation(1000 + s)),
                "camera_intrinsic": [],
            }
            for channel in channels
            for s in range(len(scenes))
        ],
        "scene": [{"token": f"token-{scene}", "name": scene, "description": "Parked cars"} for scene in scenes],
        "sample": [{"token": f"sample-{s}-{k}", "scene_token": f"token-{s}", "timestamp": 0} for s, k in samples],
        "sample_data": data[::-1],
        "ego_pose": poses[::-1],
        "category": [{"token": f"{i}", "name": name, "description": ""} for i, name in enumerate(RAW_NAMES)],
    }
    if lidarseg:
        tables["lidarseg"] = labels
        for index, row in enumerate(tables["category"]):
            row["index"] = index
    for name, rows in tables.items():
        dump(root / version, name, rows)


def change(table: str, edit: Callable[[Table], Any]) -> Callable[[Path], None]:
    """Damage that edits the rows of a table of v1.0-trainval in place."""

    def damage(root: Path) -> None:
        path = root / "v1.0-trainval" / f"{table}.json"
        rows = json.loads(path.read_text())
        edit(rows)
        path.write_text(json.dumps(rows))

    return damage
