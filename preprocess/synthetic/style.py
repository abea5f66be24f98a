"""Style of a street: its ground, and the density of buildings, plants, parked vehicles and people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.ground import Ground, Side

Scene = Literal["street", "crowd", "field", "walled"]


@dataclass(frozen=True)
class SideStyle:
    """Style of one side of the street.

    Attributes:
        setback: from the sidewalk to the buildings' fronts, m.
        built: share of the front with buildings. house: typical front length, m. storeys: typical number.
        border: probabilities of fence, hedge and nothing along the sidewalk.
        trees, poles, signs, persons, clutter, two_wheelers: per 100 m of sidewalk.
        parked: share of the parking strip that is occupied. bushes: per 100 m of yard.
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
    """Style of a street.

    Attributes:
        ground: its ground.
        left, right: its sides (d > 0 and d < 0).
        lane_gap: mean gap between moving vehicles of a lane, m.
        lane_speed: speed of the oncoming traffic, m/s. ego_speed: speed of the ego vehicle and its lane, m/s.
        vehicle_mix: probabilities of car, truck, other vehicle, bicyclist, motorcyclist in traffic.
        scene: what is beside the road.
    """

    ground: Ground
    left: SideStyle
    right: SideStyle
    lane_gap: float
    lane_speed: float
    ego_speed: float
    vehicle_mix: NDArray[np.float64]
    scene: Scene = "street"


Range = tuple[float, float]


@dataclass(frozen=True)
class District:
    """Style of the streets of a district; a Range is the bounds of a uniform distribution.

    Attributes:
        half_road, sidewalk, kerb: widths and height as in Ground and Side, m. curvature: sharpest bend, 1/m.
        parking: share of sides with a parking strip.
        built: share of the front with buildings, one of three. yard: depth of a yard, m.
        house: front length, m. storeys: number.
        green, people: factors on plants, and on persons and two-wheelers.
        scene: a street; one with rows of two-wheelers, groups of people, riders and cars door to door; a field with
            one thing now and then; or a road between walls.
        grade: standard deviation of the slope along the road.
    """

    half_road: Range
    curvature: float
    kerb: Range
    sidewalk: Range
    parking: float
    built: tuple[float, float, float]
    yard: Range
    house: Range
    storeys: Range
    green: float
    people: float
    scene: Scene
    grade: float


_NAMES: Final = ("mixed", "old_town", "centre", "suburb", "crowd", "field", "walled")
_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    # of each district, in the order of _NAMES
    "half_road": ((2.8, 6.8), (2.4, 4.2), (3.5, 9.0), (4.0, 8.0), (4.0, 6.5), (2.8, 5.0), (3.0, 4.5)),
    "curvature": (1 / 160, 1 / 70, 1 / 250, 1 / 110, 1 / 160, 1 / 160, 1 / 160),
    "kerb": ((0.02, 0.17), (0.0, 0.1), (0.05, 0.2), (0.05, 0.2), (0.02, 0.17), (0.0, 0.02), (0.0, 0.05)),
    "sidewalk": ((1.2, 4.0), (0.8, 2.4), (2.0, 6.0), (1.5, 5.0), (3.5, 6.5), (0.5, 1.0), (0.3, 0.5)),
    "parking": (0.5, 0.4, 0.6, 0.7, 0.0, 0.0, 0.0),
    "built": (
        (0.1, 0.5, 0.85),
        (0.6, 0.85, 0.95),
        (0.7, 0.9, 1.0),
        (0.1, 0.3, 0.6),
        (0.6, 0.85, 1.0),
        (0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0),
    ),
    "yard": ((0.0, 14.0), (0.0, 3.0), (0.0, 2.0), (4.0, 20.0), (0.0, 3.0), (5.0, 20.0), (0.0, 1.0)),
    "house": ((8, 26), (5, 14), (12, 40), (10, 32), (8, 26), (8, 26), (8, 26)),
    "storeys": ((1, 5), (2.5, 6), (3.5, 7), (1, 2.5), (2, 6), (1, 2), (1, 2)),
    "green": (1.0, 0.6, 0.5, 1.5, 0.5, 0.0, 0.0),
    "people": (1.0, 1.6, 2.0, 0.8, 1.5, 0.0, 0.0),
    "scene": ("street", "street", "street", "street", "crowd", "field", "walled"),
    "grade": (0.03, 0.03, 0.03, 0.03, 0.03, 0.1, 0.05),
}
DISTRICTS: Final = {
    name: District(**dict(zip(_VALUES, column, strict=True)))
    for name, column in zip(_NAMES, zip(*_VALUES.values(), strict=True), strict=True)
}
"""By the values of SynthConfig.district."""


def draw_style(rng: Generator, ego_speed_range: Range, district: District = DISTRICTS["mixed"]) -> Style:
    """Draw the style of a street; all quantities vary independently, so that there are no separate types of street."""
    return Style(
        ground=_ground(rng, district),
        left=_side_style(rng, district),
        right=_side_style(rng, district),
        lane_gap=float(rng.uniform(12, 90)),
        lane_speed=float(rng.uniform(3, 13)),
        ego_speed=float(rng.uniform(*ego_speed_range)),
        vehicle_mix=rng.dirichlet([6, 1.3, 1.2, 2.4, 1.5]),
        scene=district.scene,
    )


def _ground(rng: Generator, district: District) -> Ground:
    waves = np.stack(
        [rng.uniform(0.05, [0.9, 0.25]), 2 * np.pi / rng.uniform([60, 18], [160, 40]), rng.uniform(0, 2 * np.pi, 2)],
        axis=1,
    )
    crossing = rng.random() < 0.6
    half_road = float(rng.uniform(*district.half_road))
    median = half_road > 5 and rng.random() < 0.55
    return Ground(
        curvature=float(rng.choice([-1, 1]) * rng.uniform(1e-5, district.curvature)),
        half_road=half_road,
        median_half=float(rng.uniform(0.5, 1.3)) if median else 0.0,
        grade=float(rng.normal(0, district.grade)),
        waves=waves,
        camber=float(rng.uniform(0.0, 0.03)),
        kerb=float(rng.uniform(*district.kerb)),
        relief=float(rng.uniform(0.02, 0.12)),
        cross_s=float(rng.uniform(-20, 60)),
        cross_half=float(rng.uniform(2.5, 6.0)) if crossing else 0.0,
        left=_side(rng, district),
        right=_side(rng, district),
    )


def _side(rng: Generator, district: District) -> Side:
    return Side(
        parking=float(rng.uniform(1.9, 2.6)) if rng.random() < district.parking else 0.0,
        sidewalk=float(rng.uniform(*district.sidewalk)),
        paved_yard=bool(rng.random() < 0.15),
        bank=float(rng.normal(0.01, 0.05)),
        bank_length=float(rng.uniform(3, 25)),
        drive_period=float(rng.uniform(14, 40)),
        drive_width=float(rng.uniform(1.0, 2.0) if rng.random() < 0.5 else rng.uniform(2.6, 6.0)),
    )


def _side_style(rng: Generator, district: District) -> SideStyle:
    density = rng.choice(district.built, p=[0.3, 0.35, 0.35])
    return SideStyle(
        setback=float(rng.choice([0.0, 1.0], p=[0.35, 0.65]) * rng.uniform(*district.yard))
        + float(rng.uniform(0, 1.5)),
        built=float(density),
        house=float(rng.uniform(*district.house)),
        storeys=float(rng.uniform(*district.storeys)),
        border=rng.dirichlet([2.2, 2.0, 0.6]),
        trees=float(rng.gamma(1.6, 5.5) * district.green),
        poles=float(rng.uniform(1.5, 6.0)),
        signs=float(rng.uniform(1.5, 9.0)),
        persons=float(rng.gamma(1.2, 5.5) * district.people),
        clutter=float(rng.gamma(1.0, 1.5)),
        two_wheelers=float(rng.gamma(1.2, 3.5) * district.people),
        parked=float(rng.beta(1.0, 1.3)),
        bushes=float(rng.gamma(1.3, 8.0) * district.green),
    )
