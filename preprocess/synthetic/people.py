"""Persons, two-wheelers and their riders. Frame: x forward, y left, origin on the ground."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from iscc_lidar.preprocess.synthetic.semantics import BICYCLE, BICYCLIST, MOTORCYCLE, MOTORCYCLIST, PERSON
from iscc_lidar.preprocess.synthetic.solids import Solid, ball, bar, box
from iscc_lidar.shared.base.geometry import euler_rotation


def person(rng: Generator) -> list[Solid]:
    """Make a standing or walking person, child or adult, sometimes with a bag, a pram or an umbrella."""
    h = rng.uniform(1.05, 1.4) if rng.random() < 0.2 else rng.normal(1.72, 0.09)
    girth, stride = rng.uniform(0.85, 1.3), rng.uniform(0, 0.22) * h
    hip, shoulder = 0.5 * h, 0.82 * h
    legs = [
        bar((f * stride, g * 0.06 * h, 0), (0, g * 0.05 * h, hip), 0.045 * h * girth, PERSON)
        for f, g in ((1, 1), (-1, -1))
    ]
    if rng.random() < 0.2:  # a coat or a skirt
        legs = [bar((0, 0, 0.15 * h), (0, 0, hip), 0.13 * h * girth, PERSON, taper=0.25)]
    return [*legs, *_upper_body(rng, (0, 0, hip), (0, 0, shoulder), h, girth, PERSON), *_luggage(rng, h)]


def _upper_body(
    rng: Generator,
    hip: tuple[float, ...],
    shoulder: tuple[float, ...],
    h: float,
    girth: float,
    raw: int,
    hands: tuple[float, float] | None = None,
) -> list[Solid]:
    low, high = np.array(hip), np.array(shoulder)
    along = (high - low) / np.linalg.norm(high - low)
    pitch = float(np.arctan2(along[0], along[2]))
    radii = (0.085 * h * girth, 0.125 * h * girth, 0.62 * float(np.linalg.norm(high - low)))
    torso = ball((low + high) / 2, radii, raw, rotation=euler_rotation(pitch=pitch))
    head = ball((high[0] + 0.02 * h, 0, high[2] + 0.10 * h), (0.06 * h, 0.05 * h, 0.075 * h), raw)
    arms = []
    for side in (-1, 1):
        swing = rng.uniform(-0.15, 0.3) * h
        hand = (
            (high[0] + swing, side * 0.17 * h, high[2] - 0.33 * h)
            if hands is None
            else (hands[0], side * 0.22, hands[1])
        )
        arms.append(bar((high[0], side * 0.12 * h, high[2] - 0.02 * h), hand, 0.03 * h * girth, raw))
    return [torso, head, *arms]


def _luggage(rng: Generator, h: float) -> list[Solid]:
    variant = rng.choice(["none", "backpack", "pram", "umbrella", "bag"], p=[0.55, 0.18, 0.08, 0.05, 0.14])
    if variant == "backpack":
        return [box((-0.13 * h, 0, 0.68 * h), (0.12 * h, 0.2 * h, 0.26 * h), PERSON)]
    if variant == "pram":
        return [
            box((0.75, 0, 0.62), (0.75, 0.5, 0.45), PERSON, taper=(0.1, 0)),
            bar((0.3, 0, 0.95), (0.6, 0, 0.1), 0.04, PERSON),
        ]
    if variant == "umbrella":
        return [
            ball((0.1, 0, h + 0.15), (0.5, 0.5, 0.12), PERSON),
            bar((0.1, 0, 0.6 * h), (0.1, 0, h + 0.2), 0.02, PERSON),
        ]
    if variant == "bag":
        return [box((0, 0.2 * h, 0.3 * h), (0.35, 0.14, 0.35), PERSON)]
    return []


def bicycle(rng: Generator, raw: int = BICYCLE) -> list[Solid]:
    """Make a bicycle: two spoked wheels, a frame, bars and a saddle, sometimes a basket."""
    r = rng.uniform(0.24, 0.37)
    base = 1.5 * r + rng.uniform(0.0, 0.12)
    seat, grip = 0.55 + r + rng.uniform(-0.05, 0.1), 0.62 + r + rng.uniform(-0.05, 0.1)
    wheels = [bar((x, -0.025, r), (x, 0.025, r), r, raw, fuzzy=0.06) for x in (-base, base)]
    tube = 0.028
    frame = [
        bar((-base, 0, r), (-0.1, 0, r * 0.9), tube, raw),
        bar((-0.1, 0, r * 0.9), (-0.25, 0, seat), tube, raw),
        bar((-0.2, 0, seat * 0.85), (base - 0.15, 0, grip * 0.85), tube, raw),
        bar((-0.1, 0, r * 0.9), (base - 0.12, 0, grip * 0.75), tube, raw),
        bar((base, 0, r), (base - 0.18, 0, grip), tube, raw),
        bar((base - 0.2, -0.28, grip), (base - 0.2, 0.28, grip), 0.02, raw),
        box((-0.27, 0, seat), (0.26, 0.14, 0.07), raw),
    ]
    if rng.random() < 0.35:
        frame.append(box((rng.choice([base, -base]), 0, 2 * r + 0.18), (0.35, 0.3, 0.25), raw, fuzzy=0.2))
    return [*wheels, *frame]


def motorcycle(rng: Generator, raw: int = MOTORCYCLE) -> list[Solid]:
    """Make a motorcycle or a scooter."""
    k, r = rng.uniform(0.8, 1.1), rng.uniform(0.24, 0.33)
    base = rng.uniform(0.6, 0.76) * k
    parts = [bar((x, -0.07, r), (x, 0.07, r), r, raw) for x in (-base, base)]
    grip = rng.uniform(0.92, 1.12) * k
    parts += [
        bar((base, 0, r), (base - 0.25, 0, grip), 0.06, raw),
        bar((base - 0.28, -0.36, grip), (base - 0.28, 0.36, grip), 0.025, raw),
        box((-0.35 * k, 0, 0.74 * k), (0.75 * k, 0.28, 0.14), raw),
    ]
    if rng.random() < 0.45:  # a scooter: leg shield, floor and an enclosed rear
        parts += [
            box((base - 0.3, 0, 0.62 * k), (0.1, 0.42, 0.6 * k), raw),
            box((0.1, 0, 0.28), (0.5, 0.3, 0.1), raw),
            ball((-0.4 * k, 0, 0.5 * k), (0.45 * k, 0.2, 0.26 * k), raw),
        ]
    else:
        parts += [
            ball((0.1 * k, 0, 0.8 * k), (0.32 * k, 0.17, 0.16 * k), raw),
            box((0, 0, 0.48 * k), (0.6 * k, 0.32, 0.38 * k), raw),
        ]
    if rng.random() < 0.4:
        parts.append(box((-0.8 * k, 0, 0.95 * k), (0.35, 0.4, 0.3), raw))
    return parts


def bicyclist(rng: Generator) -> list[Solid]:
    """Make a bicycle with its rider, leaning forward by a varying angle."""
    return [*bicycle(rng, BICYCLIST), *_rider(rng, BICYCLIST, (-0.25, 0.95), rng.uniform(0.1, 0.4), (0.3, 1.0))]


def motorcyclist(rng: Generator) -> list[Solid]:
    """Make a motorcycle with its rider."""
    return [
        *motorcycle(rng, MOTORCYCLIST),
        *_rider(rng, MOTORCYCLIST, (-0.3, 0.82), rng.uniform(0.0, 0.3), (0.35, 1.0)),
    ]


def _rider(rng: Generator, raw: int, seat: tuple[float, float], lean: float, hands: tuple[float, float]) -> list[Solid]:
    h, girth = rng.normal(1.72, 0.1), rng.uniform(0.9, 1.3)
    hip = (seat[0], 0.0, seat[1])
    shoulder = (seat[0] + lean, 0.0, seat[1] + 0.32 * h * np.cos(lean))
    legs = []
    for side, foot in ((-1, 0.12), (1, 0.35)):
        knee = (seat[0] + 0.22 * h, side * 0.12, seat[1] - 0.08 * h + 0.2 * foot)
        legs += [bar(hip, knee, 0.05 * h * girth, raw), bar(knee, (0.0, side * 0.13, foot), 0.035 * h * girth, raw)]
    return [*legs, *_upper_body(rng, hip, shoulder, h, girth, raw, hands)]
