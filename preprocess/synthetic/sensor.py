"""The simulated LiDAR: its beams and its sweeps of a street."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.ground import first_hit
from iscc_lidar.preprocess.synthetic.raycast import RayGrid, cast
from iscc_lidar.preprocess.synthetic.semantics import TERRAIN
from iscc_lidar.preprocess.synthetic.street import Street, solids_in_sensor, world_SE3_sensor
from iscc_lidar.shared.base.geometry import inverse

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sensor:
    """Elevation of each beam, degrees, descending; and how wide it sees ahead, degrees."""

    elevation_deg: Array
    view_deg: float = 360.0


SENSORS: Final = {
    # Data sheet: +2 to -24.8 degrees, the upper half denser.
    "hdl64": Sensor(np.concatenate([np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)])),
    # Data sheet: 1 degree apart above +2, 0.167 between +2 and -6, 1 below, 5 at the ends.
    "pandar64": Sensor(
        np.concatenate([[15, 11, 8, 5, 3], np.linspace(2.0, -6.0, 49), np.linspace(-7, -13, 7), [-14, -19, -25]])
    ),
    "vlp16": Sensor(np.linspace(15.0, -15.0, 16)),
    "hdl32": Sensor(np.linspace(10.67, -30.67, 32)),
    "os128": Sensor(np.linspace(22.5, -22.5, 128)),
    "solid_state": Sensor(np.linspace(12.5, -12.5, 128), view_deg=120.0),
}
"""By the values of SynthConfig.sensor."""


@dataclass(frozen=True)
class SynthSweep:
    """One simulated sweep.

    Attributes:
        points: float32 [N, 4], x, y, z in metres in the sensor frame (x forward, y left, z up), and intensity 0..0.99;
            beam by beam, as in KITTI, without rays that hit nothing.
        label: uint32 [N], SemanticKITTI class in the low, instance in the high 16 bits.
        world_SE3_sensor: float64 [4, 4].
    """

    points: NDArray[np.float32]
    label: NDArray[np.uint32]
    world_SE3_sensor: Array


def sweep(street: Street, config: SynthConfig, index: int, number: int) -> SynthSweep:
    """Simulate sweep ``number`` of street ``index``, taken at one instant as if motion-compensated."""
    rng = np.random.default_rng([config.seed, index, number, 1])
    time_s = number / config.sweep_rate_hz
    pose = world_SE3_sensor(street, config, time_s)
    rays = ray_grid(config, rng)
    ground_range, ground_raw = first_hit(
        street.ground, pose[:3, 3], rays.direction.reshape(-1, 3) @ pose[:3, :3].T, config.max_range_m
    )
    solids = solids_in_sensor(street, inverse(pose), time_s)
    reach, part = cast(rays, solids, ground_range.reshape(rays.direction.shape[:2]), rng)
    reach, part, direction = reach.ravel(), part.ravel(), rays.direction.reshape(-1, 3)
    raw = np.where(part >= 0, street.raw[part], ground_raw)
    instance = np.where(part >= 0, street.instance[part], 0)
    albedo = np.where(part >= 0, street.reflectance[part], _ground_albedo(config, index)[raw % 256])
    kept = _kept(config, rng, reach, part >= 0, albedo) & _in_view(config, direction)
    intensity = _intensity(config, rng, albedo, reach)[kept]
    measured = (reach + _range_error(config, rng, reach, raw))[kept]
    points = np.concatenate([direction[kept] * measured[:, None], intensity[:, None]], axis=1)
    return SynthSweep(points.astype(np.float32), (instance[kept] << 16 | raw[kept]).astype(np.uint32), pose)


def ray_grid(config: SynthConfig, rng: Generator) -> RayGrid:
    """Compute the rays of a revolution; a sensor that does not see all around loses some later."""
    elevation = elevations(config)
    # Beams have different azimuth offsets, and each revolution starts at a different angle.
    shift = np.random.default_rng([config.seed, 2]).uniform(-0.4, 0.4, len(elevation)) + rng.uniform(-0.1, 0.1)
    column = np.arange(config.columns) + 0.5 + shift[:, None]
    azimuth = -np.pi + column * 2 * np.pi / config.columns
    flat = np.cos(elevation)[:, None]
    z = np.broadcast_to(np.sin(elevation)[:, None], azimuth.shape)
    return RayGrid(np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), z], axis=-1), elevation)


def elevations(config: SynthConfig) -> Array:
    """Return the elevation of each beam, radians, descending."""
    own = SENSORS[config.sensor].elevation_deg
    beams = config.beams or len(own)
    return np.asarray(np.radians(np.interp(np.linspace(0, len(own) - 1, beams), np.arange(len(own)), own)))


def _in_view(config: SynthConfig, direction: Array) -> NDArray[np.bool_]:
    half = np.radians(SENSORS[config.sensor].view_deg / 2)
    return np.asarray(np.abs(np.arctan2(direction[:, 1], direction[:, 0])) <= half)


def _ground_albedo(config: SynthConfig, index: int) -> Array:
    # The albedo of a ground class differs between streets, so that it does not identify the class.
    return np.random.default_rng([config.seed, index, 3]).normal(0.28, 0.06, 256)


def _range_error(config: SynthConfig, rng: Generator, reach: Array, raw: NDArray[np.int64]) -> Array:
    # Grass is rough: beams stop before or behind the surface, the more the flatter they are.
    blade = np.where(raw == TERRAIN, 0.02 * np.minimum(reach / config.sensor_height_m, 8.0), 0.0)
    return np.asarray(rng.normal(0, 1, len(reach)) * np.hypot(config.range_noise_m, blade))


def _kept(
    config: SynthConfig, rng: Generator, reach: Array, solid: NDArray[np.bool_], albedo: Array
) -> NDArray[np.bool_]:
    found = np.isfinite(reach)
    share = np.where(found, reach, 0) / config.max_range_m
    lost = config.dropout + 0.35 * (1 - np.clip(albedo, 0, 1)) ** 2 * share
    grazing = np.where(solid, 0.0, np.clip((share - 0.35) / 0.6, 0, 0.95))
    lost = 1 - (1 - np.clip(lost, 0, 1)) * (1 - grazing)
    return np.asarray(
        found & (reach > config.min_range_m) & (reach <= config.max_range_m) & (rng.random(len(reach)) >= lost)
    )


def _intensity(config: SynthConfig, rng: Generator, albedo: Array, reach: Array) -> Array:
    falling = np.exp(-np.where(np.isfinite(reach), reach, 0) / 120)
    value = (albedo + rng.normal(0, config.intensity_noise, len(albedo))) * falling
    return np.asarray(np.round(np.clip(value, 0, 0.99), 2))
