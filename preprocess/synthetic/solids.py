"""The primitive solids that objects consist of.

Each is a unit solid, scaled, rotated and translated. All three shapes are convex, so a ray meets one in one interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FRUSTUM: Final = 0
"""|z| <= 1, |x| <= 1 - taper_x (z+1)/2, |y| <= 1 - taper_y (z+1)/2; without taper a box."""
ELLIPSOID: Final = 1
"""x² + y² + z² <= 1."""
CYLINDER: Final = 2
"""|z| <= 1, x² + y² <= (1 - taper_x (z+1)/2)²; tapered a cone."""

Vector = Sequence[float] | NDArray[np.float64]
_UNTURNED: Final = np.eye(3)


@dataclass(frozen=True)
class Solid:
    """One primitive in its object's frame (x forward, y left, z up, origin on the ground).

    Attributes:
        shape: FRUSTUM, ELLIPSOID or CYLINDER.
        centre: metres [3].
        half: half sizes along its own axes, metres [3].
        raw: SemanticKITTI raw class id at rest.
        rotation: object_R_part, float64 [3, 3].
        taper: by how much the top is narrower than the bottom in x and y, 0 to 1.
        mean_free_path_m: 0 for an opaque surface; otherwise a ray travels an exponentially distributed length with this
            mean inside before it returns, and may pass through: foliage, wire mesh, glass.
    """

    shape: int
    centre: NDArray[np.float64]
    half: NDArray[np.float64]
    raw: int
    rotation: NDArray[np.float64]
    taper: tuple[float, float] = (0.0, 0.0)
    mean_free_path_m: float = 0.0


def box(
    centre: Vector,
    size: Vector,
    raw: int,
    taper: tuple[float, float] = (0.0, 0.0),
    fuzzy: float = 0.0,
    rotation: NDArray[np.float64] = _UNTURNED,
) -> Solid:
    """Make a box, or a frustum, from its full size [3] in metres."""
    return Solid(FRUSTUM, np.array(centre, float), np.array(size, float) / 2, raw, rotation, taper, fuzzy)


def ball(
    centre: Vector, radii: Vector, raw: int, fuzzy: float = 0.0, rotation: NDArray[np.float64] = _UNTURNED
) -> Solid:
    """Make an ellipsoid from its three radii in metres."""
    return Solid(ELLIPSOID, np.array(centre, float), np.array(radii, float), raw, rotation, (0.0, 0.0), fuzzy)


def bar(start: Vector, end: Vector, radius: float, raw: int, taper: float = 0.0, fuzzy: float = 0.0) -> Solid:
    """Make a round bar between two points; with taper it is thinner at its end."""
    a, b = np.array(start, float), np.array(end, float)
    length = float(np.linalg.norm(b - a))
    half = np.array([radius, radius, length / 2])
    return Solid(CYLINDER, (a + b) / 2, half, raw, _rotation_to((b - a) / length), (taper, taper), fuzzy)


def extent(parts: list[Solid]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the lower and upper corner of an object's tight box in its own frame: float64 [3] each, metres."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for part in parts:
        reach = np.abs(part.rotation) * part.half
        if part.shape == ELLIPSOID:
            out = np.sqrt((reach**2).sum(axis=1))
        elif part.shape == CYLINDER:
            out = np.hypot(reach[:, 0], reach[:, 1]) + reach[:, 2]
        else:
            out = reach.sum(axis=1)
        low, high = np.minimum(low, part.centre - out), np.maximum(high, part.centre + out)
    return low, high


def footprint(parts: list[Solid]) -> tuple[float, float, float, float]:
    """Bound an object in its own frame: x_min, x_max, y_min, y_max, metres."""
    centre = np.array([p.centre for p in parts])
    reach = np.array([np.abs(p.rotation) @ p.half for p in parts])
    low, high = (centre - reach).min(axis=0), (centre + reach).max(axis=0)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _rotation_to(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    helper = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(helper, axis)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(axis, x), axis], axis=1)
