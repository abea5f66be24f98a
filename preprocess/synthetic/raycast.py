"""Cast the rays of one sweep against primitive solids.

Rays form a grid, beam by column, in the sensor frame. Each solid is tested only against the rays of its own angular
window, a slice of that grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.solids import CYLINDER, ELLIPSOID

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solids:
    """P solids in one frame; the fields are those of ``Solid``.

    Attributes:
        shape [P], centre [P, 3], rotation [P, 3, 3] (frame_R_part), half [P, 3], taper [P, 2], mean_free_path_m [P].
    """

    shape: NDArray[np.int64]
    centre: Array
    rotation: Array
    half: Array
    taper: Array
    mean_free_path_m: Array


@dataclass(frozen=True)
class RayGrid:
    """Rays from the origin of the sensor frame.

    Attributes:
        direction: unit vectors [beams, columns, 3]; azimuth increases with the column from -pi, and differs from its
            column's centre by at most one column.
        elevation: of each beam [beams], radians, descending.
    """

    direction: Array
    elevation: Array


_View = tuple[slice, slice]
"""Rows and columns of the grid of rays."""


def cast(rays: RayGrid, solids: Solids, limit: Array, rng: Generator) -> tuple[Array, NDArray[np.int64]]:
    """Find the first solid on each ray.

    Args:
        rays: the grid, H beams by W columns.
        solids: in the sensor frame.
        limit: range [H, W] at which something else stops the ray, infinite for nothing.
        rng: for the depth at which rays return from fuzzy solids.

    Returns:
        range [H, W] in metres (``limit`` where no solid is nearer) and index of the solid [H, W], -1 for none.
    """
    best, which = limit.copy(), np.full(limit.shape, -1, np.int64)
    nearest, views = _views(rays, solids)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for p in np.argsort(nearest, kind="stable"):
            for view in views[p]:
                if best[view].max() <= nearest[p]:
                    continue  # all of it is occluded
                enter, leave = intersect(solids, int(p), rays.direction[view])
                path = solids.mean_free_path_m[p]
                if path > 0:
                    enter = np.maximum(enter, 0) + rng.exponential(path, enter.shape)
                seen = (enter < leave) & (enter > 0) & (enter < best[view])
                np.copyto(best[view], enter, where=seen)
                np.copyto(which[view], p, where=seen)
    return best, which


def intersect(solids: Solids, p: int, direction: Array) -> tuple[Array, Array]:
    """Compute the interval of range in which rays [..., 3] from the origin are in solid p; empty if enter >= leave."""
    local = solids.rotation[p] / solids.half[p]  # unit_R_frame, transposed
    d, o = direction @ local, -solids.centre[p] @ local
    if solids.shape[p] == ELLIPSOID:
        return _roots(np.einsum("...i,...i", d, d), d @ o, float(o @ o) - 1)
    taper_x, taper_y = solids.taper[p] / 2
    if solids.shape[p] == CYLINDER:
        low, high = _slab(d[..., 2], o[2], -1.0, 1.0)
        grow = 1 - taper_x * (1 + o[2])  # radius at the origin's height
        a = d[..., 0] ** 2 + d[..., 1] ** 2 - (taper_x * d[..., 2]) ** 2
        b = d[..., 0] * o[0] + d[..., 1] * o[1] + taper_x * d[..., 2] * grow
        enter, leave = _roots(a, b, o[0] ** 2 + o[1] ** 2 - grow**2)
        return np.maximum(enter, low), np.minimum(leave, high)
    low, high = _slab(d[..., 2], o[2], -1.0, 1.0)
    for axis, taper in ((0, taper_x), (1, taper_y)):
        for sign in (-1, 1):  # sign * q + taper * z <= 1 - taper
            fall = sign * d[..., axis] + taper * d[..., 2]
            t = (1 - taper - sign * o[axis] - taper * o[2]) / fall
            low = np.where(fall < 0, np.maximum(low, t), low)
            high = np.where(fall > 0, np.minimum(high, t), high)
    return low, high


def _slab(d: Array, o: float, low: float, high: float) -> tuple[Array, Array]:
    a, b = (low - o) / d, (high - o) / d
    return np.minimum(a, b), np.maximum(a, b)


def _roots(a: Array, b: Array, c: float) -> tuple[Array, Array]:
    # a t² + 2 b t + c <= 0 between its roots. A ray within a cone's opening angle (a <= 0) is dropped.
    disc = np.sqrt(b * b - a * c)  # NaN without a root: every comparison with it is false
    a = np.where(a > 0, a, np.nan)
    return (-b - disc) / a, (-b + disc) / a


_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def _views(rays: RayGrid, solids: Solids) -> tuple[Array, list[list[_View]]]:
    """Compute the nearest possible range of each solid [P], and the views of its window, none if no ray can meet it."""
    arms = solids.rotation * solids.half[:, None, :]
    corners = solids.centre[:, None, :] + np.einsum("pij,kj->pki", arms, _CORNERS)
    near_xy = _nearest_in_plan(corners[..., :2], solids)
    low, high = corners[..., 2].min(axis=1), corners[..., 2].max(axis=1)
    far_xy = np.linalg.norm(corners[..., :2], axis=2).max(axis=1)
    top = np.arctan2(high, np.where(high > 0, near_xy, far_xy))
    bottom = np.arctan2(low, np.where(low < 0, near_xy, far_xy))
    first = np.searchsorted(-rays.elevation, -top, side="left")
    last = np.searchsorted(-rays.elevation, -bottom, side="right")
    start, count = _column_range(corners[..., :2], near_xy, rays.direction.shape[1])
    views = [_window(*four, rays.direction.shape[1]) for four in zip(first, last, start, count, strict=True)]
    vertical = np.maximum(np.maximum(low, -high), 0)
    return np.hypot(near_xy, vertical), views


def _nearest_in_plan(corners: Array, solids: Solids) -> Array:
    # All corners lie beyond a line at this distance; the best of a few lines.
    looks = np.stack([solids.centre[:, :2], solids.rotation[:, :2, 0], solids.rotation[:, :2, 1]], axis=1)
    looks = looks / np.maximum(np.linalg.norm(looks, axis=2, keepdims=True), 1e-9)
    along = np.einsum("pki,pli->pkl", corners, looks)
    return np.asarray(np.maximum(np.maximum(along.min(axis=1), -along.max(axis=1)), 0).max(axis=1))


def _column_range(corners: Array, near_xy: Array, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    middle = corners.mean(axis=1)
    centre = np.arctan2(middle[:, 1], middle[:, 0])
    apart = np.arctan2(corners[..., 1], corners[..., 0]) - centre[:, None]
    apart = np.mod(apart + np.pi, 2 * np.pi) - np.pi
    per_column = 2 * np.pi / columns
    start = np.floor((centre + apart.min(axis=1) + np.pi) / per_column).astype(np.int64) - 1
    stop = np.ceil((centre + apart.max(axis=1) + np.pi) / per_column).astype(np.int64) + 1
    around = near_xy <= 1e-6  # the sensor may be above or inside it: test all columns
    return np.where(around, 0, start), np.where(around, columns, np.minimum(stop - start, columns))


def _window(first: int, last: int, start: int, count: int, columns: int) -> list[_View]:
    start = start % columns
    stop = start + count
    spans = [slice(start, columns), slice(0, stop - columns)] if stop > columns else [slice(start, stop)]
    return [(slice(first, last), span) for span in spans] if last > first else []
