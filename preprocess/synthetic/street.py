"""A street as arrays: its ground, its objects over time, and the path of the ego vehicle."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.ground import Ground
from iscc_lidar.preprocess.synthetic.layout import lay_out
from iscc_lidar.preprocess.synthetic.placed import Placed
from iscc_lidar.preprocess.synthetic.raycast import Solids
from iscc_lidar.preprocess.synthetic.semantics import MOVING, THINGS
from iscc_lidar.preprocess.synthetic.solids import extent
from iscc_lidar.preprocess.synthetic.style import DISTRICTS, draw_style

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Things:
    """The objects with an instance id; T rows.

    Attributes:
        row: int64 [T], row of the object among all objects.
        instance: int64 [T], its id.
        raw: int64 [T], its SemanticKITTI class at rest.
        low, high: float64 [T, 3], corners of its tight box in its own frame, metres.
    """

    row: NDArray[np.int64]
    instance: NDArray[np.int64]
    raw: NDArray[np.int64]
    low: Array
    high: Array


@dataclass(frozen=True)
class Street:
    """One procedural street.

    Attributes:
        ground: the ground.
        origin: s, d, yaw, v_s, v_d of each object at time 0 [O, 5], metres, radians, m/s.
        tilts: whether an object tilts with the ground [O].
        solids: all solids [P], each in the frame of its object.
        owner: object of each solid [P].
        raw: SemanticKITTI class of each solid [P], the moving class if its object moves.
        instance: id of each solid's object [P], from 1; 0 for objects without an id.
        things: the objects with an id.
        reflectance: mean intensity of each solid before the effects of range and noise [P].
        ego_speed: speed of the ego vehicle, m/s. ego_d: lateral offset of its path, m.
        sway: phases of its sway [2].
    """

    ground: Ground
    origin: Array
    tilts: NDArray[np.bool_]
    solids: Solids
    owner: NDArray[np.int64]
    raw: NDArray[np.int64]
    instance: NDArray[np.int64]
    things: Things
    reflectance: Array
    ego_speed: float
    ego_d: float
    sway: Array


def build_street(config: SynthConfig, index: int) -> Street:
    """Build street ``index`` of the dataset: the same configuration and index give the same street."""
    rng = np.random.default_rng([config.seed, index, 0])
    style = draw_style(rng, (config.ego_speed_min_mps, config.ego_speed_max_mps), DISTRICTS[config.district])
    travel = style.ego_speed * config.sweeps / config.sweep_rate_hz
    ego_d = -(style.ground.half_road + style.ground.median_half) / 2
    placed = lay_out(rng, style, -config.max_range_m - 10, travel + config.max_range_m + 10, ego_d)
    return _assemble(rng, style.ground, placed, style.ego_speed, ego_d)


def _assemble(rng: Generator, ground: Ground, placed: list[Placed], ego_speed: float, ego_d: float) -> Street:
    owner = np.repeat(np.arange(len(placed)), [len(o.parts) for o in placed])
    parts = [part for o in placed for part in o.parts]
    raw = np.array([p.raw for p in parts])
    thing = np.isin(raw, list(THINGS))
    ids = np.zeros(len(placed), np.int64)
    ids[np.unique(owner[thing])] = np.arange(1, len(np.unique(owner[thing])) + 1)
    moves = np.array([bool(o.v_s or o.v_d) for o in placed])[owner]
    # Reflectance differs between objects far more than between classes.
    paint = rng.normal(0, 0.10, len(placed))[owner] + rng.normal(0, 0.04, len(parts))
    return Street(
        ground=ground,
        origin=np.array([(o.s, o.d, o.yaw, o.v_s, o.v_d) for o in placed]),
        tilts=np.array([o.tilts for o in placed]),
        solids=Solids(*(np.array([getattr(part, field.name) for part in parts]) for field in fields(Solids))),
        owner=owner,
        raw=np.array([MOVING.get(r, r) if m else r for r, m in zip(raw.tolist(), moves, strict=True)]),
        instance=np.where(thing, ids[owner], 0),
        things=_things(placed, ids),
        reflectance=np.clip(0.33 + paint, 0.03, 0.9),
        ego_speed=ego_speed,
        ego_d=ego_d,
        sway=rng.uniform(0, 2 * np.pi, 2),
    )


def _things(placed: list[Placed], ids: NDArray[np.int64]) -> Things:
    row = np.flatnonzero(ids)
    raw = [next(p.raw for p in placed[k].parts if p.raw in THINGS) for k in row.tolist()]
    corners = [extent(placed[k].parts) for k in row.tolist()]
    low, high = (np.array([pair[end] for pair in corners]).reshape(-1, 3) for end in (0, 1))
    return Things(row, ids[row], np.array(raw, dtype=np.int64), low, high)


def world_SE3_objects(street: Street, time_s: float) -> Array:
    """Compute the poses of all objects at a time: float64 [O, 4, 4]."""
    s = street.origin[:, 0] + time_s * street.origin[:, 3]
    d = street.origin[:, 1] + time_s * street.origin[:, 4]
    return _stand(street.ground, s, d, street.origin[:, 2], street.tilts)


def world_SE3_sensor(street: Street, config: SynthConfig, time_s: float) -> Array:
    """Compute the pose of the sensor at a time, float64 [4, 4]: tilted with the ground and swaying slightly."""
    distance = np.array([street.ego_speed * time_s])
    d = street.ego_d + 0.12 * np.sin(0.15 * distance + street.sway[0])
    yaw = np.arctan(0.12 * 0.15 * np.cos(0.15 * distance + street.sway[0]))
    car = _stand(street.ground, distance, d, yaw, np.array([True]))[0]
    lift = np.eye(4)
    lift[2, 3] = config.sensor_height_m + 0.01 * np.sin(7.0 * time_s + street.sway[1])
    return np.asarray(car @ lift)


def solids_in_sensor(street: Street, sensor_SE3_world: Array, time_s: float) -> Solids:
    """Transform all solids to the sensor frame at a time."""
    sensor_SE3_part = (sensor_SE3_world @ world_SE3_objects(street, time_s))[street.owner]
    R, part = sensor_SE3_part[:, :3, :3], street.solids
    centre = np.einsum("pij,pj->pi", R, part.centre) + sensor_SE3_part[:, :3, 3]
    return Solids(part.shape, centre, R @ part.rotation, part.half, part.taper, part.mean_free_path_m)


def _stand(ground: Ground, s: Array, d: Array, yaw: Array, tilts: NDArray[np.bool_]) -> Array:
    x, y = ground.to_world(s, d)
    heading, step = ground.curvature * s + yaw, 0.5
    # Slopes are those of the smooth surface: a kerb must not tilt the objects next to it.
    rise_s = (ground.base(s + step, d) - ground.base(s - step, d)) / (2 * step)
    rise_d = (ground.base(s, d + step) - ground.base(s, d - step)) / (2 * step)
    along = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
    climb = np.where(tilts, rise_s * along[:, 0] + rise_d * along[:, 1], 0)
    lean = np.where(tilts, -rise_s * along[:, 1] + rise_d * along[:, 0], 0)
    forward = np.stack([np.cos(heading), np.sin(heading), climb], axis=-1)
    leftward = np.stack([-np.sin(heading), np.cos(heading), lean], axis=-1)
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    up = np.cross(forward, leftward)
    up /= np.linalg.norm(up, axis=-1, keepdims=True)
    pose = np.zeros((len(s), 4, 4))
    pose[:, :3, 0], pose[:, :3, 1], pose[:, :3, 2] = forward, np.cross(up, forward), up
    pose[:, :3, 3] = np.stack([x, y, ground.height(s, d)], axis=-1)
    pose[:, 3, 3] = 1
    return pose
