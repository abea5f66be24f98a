"""Cars, trucks and other vehicles, all different. Frame: x forward, y left, origin on the ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from iscc_lidar.preprocess.synthetic.semantics import CAR, OTHER_VEHICLE, TRUCK
from iscc_lidar.preprocess.synthetic.solids import Solid, bar, box, extent
from iscc_lidar.shared.base.geometry import euler_rotation

# length, width, height (m), share of the height that is body, cabin length and its centre (share of length)
_CARS = {
    "hatchback": (3.9, 1.70, 1.48, 0.58, 0.68, -0.10),
    "saloon": (4.6, 1.80, 1.45, 0.58, 0.52, -0.04),
    "estate": (4.7, 1.80, 1.50, 0.58, 0.66, -0.13),
    "suv": (4.5, 1.88, 1.72, 0.60, 0.66, -0.12),
    "van": (4.9, 1.95, 2.05, 0.52, 0.84, -0.07),
    "pickup": (5.2, 1.90, 1.80, 0.56, 0.34, 0.05),
}


def car(rng: Generator) -> list[Solid]:
    """Make a car, van or pick-up."""
    variant = str(rng.choice(list(_CARS), p=[0.27, 0.22, 0.15, 0.18, 0.12, 0.06]))
    length, width, height, belt, cabin, shift = _CARS[variant]
    length, width, height = length * rng.normal(1, 0.07), width * rng.normal(1, 0.03), height * rng.normal(1, 0.06)
    clearance, belt_z = rng.uniform(0.16, 0.28), height * belt
    parts = [
        box(
            (0, 0, (clearance + belt_z) / 2),
            (length, width, belt_z - clearance),
            CAR,
            taper=(rng.uniform(0.01, 0.06), rng.uniform(0.02, 0.1)),
        )
    ]
    parts += _cabin(
        rng,
        cabin * length,
        width * 0.94,
        belt_z,
        height,
        shift * length,
        CAR,
        slope=0.1 if variant == "van" else rng.uniform(0.2, 0.42),
    )
    parts += _wheels(length * 0.31, width, rng.uniform(0.28, 0.36), 2, CAR)
    for side in (-1, 1):
        parts.append(box((length * 0.16, side * width * 0.54, belt_z + 0.05), (0.12, 0.16, 0.14), CAR))
    return parts


def truck(rng: Generator) -> list[Solid]:
    """Make a truck: a cab, and behind it a box, a tank or a flat bed with a load."""
    scale = rng.uniform(0.72, 1.15)
    width, cab_l, cab_h = 2.3 * scale, rng.uniform(1.6, 2.4) * scale, rng.uniform(2.1, 2.9) * scale
    bed_l, bed_z = rng.uniform(2.8, 6.5) * scale, rng.uniform(0.75, 1.1) * scale
    front = (bed_l + cab_l) / 2
    bed_x, cab_x = front - cab_l - bed_l / 2 - 0.15, front - cab_l / 2
    parts = [
        box((cab_x, 0, (0.4 + cab_h * 0.6) / 2), (cab_l, width * 0.95, cab_h * 0.6 - 0.4), TRUCK),
        *_cabin(rng, cab_l, width * 0.93, cab_h * 0.6, cab_h, cab_x, TRUCK, slope=0.12),
        box((bed_x, 0, bed_z - 0.12), (bed_l, width * 0.8, 0.24), TRUCK),
    ]
    parts += _cargo(rng, bed_x, bed_l, bed_z, width, scale)
    parts += _wheels(front - 0.9 * scale, width, 0.46 * scale, 1, TRUCK)
    for x in (bed_x - 0.3 * bed_l, bed_x - 0.3 * bed_l + 1.1 * scale)[: 1 + int(rng.random() < 0.5)]:
        parts += _wheels(x, width, 0.46 * scale, 1, TRUCK)
    return parts


def truck_with_trailer(rng: Generator) -> list[Solid]:
    """Make a truck that draws a trailer: one object in two parts, held together by a bar."""
    drawn = truck(rng)
    low, high = extent(drawn)
    length, width, height = rng.uniform(4.0, 8.0), 0.95 * float(high[1] - low[1]), rng.uniform(1.8, 2.7)
    gap, bed = rng.uniform(0.8, 1.6), rng.uniform(0.8, 1.1)
    x = float(low[0]) - gap - length / 2
    return [
        *drawn,
        bar((float(low[0]) + 0.3, 0, 0.6), (x + length / 2 - 0.1, 0, 0.6), 0.08, TRUCK),
        box((x, 0, bed + height / 2), (length, width, height), TRUCK),
        box((x, 0, bed - 0.1), (length, 0.6 * width, 0.2), TRUCK),
        *_shifted(_wheels(length * 0.3, width, 0.45, 2, TRUCK), x),
    ]


def _shifted(parts: list[Solid], x: float) -> list[Solid]:
    return [replace(part, centre=part.centre + np.array([x, 0.0, 0.0])) for part in parts]


def _cargo(rng: Generator, x: float, length: float, z: float, width: float, scale: float) -> list[Solid]:
    variant = rng.choice(["box", "tank", "flat"], p=[0.6, 0.15, 0.25])
    height = rng.uniform(1.5, 2.6) * scale
    if variant == "box":
        return [box((x, 0, z + height / 2), (length, width, height), TRUCK)]
    if variant == "tank":
        radius = 0.45 * width
        return [bar((x - length / 2, 0, z + radius), (x + length / 2, 0, z + radius), radius, TRUCK)]
    sides = [box((x, side * width * 0.49, z + 0.25), (length, 0.08, 0.5), TRUCK) for side in (-1, 1)]
    load = box(
        (x + rng.uniform(-0.15, 0.15) * length, 0, z + height * 0.25),
        (length * rng.uniform(0.4, 0.8), width * 0.8, height * 0.5),
        TRUCK,
        taper=(0.4, 0.4),
    )
    return [*sides, load]


def other_vehicle(rng: Generator) -> list[Solid]:
    """Make a bus, a caravan, a trailer or a machine."""
    variant = rng.choice(["bus", "caravan", "trailer", "tractor", "excavator"], p=[0.3, 0.25, 0.15, 0.15, 0.15])
    makers = {"bus": _bus, "caravan": _caravan, "trailer": _trailer, "tractor": _tractor, "excavator": _excavator}
    return makers[str(variant)](rng)


def _bus(rng: Generator) -> list[Solid]:
    raw, length, width, height = OTHER_VEHICLE, rng.uniform(6, 12), rng.uniform(2.1, 2.5), rng.uniform(2.5, 3.2)
    return [
        box((0, 0, 0.3 + 0.35 * height), (length, width, 0.7 * height - 0.6), raw),
        *_cabin(rng, length, width, 0.55 * height, height, 0, raw, slope=0.03),
        *_wheels(length * 0.3, width, 0.45, 2, raw),
    ]


def _caravan(rng: Generator) -> list[Solid]:
    raw, length, width, height = OTHER_VEHICLE, rng.uniform(3.2, 6), rng.uniform(1.9, 2.4), rng.uniform(1.9, 2.7)
    return [
        box((0, 0, (0.35 + height) / 2), (length, width, height - 0.35), raw, taper=(0.12, 0.06)),
        bar((length / 2, 0, 0.45), (length / 2 + 1.1, 0, 0.45), 0.06, raw),
        *_wheels(-0.2, width, 0.3, 1, raw),
    ]


def _trailer(rng: Generator) -> list[Solid]:
    raw, length, width, wall = OTHER_VEHICLE, rng.uniform(1.8, 4), rng.uniform(1.3, 2), rng.uniform(0.2, 0.7)
    return [
        box((0, 0, 0.55 + wall / 2), (length, width, wall), raw),
        bar((length / 2, 0, 0.5), (length / 2 + 1.2, 0, 0.5), 0.05, raw),
        *_wheels(-0.1, width * 1.1, 0.3, 1, raw),
    ]


def _tractor(rng: Generator) -> list[Solid]:
    raw, k = OTHER_VEHICLE, rng.uniform(0.75, 1.15)
    return [
        box((0.9 * k, 0, 1.1 * k), (1.9 * k, 0.8 * k, 0.8 * k), raw),
        *_cabin(rng, 1.4 * k, 1.5 * k, 1.2 * k, 2.6 * k, -0.7 * k, raw, slope=0.1),
        *_wheels(-0.8 * k, 2.1 * k, 0.8 * k, 1, raw),
        *_wheels(1.3 * k, 1.7 * k, 0.45 * k, 1, raw),
    ]


def _excavator(rng: Generator) -> list[Solid]:
    raw, k = OTHER_VEHICLE, rng.uniform(0.6, 1.1)
    tracks = [box((0, side * k, 0.4 * k), (3 * k, 0.5 * k, 0.8 * k), raw, taper=(0.2, 0)) for side in (-1, 1)]
    body = box(
        (-0.3 * k, 0, 1.5 * k), (2.4 * k, 2.1 * k, 1.2 * k), raw, rotation=euler_rotation(yaw=rng.uniform(-0.8, 0.8))
    )
    elbow, tip = (2.4 * k, 0, rng.uniform(2.8, 3.8) * k), (3.6 * k, 0, rng.uniform(0.6, 2) * k)
    return [
        *tracks,
        body,
        box((0.2 * k, 0.5 * k, 2.4 * k), (1.2 * k, 0.9 * k, 1.2 * k), raw, taper=(0.1, 0.1)),
        bar((0.6 * k, 0, 1.6 * k), elbow, 0.18 * k, raw),
        bar(elbow, tip, 0.15 * k, raw),
        box(tip, (0.5 * k, 0.9 * k, 0.6 * k), raw, taper=(0.5, 0)),
    ]


def _cabin(
    rng: Generator, length: float, width: float, low: float, high: float, x: float, raw: int, slope: float
) -> list[Solid]:
    # Most beams pass the glass and return from the seats, inside the volume.
    roof = max(0.08, 0.12 * (high - low))
    glass = box(
        (x, 0, (low + high - roof) / 2),
        (length, width, high - roof - low),
        raw,
        taper=(slope, min(0.2, slope)),
        fuzzy=rng.uniform(0.5, 1.5),
    )
    top = (length * (1 - slope), width * (1 - min(0.2, slope)))
    pillars = [
        bar((x + f * length / 2, g * width / 2, low), (x + f * top[0] / 2, g * top[1] / 2, high - roof), 0.06, raw)
        for f in (-0.98, 0.98)
        for g in (-0.97, 0.97)
    ]
    return [glass, *pillars, box((x, 0, high - roof / 2), (*top, roof), raw, taper=(0.1, 0.1))]


def _wheels(x: float, width: float, radius: float, axles: int, raw: int) -> list[Solid]:
    places = [(f * x, side) for f in (1, -1)[:axles] for side in (-1, 1)]
    return [
        bar((px, side * width * 0.40, radius), (px, side * width * 0.51, radius), radius, raw) for px, side in places
    ]
