"""What the columns of sweeps mean: by their names, and by the numbers in some sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._folder.options import AUTO, NONE, FolderOptions, sensor_axes
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.shared.base.errors import UserError

_NAMES: Final = {
    "intensity": ("intensity", "intensities", "reflectivity", "reflectance", "remission", "i"),
    "time": (
        "time",
        "t",
        "timestamp",
        "timestamps",
        "time_offset",
        "offset_time",
        "offset_ns",
        "time_stamp",
        "gps_time",
    ),
    "label": ("label", "labels", "class", "semantic", "semantics", "sem_label", "classification"),
    "instance": ("instance", "instances", "instance_id", "object_id"),
}
_SCALES: Final = (1.0, 255.0, 4095.0, 65535.0)
_MOST_INTENSE: Final = 1e9
_SPAN_S: Final = (0.02, 0.5)  # of the points of one revolution: 2 to 50 Hz
_LONGEST_S: Final = 1.0  # later times are of a clock, not counted from the sweep's
_UNITS_S: Final = {1.0: "s", 1e-3: "ms", 1e-6: "us", 1e-9: "ns"}
_MILLIMETRES: Final = 1000.0  # a median range beyond which coordinates are not in metres
_NEAR_M: Final = (3, 25)
_GROUND_SHARE: Final = 0.15
_USUAL: Final = "x,y,z"
_CAMERA: Final = "z,-x,-y"
_UPRIGHT: Final = {
    (2, 1): _USUAL,
    (2, -1): "x,-y,-z",
    (1, -1): _CAMERA,
    (1, 1): "z,x,y",
    (0, 1): "y,z,x",
    (0, -1): "y,-z,-x",
}
"""Axes by the one that is upright, and whether it points up."""


@dataclass(frozen=True)
class Found:
    """Options without "auto", what was found in which words, and names of options that the data do not show."""

    options: FolderOptions
    notes: tuple[str, ...]
    unsure: frozenset[str] = frozenset()


def coordinates(columns: Columns, where: str) -> NDArray[np.float64]:
    """Stack x, y and z, float64 [N, 3]. Raises UserError where one is missing."""
    if missing := [axis for axis in "xyz" if axis not in columns]:
        found = ", ".join(columns) or "none"
        raise UserError(
            f"{where}: has no column {missing[0]} (it has {found}); name columns by --data columns=x,y,z,..."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return np.stack([columns[axis].astype(np.float64) for axis in "xyz"], axis=1)


def find_column(columns: Columns, role: str, wanted: str) -> str:
    """Return the name of the column for a role: ``wanted`` if that is no "auto", "none" where there is none."""
    if wanted != AUTO:
        return wanted.lower()
    return next((name for name in _NAMES[role] if name in columns), NONE)


def find_meanings(options: FolderOptions, sweeps: Sequence[Columns], where: str) -> Found:
    """Replace every "auto" and 0 in options by what some sweeps show. Raises UserError for an unknown column."""
    notes: list[str] = []
    first = sweeps[0]
    names = [find_column(first, role, getattr(options, f"{role}_field")) for role in ("intensity", "time", "label")]
    for name in names:
        if name != NONE and name not in first:
            raise UserError(
                f"--data: {where} has no column {name} (it has {', '.join(first)}); see its ..._field options"
            )
    options = replace(options, intensity_field=names[0], time_field=names[1])  # labels: of each sweep's own column
    xyz = _valid_points([coordinates(columns, where) for columns in sweeps])
    options = _find_scale(options, xyz, notes)
    axes = _upright_axes(xyz * options.range_scale)
    options = _find_axes(options, axes, notes)
    largest = _largest_intensity(sweeps, options.intensity_field)
    options = _find_intensity(options, largest, notes)
    unsure = {"axes": axes is None, "range_scale": not len(xyz), "intensity_scale": not largest}
    shown = frozenset(name for name, is_unsure in unsure.items() if is_unsure)
    return Found(_find_times(options, first, notes), tuple(notes), shown)


def _valid_points(several: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    xyz = np.concatenate([points[:: max(1, len(points) // 20_000)] for points in several])
    valid: NDArray[np.float64] = xyz[np.isfinite(xyz).all(axis=1) & xyz.any(axis=1) & (np.abs(xyz) < 1e12).all(axis=1)]
    return valid


def _find_scale(options: FolderOptions, xyz: NDArray[np.float64], notes: list[str]) -> FolderOptions:
    if options.range_scale:
        return options
    far = len(xyz) and np.median(np.linalg.norm(xyz, axis=1)) > _MILLIMETRES
    if far:
        notes.append("coordinates in millimetres (--data range_scale=0.001)")
    return replace(options, range_scale=0.001 if far else 1.0)


def _find_axes(options: FolderOptions, found: str | None, notes: list[str]) -> FolderOptions:
    if options.axes != AUTO:
        return options
    axes = found or _USUAL
    if axes != _USUAL:
        notes.append(f"forward, left, up are the file's {axes} (--data axes={axes}), as far as ground and height show")
    return replace(options, axes=axes)


def _upright_axes(xyz: NDArray[np.float64]) -> str | None:
    """Find the upright axis: points spread least along it, rays too, and most near points are on a ground below.

    A wall next to the LiDAR is as flat as a ground; but rays fan out towards it, as they do not up and down. Returns
    the axes of the file that point forward, left and up; None where points do not show them.
    """
    distance = np.linalg.norm(xyz, axis=1)
    is_near = (distance > _NEAR_M[0]) & (distance < _NEAR_M[1])
    near = xyz[is_near]
    if len(near) < 500:
        return None
    low, high = np.percentile(near, (10, 90), axis=0)
    upright = int(np.argmin(high - low))
    others = np.delete(high - low, upright)
    middle = float(np.median(near[:, upright]))
    if 2 * (high - low)[upright] >= others.min() or abs(middle) <= 0.3:
        return None
    along_axes = np.sqrt(np.mean((near / distance[is_near, None]) ** 2, axis=0))
    up = near[:, upright] * (-1 if middle > 0 else 1)
    least = max(1.5 * _points_at_one_height(-up), _GROUND_SHARE * len(up))
    if along_axes[upright] > 1.2 * along_axes.min() or _points_at_one_height(up) < least:
        return None
    return _UPRIGHT[upright, -1 if middle > 0 else 1]


def _points_at_one_height(up: NDArray[np.float64]) -> int:
    """Count the points in the fullest 0.4 m below the LiDAR."""
    in_slices = np.histogram(up, bins=np.arange(-6, -0.2, 0.1))[0]
    return int(np.convolve(in_slices, np.ones(4), "valid").max())


def _largest_intensity(sweeps: Sequence[Columns], name: str) -> float:
    """Return the largest finite intensity; 0 without any."""
    found = [columns[name].astype(np.float64) for columns in sweeps if name in columns]
    return max((float(values[np.isfinite(values)].max(initial=0)) for values in found), default=0.0)


def _find_intensity(options: FolderOptions, largest: float, notes: list[str]) -> FolderOptions:
    name = options.intensity_field
    if name == NONE:
        notes.append("no intensity: all 0 (--data intensity_field=NAME)")
        return replace(options, intensity_scale=options.intensity_scale or 1.0)
    if options.intensity_scale:
        return options
    scale = next((scale for scale in _SCALES if largest <= scale), min(largest, _MOST_INTENSE))
    notes.append(
        f"intensity: column {name}, up to {largest:g}, divided by {scale:g} (--data intensity_scale={scale:g})"
    )
    return replace(options, intensity_scale=scale)


def _find_times(options: FolderOptions, columns: Columns, notes: list[str]) -> FolderOptions:
    name = options.time_field
    if options.deskew == "off" or name == NONE:
        return replace(options, time_field=NONE, time_unit_s=options.time_unit_s or 1.0, deskew="off")
    unit = options.time_unit_s or _time_unit(columns[name])
    if unit is None:
        if options.deskew == "on":
            raise UserError(f"--data deskew=on: column {name} has no unit in which a sweep lasts 0.02 to 0.5 s; pass "
                            "--data time_unit_s=SECONDS")  # fmt: skip
        return replace(options, time_field=NONE, time_unit_s=1.0, deskew="off")
    notes.append(
        f"deskewed by column {name}, in {_UNITS_S.get(unit, f'{unit:g} s')} (--data deskew=off if the points are "
        "already where they are at the sweep's time)"
    )
    return replace(options, time_unit_s=unit, deskew="on")


def _time_unit(column: NDArray[Any]) -> float | None:
    """Return the unit in which the times of a sweep's points span a revolution, seconds."""
    times = column.astype(np.float64)
    times = times[np.isfinite(times)]
    span = float(np.percentile(times, 99) - np.percentile(times, 1)) if len(times) else 0.0
    return next((unit for unit in _UNITS_S if _SPAN_S[0] <= span * unit <= _SPAN_S[1]), None)


def intensity_of(columns: Columns, options: FolderOptions, points: int) -> NDArray[np.float32]:
    """Return the intensity of points, float32 [N], 0..1; all 0 without a column."""
    if options.intensity_field not in columns:
        return np.zeros(points, np.float32)
    raw = columns[options.intensity_field].astype(np.float64) / options.intensity_scale
    return np.clip(np.nan_to_num(raw, posinf=0.0, neginf=0.0), 0, 1).astype(np.float32)


def offsets_s(columns: Columns, options: FolderOptions, sweep_ns: int) -> NDArray[np.float64] | None:
    """Return the times of points after that of their sweep, seconds, float64 [N]; None where they have none.

    Times of a clock that the sweep's time is not of begin with the sweep.
    """
    if options.deskew != "on" or options.time_field not in columns:
        return None
    raw, unit_ns = columns[options.time_field], options.time_unit_s * 1e9
    times: NDArray[np.float64] = raw.astype(np.float64) * options.time_unit_s
    if not np.isfinite(times).any() or np.nanmax(np.abs(times)) <= _LONGEST_S:
        return times
    if raw.dtype.kind in "iu":  # exact, as float64 is not for nanoseconds since 1970
        after = (raw.astype(np.int64) - round(sweep_ns / unit_ns)) * options.time_unit_s
    else:
        after = times - sweep_ns / 1e9
    found: NDArray[np.floating] = after if np.nanmin(np.abs(after)) < _LONGEST_S else times - np.nanmin(times)
    return found.astype(np.float64)


def rotation_of(options: FolderOptions) -> NDArray[np.float64]:
    """Return the rotation from the file's axes to forward, left, up, float64 [3, 3]."""
    return sensor_axes(options.axes)
