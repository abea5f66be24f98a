"""What kind of street a seed gives: its ground, and how densely it is built, planted, parked and used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.ground import Ground, Side


@dataclass(frozen=True)
class SideStyle:
    """How one side of the street is furnished.

    Attributes:
        setback: from the sidewalk to the buildings' fronts, m.
        built: share of the front that is built up. house: typical front length, m. storeys: typical number.
        border: probabilities of fence, hedge and nothing along the sidewalk.
        trees, poles, signs, persons, clutter, two_wheelers: per 100 m of sidewalk.
        parked: share of the parking strip that is taken. bushes: per 100 m of yard.

    """

    setback: float
    built: float
    house: float
    storeys: float
    border: NDArray[np.float64]
    trees: float
    poles: float
    signs: float
    persons: float
    clutter: float
    two_wheelers: float
    parked: float
    bushes: float


@dataclass(frozen=True)
class Style:
    """A street's character.

    Attributes:
        ground: its ground.
        left, right: its sides (d > 0 and d < 0).
        lane_gap: mean free length between moving vehicles of a lane, m.
        lane_speed: speed of the other traffic, m/s. ego_speed: own speed, m/s.
        vehicle_mix: probabilities of car, truck, other vehicle, bicyclist, motorcyclist in traffic.

    """

    ground: Ground
    left: SideStyle
    right: SideStyle
    lane_gap: float
    lane_speed: float
    ego_speed: float
    vehicle_mix: NDArray[np.float64]


def draw_style(rng: Generator, ego_speed_range: tuple[float, float]) -> Style:
    """Draw a street; every quantity varies on its own, so that kinds of street shade into each other."""
    return Style(
        ground=_ground(rng),
        left=_side_style(rng),
        right=_side_style(rng),
        lane_gap=float(rng.uniform(12, 90)),
        lane_speed=float(rng.uniform(3, 13)),
        ego_speed=float(rng.uniform(*ego_speed_range)),
        vehicle_mix=rng.dirichlet([6, 1.3, 1.2, 2.4, 1.5]),
    )


def _ground(rng: Generator) -> Ground:
    waves = np.stack(
        [rng.uniform(0.05, [0.9, 0.25]), 2 * np.pi / rng.uniform([60, 18], [160, 40]), rng.uniform(0, 2 * np.pi, 2)],
        axis=1,
    )
    crossing = rng.random() < 0.6
    half_road = float(rng.uniform(2.8, 6.8))
    median = half_road > 5 and rng.random() < 0.55
    return Ground(
        curvature=float(rng.choice([-1, 1]) * rng.uniform(1e-5, 1 / 160)),
        half_road=half_road,
        median_half=float(rng.uniform(0.5, 1.3)) if median else 0.0,
        grade=float(rng.normal(0, 0.03)),
        waves=waves,
        camber=float(rng.uniform(0.0, 0.03)),
        kerb=float(rng.uniform(0.02, 0.17)),
        relief=float(rng.uniform(0.02, 0.12)),
        cross_s=float(rng.uniform(-20, 60)),
        cross_half=float(rng.uniform(2.5, 6.0)) if crossing else 0.0,
        left=_side(rng),
        right=_side(rng),
    )


def _side(rng: Generator) -> Side:
    return Side(
        parking=float(rng.uniform(1.9, 2.6)) if rng.random() < 0.5 else 0.0,
        sidewalk=float(rng.uniform(1.2, 4.0)),
        paved_yard=bool(rng.random() < 0.15),
        bank=float(rng.normal(0.01, 0.05)),
        bank_length=float(rng.uniform(3, 25)),
        drive_period=float(rng.uniform(14, 40)),
        drive_width=float(rng.uniform(1.0, 2.0) if rng.random() < 0.5 else rng.uniform(2.6, 6.0)),
    )


def _side_style(rng: Generator) -> SideStyle:
    density = rng.choice([0.1, 0.5, 0.85], p=[0.3, 0.35, 0.35])
    return SideStyle(
        setback=float(rng.choice([0.0, 1.0], p=[0.35, 0.65]) * rng.uniform(0.0, 14.0)) + float(rng.uniform(0, 1.5)),
        built=float(density),
        house=float(rng.uniform(8, 26)),
        storeys=float(rng.uniform(1, 5)),
        border=rng.dirichlet([2.2, 2.0, 0.6]),
        trees=float(rng.gamma(1.6, 5.5)),
        poles=float(rng.uniform(1.5, 6.0)),
        signs=float(rng.uniform(1.5, 9.0)),
        persons=float(rng.gamma(1.2, 5.5)),
        clutter=float(rng.gamma(1.0, 1.5)),
        two_wheelers=float(rng.gamma(1.2, 3.5)),
        parked=float(rng.beta(1.0, 1.3)),
        bushes=float(rng.gamma(1.3, 8.0)),
    )
