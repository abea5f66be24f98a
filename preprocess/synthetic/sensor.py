"""The simulated LiDAR: its beams and its sweeps of a street."""

from __future__ import annotations

from dataclasses import dataclass

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
    kept = _kept(config, rng, reach, part >= 0, albedo)
    intensity = _intensity(config, rng, albedo, reach)[kept]
    measured = (reach + _range_error(config, rng, reach, raw))[kept]
    points = np.concatenate([direction[kept] * measured[:, None], intensity[:, None]], axis=1)
    return SynthSweep(points.astype(np.float32), (instance[kept] << 16 | raw[kept]).astype(np.uint32), pose)


def ray_grid(config: SynthConfig, rng: Generator) -> RayGrid:
    """Compute the rays: elevations of an HDL-64E, whose upper half is denser (data sheet: +2 to -24.8 degrees)."""
    elevation = elevations(config)
    # Beams have different azimuth offsets, and each revolution starts at a different angle.
    shift = np.random.default_rng([config.seed, 2]).uniform(-0.4, 0.4, config.beams) + rng.uniform(-0.1, 0.1)
    column = np.arange(config.columns) + 0.5 + shift[:, None]
    azimuth = -np.pi + column * 2 * np.pi / config.columns
    flat = np.cos(elevation)[:, None]
    z = np.broadcast_to(np.sin(elevation)[:, None], azimuth.shape)
    return RayGrid(np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), z], axis=-1), elevation)


def elevations(config: SynthConfig) -> Array:
    """Return the elevation of each beam, radians, descending."""
    hdl64 = np.concatenate([np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)])
    return np.asarray(np.radians(np.interp(np.linspace(0, 63, config.beams), np.arange(64), hdl64)))


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
