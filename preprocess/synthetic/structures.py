"""Buildings, fences, poles, signs and street furniture.

Frame: x along the street, y away from it, origin on the ground at the middle of the front, unless stated.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from iscc_lidar.preprocess.synthetic.semantics import BUILDING, FENCE, OTHER_OBJECT, POLE, TRAFFIC_SIGN
from iscc_lidar.preprocess.synthetic.solids import Solid, ball, bar, box
from iscc_lidar.shared.base.geometry import euler_rotation


def building(rng: Generator, length: float, storeys: int) -> list[Solid]:
    """Make a house of the given front length: walls, roof, and what protrudes from its front."""
    depth, height = rng.uniform(6, 12), storeys * rng.uniform(2.7, 3.2) + rng.uniform(0, 0.8)
    parts = [box((0, depth / 2, height / 2 - 1), (length, depth, height + 2), BUILDING)]
    roof = rng.uniform(1.5, 3.5)
    if rng.random() < 0.7:
        taper = (0.0, 1.0) if rng.random() < 0.6 else (1.0, rng.uniform(0, 0.3))
        parts.append(box((0, depth / 2, height + roof / 2), (length + 0.5, depth + 0.7, roof), BUILDING, taper=taper))
    if rng.random() < 0.35:  # a wing or a porch
        wide, deep = rng.uniform(0.25, 0.5) * length, rng.uniform(0.8, 2.0)
        tall = height * rng.uniform(0.35, 0.9)
        x = rng.uniform(-0.5, 0.5) * (length - wide)
        parts.append(box((x, -deep / 2, tall / 2 - 1), (wide, deep, tall + 2), BUILDING))
    return [*parts, *_front(rng, length, height, storeys)]


def _front(rng: Generator, length: float, height: float, storeys: int) -> list[Solid]:
    # Bays, balconies, shutters and ledges; only the lower storeys are hit by many beams.
    style, step = rng.choice(["plain", "shutters", "balconies", "ledges"]), rng.uniform(2.0, 4.0)
    deep = {"plain": 0.0, "shutters": 0.09, "balconies": rng.uniform(0.5, 1.2), "ledges": 0.2}[str(style)]
    floor, parts = height / storeys, []
    for i in range(min(storeys, 3)):
        z = floor * i
        if style == "ledges":
            parts.append(box((0, -deep / 2, z + floor - 0.1), (length, deep, 0.2), BUILDING))
        elif style != "plain":
            for x in np.arange(-length / 2 + 1.2, length / 2 - 1.0, step):
                size = (1.6, deep, 1.0) if style == "balconies" else (1.3, deep, 1.4)
                if rng.random() < 0.75 and (i or style == "shutters"):
                    parts.append(box((x, -deep / 2, z + (0.5 if style == "balconies" else 1.6)), size, BUILDING))
    door = rng.uniform(-0.4, 0.4) * length
    return [*parts, box((door, -0.4, 0.0), (1.6, 0.8, rng.uniform(0.2, 0.7)), BUILDING)]


def shed(rng: Generator) -> list[Solid]:
    """Make a garage or a shed, hardly larger than a truck."""
    length, depth, height = rng.uniform(2.4, 5), rng.uniform(2.5, 6), rng.uniform(2.0, 3.2)
    roof = box((0, depth / 2, height + 0.3), (length + 0.3, depth + 0.3, 0.6), BUILDING, taper=(0.0, rng.uniform(0, 1)))
    return [box((0, depth / 2, height / 2 - 0.5), (length, depth, height + 1), BUILDING), roof]


def fence(rng: Generator, length: float) -> list[Solid]:
    """Make a fence along x, centred: boards, mesh or rails between posts, or a low wall."""
    variant = rng.choice(["boards", "mesh", "rails", "wall"], p=[0.35, 0.2, 0.2, 0.25])
    height = rng.uniform(0.7, 2.3)
    if variant == "wall":
        return [box((0, 0, height / 2 - 0.3), (length, rng.uniform(0.15, 0.45), height + 0.6), FENCE)]
    posts = np.arange(-length / 2, length / 2 + 0.01, max(2.0, length / 10))
    parts = [bar((x, 0, -0.3), (x, 0, height + 0.05), rng.uniform(0.03, 0.08), FENCE) for x in posts]
    if variant == "rails":
        tube = rng.uniform(0.03, 0.12)
        return [
            *parts,
            *(bar((-length / 2, 0, z), (length / 2, 0, z), tube, FENCE) for z in (height * 0.45, height * 0.9)),
        ]
    passing = rng.uniform(0.05, 0.35) if variant == "boards" else rng.uniform(0.45, 0.75)
    return [*parts, box((0, 0, height / 2), (length, 0.05, height), FENCE, fuzzy=-0.05 / np.log(passing))]


def pole(rng: Generator) -> list[Solid]:
    """Make a lamp post, a bare pole, a bollard or a mast with a cabinet."""
    variant = rng.choice(["lamp", "bare", "bollard", "mast"], p=[0.45, 0.2, 0.15, 0.2])
    height = rng.uniform(0.7, 1.3) if variant == "bollard" else rng.uniform(3, 9)
    radius = rng.uniform(0.04, 0.17)
    parts = [bar((0, 0, -0.3), (*rng.normal(0, 0.01, 2) * height, height), radius, POLE, taper=rng.uniform(0, 0.4))]
    if variant == "lamp":
        reach = rng.uniform(0.2, 2.0)
        parts += [
            bar((0, 0, height - 0.1), (0, -reach, height + 0.2), 0.05, POLE),
            box((0, -reach, height + 0.2), (0.25, 0.6, 0.15), POLE),
        ]
    if variant == "mast":
        parts.append(box((0.05, 0, rng.uniform(1.5, 3.2)), (0.3, 0.3, rng.uniform(0.4, 0.9)), POLE))
    return parts


def sign(rng: Generator) -> list[Solid]:
    """Make a traffic sign: one or two posts of class pole, and a round, square or large plate."""
    variant = rng.choice(["round", "square", "board"], p=[0.35, 0.3, 0.35])
    z, size, tube = rng.uniform(1.5, 2.6), rng.uniform(0.5, 1.1), rng.uniform(0.03, 0.06)
    facing = euler_rotation(yaw=rng.choice([0.0, np.pi]) + rng.normal(0, 0.25))
    if variant == "board":
        wide, tall = rng.uniform(1.0, 2.8), rng.uniform(0.6, 1.6)
        posts = [bar((0, y, -0.3), (0, y, z + tall), tube, POLE) for y in (-wide * 0.4, wide * 0.4)]
        return [*posts, box((-0.07, 0, z + tall / 2), (0.05, wide, tall), TRAFFIC_SIGN)]
    normal = facing @ np.array([-1.0, 0.0, 0.0])
    at = np.array([0.0, 0.0, z + size / 2]) + 0.07 * normal
    plate = (
        bar(at - 0.02 * normal, at + 0.02 * normal, size / 2, TRAFFIC_SIGN)
        if variant == "round"
        else box(at, (0.04, size, size * rng.uniform(0.6, 1.4)), TRAFFIC_SIGN, rotation=facing)
    )
    return [bar((0, 0, -0.3), (0, 0, z + size), tube, POLE), plate]


def furniture(rng: Generator) -> list[Solid]:
    """Make an object that is not scored: a bin, a cabinet, a container, a bench or a boulder."""
    variant = rng.choice(["bin", "cabinet", "container", "bench", "boulder"])
    if variant == "bin":
        return [bar((0, 0, 0), (0, 0, rng.uniform(0.8, 1.3)), rng.uniform(0.2, 0.4), OTHER_OBJECT)]
    if variant == "cabinet":
        return [box((0, 0, 0.6), (rng.uniform(0.5, 1.6), 0.4, rng.uniform(1.0, 1.5)), OTHER_OBJECT)]
    if variant == "container":
        return [box((0, 0, 0.7), (rng.uniform(1.2, 3.5), 1.3, rng.uniform(1.1, 1.6)), OTHER_OBJECT, taper=(0.1, 0.0))]
    if variant == "bench":
        return [
            box((0, 0, 0.45), (1.6, 0.45, 0.08), OTHER_OBJECT),
            box((0, 0.2, 0.7), (1.6, 0.06, 0.4), OTHER_OBJECT),
            *(box((x, 0, 0.2), (0.08, 0.4, 0.4), OTHER_OBJECT) for x in (-0.6, 0.6)),
        ]
    return [ball((0, 0, 0.3), rng.uniform(0.3, 0.9, 3), OTHER_OBJECT)]
