"""Place objects along a street, lane by lane, from the road outwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.random import Generator

from iscc_lidar.preprocess.synthetic import people, plants, structures, vehicles
from iscc_lidar.preprocess.synthetic.crowd import dense_side, door_to_door, riders
from iscc_lidar.preprocess.synthetic.ground import Ground, Side
from iscc_lidar.preprocess.synthetic.lone import field, walled
from iscc_lidar.preprocess.synthetic.placed import Placed, clear_of_crossing, scatter
from iscc_lidar.preprocess.synthetic.solids import Solid, footprint
from iscc_lidar.preprocess.synthetic.style import SideStyle, Style

Maker = Callable[[Generator], list[Solid]]


def lay_out(rng: Generator, style: Style, s_min: float, s_max: float, ego_d: float) -> list[Placed]:
    """Fill a street between two values of s; the ego vehicle is at s = 0, d = ego_d at time 0."""
    if style.scene == "field":
        return list(field(rng, style.ground, s_min, s_max))
    placed = [*_traffic(rng, style, s_min, s_max, ego_d), *_median(rng, style.ground, s_min, s_max)]
    if style.scene == "walled":
        return [*placed, *walled(rng, style.ground, s_min, s_max)]
    for sign, side, furnishing in ((1, style.ground.left, style.left), (-1, style.ground.right, style.right)):
        kerb = style.ground.half_road + side.parking
        if style.scene == "crowd":
            placed += _crowded(rng, style, side, furnishing, sign, s_min, s_max, ego_d, placed)
        else:
            placed += _parked(rng, style.ground, side, furnishing, sign, s_min, s_max)
            placed += _kerbside(rng, style.ground, furnishing, side, sign * kerb, s_min, s_max)
            placed += _walkers(rng, style.ground, furnishing, side, sign * kerb, s_min, s_max)
        placed += _fronts(rng, style.ground, furnishing, sign * (kerb + side.sidewalk), s_min, s_max)
    return placed


def _crowded(
    rng: Generator,
    style: Style,
    side: Side,
    furnishing: SideStyle,
    sign: int,
    s_min: float,
    s_max: float,
    ego_d: float,
    placed: Sequence[Placed],
) -> Iterator[Placed]:
    yield from riders(rng, style.ground, sign, s_min, s_max, ego_d, list(placed))
    if rng.random() < 0.4:
        yield from door_to_door(rng, style.ground, sign, s_min, s_max)
        return
    kerb = sign * (style.ground.half_road + side.parking)
    standing = list(_kerbside(rng, style.ground, furnishing, side, kerb, s_min, s_max))
    yield from standing
    yield from dense_side(rng, style.ground, kerb, side.sidewalk, s_min, s_max, standing)


def _traffic(rng: Generator, style: Style, s_min: float, s_max: float, ego_d: float) -> Iterator[Placed]:
    truck = vehicles.truck_with_trailer if style.scene == "crowd" else vehicles.truck
    makers: list[Maker] = [vehicles.car, truck, vehicles.other_vehicle, people.bicyclist, people.motorcyclist]
    for lane, heading, speed in ((ego_d, 1, style.ego_speed), (-ego_d, -1, style.lane_speed)):
        queue = heading < 0 and rng.random() < 0.25  # a traffic jam in the other direction
        s = s_min
        while s < s_max:
            variant = int(rng.choice(5, p=style.vehicle_mix))
            parts = makers[variant](rng)
            x_min, x_max, _, _ = footprint(parts)
            s += (x_max - x_min) + (rng.uniform(1.0, 4.0) if queue else 4 + rng.exponential(style.lane_gap))
            two_wheeled = variant >= 3
            drift = -heading * rng.uniform(0.6, 1.4) if two_wheeled and abs(lane) > 1.8 else rng.normal(0, 0.15)
            if heading > 0 and abs(s - (x_max + x_min) / 2) < 9 + (x_max - x_min) / 2:
                continue  # space for the ego vehicle
            yield Placed(
                parts,
                s,
                lane + drift,
                (0 if heading > 0 else np.pi) + rng.normal(0, 0.02),
                v_s=0.0 if queue else heading * speed,
                tilts=True,
            )
    yield from _cross_traffic(rng, style.ground, makers)


def _median(rng: Generator, ground: Ground, s_min: float, s_max: float) -> Iterator[Placed]:
    if ground.median_half == 0:
        return
    for maker, per_100_m in ((structures.sign, 3.0), (structures.pole, 3.0), (plants.tree, 2.0), (plants.bush, 3.0)):
        for s in scatter(rng, per_100_m, s_min, s_max):
            if clear_of_crossing(ground, s, 1.5):
                yield Placed(maker(rng), s, 0.0, rng.choice([0, np.pi]))


def _cross_traffic(rng: Generator, ground: Ground, makers: list[Maker]) -> Iterator[Placed]:
    if ground.cross_half == 0:
        return
    for side in (-1, 1):
        d = ground.half_road + 5.0
        while d < 45 and rng.random() < 0.75:
            parts = makers[int(rng.choice(5, p=[0.5, 0.12, 0.12, 0.16, 0.1]))](rng)
            x_min, x_max, _, _ = footprint(parts)
            s = ground.cross_s + side * ground.cross_half / 2 + rng.normal(0, 0.2)
            leaves = rng.random() < 0.3
            yaw = side * np.pi / 2 if leaves else -side * np.pi / 2
            s = s if leaves else 2 * ground.cross_s - s
            yield Placed(
                parts,
                s,
                side * (d + (x_max - x_min) / 2),
                yaw,
                tilts=True,
                v_d=side * rng.uniform(2, 6) if leaves else 0.0,
            )
            d += x_max - x_min + rng.uniform(1, 10)


def _parked(
    rng: Generator, ground: Ground, side: Side, style: SideStyle, sign: int, s_min: float, s_max: float
) -> Iterator[Placed]:
    if not side.parking:
        return
    mix = rng.dirichlet([8, 0.9, 1.2, 0.5, 0.5])
    makers: list[Maker] = [
        vehicles.car,
        vehicles.truck,
        vehicles.other_vehicle,
        people.motorcycle,
        structures.furniture,
    ]
    s = s_min
    while s < s_max:
        parts = makers[int(rng.choice(5, p=mix))](rng)
        x_min, x_max, _, _ = footprint(parts)
        s += x_max - x_min + (rng.uniform(0.4, 1.1) if rng.random() < style.parked else rng.uniform(3, 40))
        middle = s - x_max
        if not clear_of_crossing(ground, middle, (x_max - x_min) / 2 + 5.0):
            continue
        d = ground.half_road + side.parking / 2 + rng.normal(0, 0.12)
        yield Placed(parts, middle, sign * d, rng.choice([0, np.pi]) + rng.normal(0, 0.03), tilts=True)


def _kerbside(
    rng: Generator, ground: Ground, style: SideStyle, side: Side, kerb: float, s_min: float, s_max: float
) -> Iterator[Placed]:
    sign = np.sign(kerb)
    outwards = 0.0 if sign > 0 else np.pi
    makers: list[tuple[Maker, float, bool]] = [
        (plants.tree, style.trees, False),
        (structures.pole, style.poles, False),
        (structures.sign, style.signs, False),
        (structures.furniture, style.clutter, True),
        (people.bicycle, style.two_wheelers, True),
        (people.motorcycle, style.two_wheelers * 0.8, True),
    ]
    taken: list[float] = []
    for maker, density, any_way in makers:
        for s in scatter(rng, density, s_min, s_max):
            # A minimum distance, also between the objects of different makers.
            if not clear_of_crossing(ground, s, 1.0) or any(abs(s - other) < 0.7 for other in taken):
                continue
            taken.append(s)
            d = kerb + sign * (rng.uniform(0.35, max(0.5, min(1.2, side.sidewalk - 0.2))))
            yaw = rng.uniform(0, 2 * np.pi) if any_way else outwards + rng.normal(0, 0.05)
            yield Placed(maker(rng), s, float(d), float(yaw))


def _walkers(
    rng: Generator, ground: Ground, style: SideStyle, side: Side, kerb: float, s_min: float, s_max: float
) -> Iterator[Placed]:
    sign = np.sign(kerb)
    for s in scatter(rng, style.persons, s_min, s_max):
        place = rng.choice(["walks", "stands", "wall", "crosses", "rides"], p=[0.45, 0.2, 0.18, 0.09, 0.08])
        if place == "rides":
            rider = people.bicyclist if rng.random() < 0.7 else people.motorcyclist
            yield Placed(rider(rng), s, float(kerb - sign * rng.uniform(-0.8, 0.5)), rng.choice([0, np.pi]))
            continue
        if place == "crosses":
            # Not in front of the ego vehicle, which would drive through them.
            onto = rng.uniform(0, abs(kerb)) if s < -6 else (rng.uniform(0, 1.5) if sign > 0 else 0.0)
            yield Placed(
                people.person(rng),
                s,
                float(kerb - sign * onto),
                -sign * np.pi / 2,
                v_d=float(-sign * rng.uniform(0.6, 1.6)) if onto else 0.0,
            )
            continue
        for _ in range(int(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))):
            # "wall" is the back of the sidewalk, where houses without a front yard stand.
            reach = (
                side.sidewalk + min(style.setback, 1.0) - 0.3
                if place == "wall"
                else rng.uniform(0.5, max(0.8, side.sidewalk - 0.3))
            )
            heading = rng.choice([-1, 1])
            yield Placed(
                people.person(rng),
                s + rng.normal(0, 0.6),
                float(kerb + sign * reach),
                (0 if heading > 0 else np.pi) if place == "walks" else rng.uniform(0, 2 * np.pi),
                v_s=float(heading * rng.uniform(0.6, 1.8)) if place == "walks" else 0.0,
            )


def _fronts(
    rng: Generator, ground: Ground, style: SideStyle, border: float, s_min: float, s_max: float
) -> Iterator[Placed]:
    sign = float(np.sign(border))
    away = 0.0 if sign > 0 else np.pi  # y of a structure points away from the street
    s = s_min
    while s < s_max:
        length = float(np.clip(rng.normal(style.house, style.house * 0.3), 4, 40))
        middle = s + length / 2
        if clear_of_crossing(ground, middle, length / 2 + 2.0):
            yield from _house_or_thicket(rng, style, border, middle, length, away)
            yield from _borders(rng, style, border, middle, length, away)
            yield from _yard(rng, style, border, middle, length)
        s += length + (rng.uniform(0.0, 1.0) if rng.random() < style.built else rng.uniform(2, 18))
    for s in scatter(rng, 16.0, s_min, s_max):  # visible between and behind the houses
        far = border + sign * (style.setback + rng.uniform(12, 45))
        if clear_of_crossing(ground, s, 11.0) and abs(far * ground.curvature) < 0.8:
            yield Placed(_backdrop(rng), s, far, away + rng.uniform(-0.5, 0.5))


def _backdrop(rng: Generator) -> list[Solid]:
    variant = rng.choice(["house", "tree", "bush", "hedge"], p=[0.12, 0.5, 0.2, 0.18])
    if variant == "house":
        return structures.building(rng, rng.uniform(8, 20), 2)
    if variant == "hedge":
        return plants.hedge(rng, rng.uniform(4, 20))
    return plants.tree(rng) if variant == "tree" else plants.bush(rng)


def _house_or_thicket(
    rng: Generator, style: SideStyle, border: float, s: float, length: float, away: float
) -> Iterator[Placed]:
    sign = float(np.sign(border))
    if rng.random() < 0.25 + 0.75 * style.built:
        storeys = int(np.clip(round(rng.normal(style.storeys, 0.6)), 1, 6))
        small = rng.random() < 0.12
        house = structures.shed(rng) if small else structures.building(rng, length, storeys)
        yield Placed(house, s, border + sign * style.setback, away)
    else:  # plants in a gap between the houses
        for x in scatter(rng, rng.uniform(10, 70), s - length / 2, s + length / 2):
            maker = plants.bush if rng.random() < 0.6 else plants.tree
            yield Placed(maker(rng), x, border + sign * (style.setback + rng.uniform(1, 12)), rng.uniform(0, 2 * np.pi))


def _borders(rng: Generator, style: SideStyle, border: float, s: float, length: float, away: float) -> Iterator[Placed]:
    sign = float(np.sign(border))
    if style.setback > 1.2 or rng.random() < 0.5:
        variant = rng.choice(["fence", "hedge", "open"], p=style.border)
        gate = rng.uniform(0.0, 3.0)
        span = max(2.0, length - gate)
        if variant != "open":
            maker = structures.fence if variant == "fence" else plants.hedge
            yield Placed(maker(rng, span), s + rng.uniform(-gate, gate) / 2, border + sign * 0.35, away)
        if rng.random() < 0.3:  # a hedge or a fence between neighbours, or against the house
            maker = structures.fence if rng.random() < 0.5 else plants.hedge
            deep = max(1.5, style.setback)
            yield Placed(maker(rng, deep), s + length / 2, border + sign * (0.4 + deep / 2), away + np.pi / 2)


def _yard(rng: Generator, style: SideStyle, border: float, s: float, length: float) -> Iterator[Placed]:
    sign, depth = float(np.sign(border)), style.setback
    if depth < 2.5:
        return
    for maker, per_100_m in (
        (plants.bush, style.bushes),
        (plants.tree, style.trees),
        (people.person, 1.5),
        (structures.furniture, style.clutter),
    ):
        for x in scatter(rng, per_100_m, s - length / 2, s + length / 2):
            yield Placed(maker(rng), x, border + sign * rng.uniform(1.0, depth - 0.5), rng.uniform(0, 2 * np.pi))
    if depth > 6 and rng.random() < 0.5:
        maker = vehicles.car if rng.random() < 0.75 else vehicles.other_vehicle
        yield Placed(
            maker(rng),
            s + rng.uniform(-0.3, 0.3) * length,
            border + sign * (depth / 2 + 0.5),
            np.pi / 2 + rng.normal(0, 0.1),
            tilts=True,
        )
