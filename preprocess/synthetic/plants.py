"""Trees, bushes and hedges. Foliage is a volume that a ray enters before it returns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.semantics import TRUNK, VEGETATION
from iscc_lidar.preprocess.synthetic.solids import CYLINDER, Solid, ball, bar, box
from iscc_lidar.shared.base.geometry import euler_rotation


def tree(rng: Generator) -> list[Solid]:
    """Make a broad-leaved tree, a conifer or a bare tree; trunks are bent, leaning or forked."""
    variant = rng.choice(["broad", "conifer", "bare"], p=[0.68, 0.14, 0.18])
    radius, stem = rng.uniform(0.06, 0.32), rng.uniform(0.8, 3.5)
    if variant == "conifer":
        return _conifer(rng, radius)
    parts, top = _stem(rng, radius, stem)
    return [*parts, *(_crown(rng, top, radius) if variant == "broad" else _branches(rng, top, radius))]


def _stem(rng: Generator, radius: float, height: float) -> tuple[list[Solid], NDArray[np.float64]]:
    points = [np.zeros(3)]
    for _ in range(int(rng.integers(1, 4))):
        lean = rng.normal(0, 0.06, 2) * height
        points.append(points[-1] + np.array([lean[0], lean[1], height]))
        height = rng.uniform(0.3, 0.8)
    points[0] = np.array([0.0, 0.0, -0.3])
    stems = [
        bar(a, b, radius * 0.9**i, TRUNK, taper=rng.uniform(0.05, 0.25)) for i, (a, b) in enumerate(pairwise(points))
    ]
    if rng.random() < 0.25:  # a fork
        side = rng.normal(0, 0.5, 2)
        stems.append(bar(points[1] * 0.5, points[1] + (side[0], side[1], 0.6), radius * 0.6, TRUNK, taper=0.3))
    return stems, points[-1]


def _crown(rng: Generator, top: NDArray[np.float64], radius: float) -> list[Solid]:
    spread = rng.uniform(0.8, 1.8) + 6 * radius
    tall = spread * rng.uniform(0.6, 1.3)
    density = rng.uniform(0.25, 0.9)
    leaves = []
    for _ in range(int(rng.integers(3, 7))):
        shift = rng.normal(0, 0.4, 3) * (spread, spread, tall * 0.6)
        size = rng.uniform(0.4, 0.8, 3) * (spread, spread, tall)
        leaves.append(ball(top + shift + np.array([0, 0, 0.6 * tall]), size, VEGETATION, fuzzy=density))
    return leaves


def _branches(rng: Generator, top: NDArray[np.float64], radius: float) -> list[Solid]:
    parts = []
    for _ in range(int(rng.integers(4, 8))):
        end = top + rng.normal(0, 0.9, 3) * (1, 1, 0.5) + (0, 0, rng.uniform(0.8, 2.5))
        parts.append(bar(top * rng.uniform(0.7, 1.0), end, max(0.03, 0.4 * radius), VEGETATION, taper=0.6))
        parts.append(ball(end, rng.uniform(0.3, 0.8, 3), VEGETATION, fuzzy=2.0))
    return parts


def _conifer(rng: Generator, radius: float) -> list[Solid]:
    base, tall, wide = rng.uniform(0.1, 1.5), rng.uniform(2.0, 9.0), rng.uniform(0.6, 2.0)
    trunk = bar((0, 0, -0.3), (0, 0, base + 0.3 * tall), radius, TRUNK, taper=0.3)
    centre, half = np.array([0, 0, base + tall / 2]), np.array([wide, wide, tall / 2])
    cone = Solid(CYLINDER, centre, half, VEGETATION, np.eye(3), (0.95, 0.95), rng.uniform(0.15, 0.5))
    return [trunk, cone]


def bush(rng: Generator) -> list[Solid]:
    """Make a bush of a few overlapping balls on the ground."""
    size, density = rng.uniform(0.35, 1.3), rng.uniform(0.06, 0.3)
    return [
        ball((*rng.normal(0, 0.5 * size, 2), 0.5 * size), rng.uniform(0.5, 1.0, 3) * size, VEGETATION, fuzzy=density)
        for _ in range(int(rng.integers(2, 5)))
    ]


def hedge(rng: Generator, length: float) -> list[Solid]:
    """Make a hedge along x: trimmed to a box, or irregular."""
    height, depth, density = rng.uniform(0.6, 2.6), rng.uniform(0.4, 1.1), rng.uniform(0.04, 0.2)
    parts = [
        box(
            (0, 0, height / 2 - 0.2),
            (length, depth, height + 0.4),
            VEGETATION,
            taper=(0.0, rng.uniform(0, 0.3)),
            fuzzy=density,
            rotation=euler_rotation(pitch=rng.normal(0, 0.01)),
        )
    ]
    if rng.random() < 0.6:
        for x in np.arange(-length / 2 + 0.5, length / 2, rng.uniform(0.8, 2.0)):
            lump = rng.uniform(0.3, 0.7, 3) * (1.2, depth, 0.8)
            parts.append(ball((x, rng.normal(0, 0.15), height * rng.uniform(0.6, 1.0)), lump, VEGETATION, density))
    return parts
