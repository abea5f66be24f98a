"""The ground of a street: its course, height and semantic classes.

Street coordinates: s along the centre line, d to its left, metres. The centre line is an arc that leaves the world's
origin along +x. Height is a smooth surface; all ground outside road and parking is raised by one kerb, a vertical step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.semantics import OTHER_GROUND, PARKING, ROAD, SIDEWALK, TERRAIN

Array = NDArray[np.float64]
Along = Callable[[Array, Array], tuple[Array, Array, Array]]
"""From ranges [N] and rays [N, 3] to street coordinates s, d and height above the smooth surface, each [N]."""

TOLERANCE_M = 1e-4
"""How far above or below the ground a ray may end: for the flattest rays a few millimetres along the ray."""
_AT_ONCE = 16_384
"""Rays: so few that what is computed of them stays in a processor's cache."""
MAX_STEPS = 60
"""One ray in a hundred needs more than 10, where the surface has a kink just before the root; none needed 20."""


@dataclass(frozen=True)
class Side:
    """One side of the street, from the road's edge outwards; lengths in metres.

    Attributes:
        parking: width of the parking strip, 0 for none.
        sidewalk: width of the sidewalk.
        paved_yard: whether the ground behind the sidewalk is paved like it, rather than covered by plants.
        bank, bank_length: slope of that ground, and its length.
        drive_period, drive_width: distance between paved drives or paths through the yard, and their width.
    """

    parking: float
    sidewalk: float
    paved_yard: bool
    bank: float
    bank_length: float
    drive_period: float
    drive_width: float


@dataclass(frozen=True)
class Ground:
    """Shape and classes of the ground.

    Attributes:
        curvature: of the centre line, 1/m, positive to the left; never 0.
        half_road: half the width of the carriageway, m.
        median_half: half the width of the raised strip in its middle, m; 0 for none.
        grade: slope along s. waves: [W, 3] amplitude m, angular frequency 1/m, phase of the undulation along s.
        camber: slope of the road to its sides. kerb: height of the step, m.
        relief: amplitude of the unpaved yards' bumps, m.
        cross_s, cross_half: position of a crossing road and half its width; half width 0 for none.
        left, right: the two sides, d > 0 and d < 0.
    """

    curvature: float
    half_road: float
    median_half: float
    grade: float
    waves: Array
    camber: float
    kerb: float
    relief: float
    cross_s: float
    cross_half: float
    left: Side
    right: Side

    def to_world(self, s: Array, d: Array) -> tuple[Array, Array]:
        """Convert street coordinates to world x and y."""
        radius = 1 / self.curvature
        return np.sin(s / radius) * (radius - d), radius - np.cos(s / radius) * (radius - d)

    def to_street(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Convert world x and y to street coordinates."""
        radius = 1 / self.curvature
        sign = np.sign(radius)
        s = np.arctan2(sign * x, sign * (radius - y)) * radius
        return s, radius - sign * np.hypot(x, radius - y)

    def outside(self, s: Array, d: Array) -> Array:
        """Compute the distance beyond the edge of road and parking, m: negative on them."""
        along_street = np.abs(d) - self.half_road - self._side(d > 0, "parking")
        if self.median_half:
            along_street = np.maximum(along_street, self.median_half - np.abs(d))
        return np.minimum(along_street, self._beyond_crossing(s))

    def base(self, s: Array, d: Array) -> Array:
        """Compute the height of the smooth surface without the kerb's step, m; s and d are [N]."""
        z = self.grade * s
        for amplitude, frequency, phase in self.waves:
            z += amplitude * np.sin(frequency * s + phase)
        from_centre, left = np.abs(d), d > 0
        beyond = from_centre - self.half_road - self._side(left, "parking") - self._side(left, "sidewalk")
        yards = np.flatnonzero(beyond > 0)
        s, d, yard, left = s[yards], d[yards], beyond[yards], left[yards]
        z[yards] += self._side(left, "bank") * np.minimum(yard, self._side(left, "bank_length"))
        z -= self.camber * np.minimum(from_centre, self.half_road)
        bumps = np.sin(0.9 * s + 0.35 * d) * np.sin(0.75 * d - 0.2 * s)
        grown = np.where(self._side(left, "paved_yard") > 0, 0.0, np.clip(self._beyond_drive(s, left) / 0.6, 0, 1))
        z[yards] += grown * self.relief * np.minimum(yard * 0.3, 1) * bumps
        return z

    def highest(self, origin: Array, ranges: Array) -> Array:
        """Bound the height of the smooth surface within ranges [N] of a world position [3], m."""
        s, d = self.to_street(origin[:1], origin[1:2])
        radius = 1 / self.curvature
        # Seen from the arc's centre, what lies within a range is within the angle between two tangents.
        sine = ranges / np.abs(radius - d)
        along = np.where(sine < 1, np.abs(radius) * np.arcsin(np.minimum(sine, 1)), np.inf)
        rise = np.abs(self.waves[:, 0]).sum() + max(
            0.0, *(side.bank * side.bank_length for side in (self.left, self.right))
        )
        camber = max(0.0, -self.camber) * self.half_road
        return np.asarray(self.grade * s + np.abs(self.grade) * along + rise + camber + abs(self.relief) + 1e-6)

    def height(self, s: Array, d: Array) -> Array:
        """Compute the height of the ground including the kerb, m."""
        return self.base(s, d) + self.kerb * (self.outside(s, d) >= 0)

    def raw(self, s: Array, d: Array) -> NDArray[np.int64]:
        """Return the raw class id at street coordinates."""
        crossing, left = self._beyond_crossing(s), d > 0
        along_street = np.abs(d) - self.half_road
        beyond = self.outside(s, d) - self._side(left, "sidewalk")
        # A wide drive is for cars, a narrow one for pedestrians.
        drive_raw = np.where(self._side(left, "drive_width") > 2.2, PARKING, SIDEWALK)
        yard_raw = np.where(self._side(left, "paved_yard") > 0, SIDEWALK, TERRAIN)
        raw = np.where(beyond >= 0, np.where(self._beyond_drive(s, left) < 0, drive_raw, yard_raw), SIDEWALK)
        raw = np.where(np.abs(d) < self.median_half, OTHER_GROUND, raw)
        strip = (along_street > 0) & (crossing > 4.0)
        return np.asarray(np.where(self.outside(s, d) < 0, np.where(strip, PARKING, ROAD), raw), np.int64)

    def _beyond_drive(self, s: Array, left: NDArray[np.bool_]) -> Array:
        period = self._side(left, "drive_period")
        along = np.mod(s, period)
        return np.minimum(along - self._side(left, "drive_width"), period - along)

    def _beyond_crossing(self, s: Array) -> Array:
        return np.abs(s - self.cross_s) - self.cross_half if self.cross_half else np.full_like(s, np.inf)

    def _side(self, left: NDArray[np.bool_], name: str) -> Array:
        return np.where(left, float(getattr(self.left, name)), float(getattr(self.right, name)))


def first_hit(ground: Ground, origin: Array, direction: Array, max_range: float) -> tuple[Array, NDArray[np.int64]]:
    """Compute where rays first hit the ground.

    There are two smooth surfaces, road level and kerb level. A ray that meets kerb level outside the road stops there;
    otherwise it stops at road level, or before at the face of the kerb.

    Args:
        ground: the ground.
        origin: world position of the sensor [3], above the ground.
        direction: unit rays in the world frame [N, 3].
        max_range: end of the search, m.

    Returns:
        range [N] in metres, infinite without a hit, and raw class id [N].
    """
    parts = [
        _first_hit(ground, origin, direction[i : i + _AT_ONCE], max_range) for i in range(0, len(direction), _AT_ONCE)
    ]
    return np.concatenate([hit for hit, _ in parts]), np.concatenate([raw for _, raw in parts])


def _first_hit(ground: Ground, origin: Array, direction: Array, max_range: float) -> tuple[Array, NDArray[np.int64]]:
    def at(t: Array, rays: Array) -> tuple[Array, Array, Array]:
        x, y, z = (origin[i] + t * rays[i] for i in range(3))
        s, d = ground.to_street(x, y)
        return s, d, z - ground.base(s, d)

    rays = np.ascontiguousarray(direction.T)
    met_kerb = _march(at, rays, ground.kerb, _start(ground, origin, len(direction), max_range), origin[2])
    upper = _root(at, rays, ground.kerb, met_kerb)
    hit, raw = upper.copy(), np.zeros(len(direction), np.int64)
    met = np.flatnonzero(np.isfinite(upper))
    s, d, _ = at(upper[met], rays[:, met])
    low = met[ground.outside(s, d) < 0]
    hit[low] = _onto_road(ground, origin, at, rays[:, low], upper[low], met_kerb.take(low), max_range)
    found = np.flatnonzero(np.isfinite(hit))
    # Slightly farther, so that the face of a kerb has the class of the ground behind it.
    s, d, _ = at(hit[found] + 1e-3, rays[:, found])
    raw[found] = ground.raw(s, d)
    hit[hit > max_range] = np.inf
    return hit, raw


@dataclass(frozen=True)
class _Brackets:
    """Where each of N rays marches: between two successive ranges.

    Attributes:
        steps: float64 [S], the ranges, m. highest: float64 [S], no ground is higher up to there, m.
        step: int64 [N], index of the nearer range; -1 before the first, S - 1 past the last.
        above, below: float64 [N], height over the smooth surface at the nearer and the farther range, m; infinite
            where it is not known, because the ray is above all ground.
    """

    steps: Array
    highest: Array
    step: NDArray[np.int64]
    above: Array
    below: Array

    def take(self, rays: NDArray[np.int64]) -> _Brackets:
        return _Brackets(self.steps, self.highest, self.step[rays], self.above[rays], self.below[rays])


def _start(ground: Ground, origin: Array, count: int, max_range: float) -> _Brackets:
    steps = np.concatenate([[0.5], np.geomspace(3.2, max_range + 1.0, 28)])
    unknown = np.full(count, np.inf)
    return _Brackets(steps, ground.highest(origin, steps), np.full(count, -1), unknown, unknown)


def _march(at: Along, rays: Array, level: float, start: _Brackets, origin_z: float) -> _Brackets:
    # March outwards in growing steps until below the level. Where a ray is above all ground its height is not computed.
    steps, step, above, below = start.steps, start.step.copy(), start.above.copy(), start.below.copy()
    left = np.flatnonzero(below - level > 0)
    while len(left):
        step[left] += 1
        left = left[step[left] < len(steps) - 1]
        above[left], below[left] = below[left], np.inf
        far = step[left] + 1
        near = origin_z + steps[far] * rays[2, left] <= start.highest[far] + level
        tried = left[near]
        below[tried] = at(steps[far[near]], rays[:, tried])[2]
        left = left[below[left] - level > 0]
    unknown = np.flatnonzero(np.isinf(above) & (step < len(steps) - 1))
    above[unknown] = at(steps[step[unknown]], rays[:, unknown])[2]
    return _Brackets(steps, start.highest, step, above, below)


def _root(at: Along, rays: Array, level: float, brackets: _Brackets) -> Array:
    # Shrink the brackets by regula falsi.
    root = np.full(rays.shape[1], np.inf)
    rest = np.flatnonzero(brackets.step < len(brackets.steps) - 1)
    near = brackets.step[rest]
    lo, hi, rays = brackets.steps[near], brackets.steps[near + 1], rays[:, rest]
    f_lo = np.maximum(brackets.above[rest] - level, 1e-9)
    f_hi = np.minimum(brackets.below[rest] - level, -1e-9)
    for _ in range(MAX_STEPS):
        middle = lo + (hi - lo) * f_lo / (f_lo - f_hi)
        f = at(middle, rays)[2] - level
        root[rest] = middle
        # Each ray stops separately, so that its result does not depend on the other rays.
        active = np.flatnonzero(np.abs(f) > TOLERANCE_M)
        if len(active) == 0:
            break
        rest, rays = rest[active], rays[:, active]
        lo, hi, f_lo, f_hi, middle, f = (each[active] for each in (lo, hi, f_lo, f_hi, middle, f))
        up = f > 0
        # The Illinois algorithm: halve the weight of the end that is kept.
        lo, hi = np.where(up, middle, lo), np.where(up, hi, middle)
        f_lo, f_hi = np.where(up, f, f_lo * 0.5), np.where(up, f_hi * 0.5, f)
    return root


def _onto_road(
    ground: Ground, origin: Array, at: Along, rays: Array, start: Array, met_kerb: _Brackets, max_range: float
) -> Array:
    # From kerb level above the road continue to road level, unless raised ground is in the way: usually the face of
    # the kerb, or its top where the ray rose above kerb level again.
    road = np.maximum(_root(at, rays, 0.0, _march(at, rays, 0.0, met_kerb, origin[2])), start)
    stop = np.minimum(road, max_range)

    def blocked(t: Array, rays: Array) -> NDArray[np.bool_]:
        x, y, z = (origin[i] + t * rays[i] for i in range(3))
        s, d = ground.to_street(x, y)
        outside = ground.outside(s, d) >= 0
        rows = np.flatnonzero(outside)
        outside[rows] = z[rows] - ground.base(s[rows], d[rows]) <= ground.kerb
        return outside

    before, after = start.copy(), np.full(rays.shape[1], np.inf)
    open_ = np.arange(rays.shape[1])
    for share in np.linspace(0.125, 1.0, 8):
        t = start[open_] + share * (stop[open_] - start[open_])
        stops = blocked(t, rays[:, open_])
        after[open_[stops]] = t[stops]
        open_, t = open_[~stops], t[~stops]
        before[open_] = t
    met = np.flatnonzero(np.isfinite(after))
    lo, hi, rays = before[met], after[met], rays[:, met]
    for _ in range(14):  # to half a millimetre of 60 m
        middle = (lo + hi) / 2
        inside = blocked(middle, rays)
        lo, hi = np.where(inside, lo, middle), np.where(inside, middle, hi)
    road[met] = hi
    return road
