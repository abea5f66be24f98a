"""Order and times of sweeps by their files' names: stamps in seconds, milli-, micro- or nanoseconds, or numbers."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.preprocess.datasets._files import check_times, read_numbers
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

_NUMBER: Final = re.compile(r"\d+")
_SECONDS: Final = re.compile(r"(?<!\d)(\d{9,11})\.(\d{1,9})$")
_PARTS: Final = re.compile(r"(?<!\d)(\d{9,11})_(\d{9})$")
_UNITS_NS: Final = {
    **dict.fromkeys((18, 19), 1),
    **dict.fromkeys((15, 16, 17), 1000),
    **dict.fromkeys((12, 13, 14), 10**6),
}
"""Nanoseconds per unit of a stamp by its digits: 19 digits of nanoseconds since 1970, 16 of microseconds, ..."""


@dataclass(frozen=True)
class Times:
    """Times of sweeps in order, ns; ``nominal``: they are only counted, at an assumed rate."""

    ns: tuple[int, ...]
    nominal: bool


def sorted_names(names: Sequence[str]) -> list[str]:
    """Sort names of sweeps by their time, or by the numbers in them: 9 before 10."""
    stamps = {name: _stamp_ns(name) for name in names}
    if all(stamp is not None for stamp in stamps.values()):
        return sorted(names, key=lambda name: (stamps[name] or 0, name))
    return sorted(names, key=lambda name: (_NUMBER.sub("0", name), [int(n) for n in _NUMBER.findall(name)], name))


def times_of(names: Sequence[str], file: Path, rate_hz: float) -> Times:
    """Return the times of sweeps, by a file of seconds, one line per sweep, if there is one; else by their names.

    Raises UserError for times that do not rise, or a file of another number of lines.
    """
    return _times_of(tuple(names), file, files.version(file) if file.is_file() else None, rate_hz)


@functools.lru_cache(maxsize=64)  # every sweep needs its own, and finding them takes time for each name
def _times_of(names: tuple[str, ...], file: Path, version: tuple[int, ...] | None, rate_hz: float) -> Times:
    if version is not None:
        seconds = read_numbers(file, 1)[:, 0]
        if len(seconds) != len(names) or not (np.abs(seconds) < 9e9).all():
            raise UserError(
                f"{file}: has {len(seconds)} lines, expected a time in seconds for each of {len(names)} sweeps"
            )
        found, nominal = [round(second * 1e9) for second in seconds.tolist()], False
    else:
        stamps, period = [_stamp_ns(name) for name in names], 1e9 / rate_hz
        numbers = [_NUMBER.findall(name) for name in names]
        nominal = any(stamp is None for stamp in stamps)
        counted = (
            all(found and len(found[-1]) < 9 for found in numbers) and len({_NUMBER.sub("", n) for n in names}) == 1
        )
        if not nominal:
            found = [stamp or 0 for stamp in stamps]
        elif counted and len({int(found[-1]) for found in numbers}) == len(names):
            found = [round(int(found[-1]) * period) for found in numbers]
        else:
            found = [round(position * period) for position in range(len(names))]
    check_times(found, lambda position: f"{file.parent}: sweep {names[position]}")
    return Times(tuple(found), nominal)


def _stamp_ns(name: str) -> int | None:
    """Return the time that a name gives, nanoseconds; None where it has only a number or a word."""
    if seconds := _SECONDS.search(name):
        return int(seconds[1]) * 10**9 + int(seconds[2].ljust(9, "0"))
    if parts := _PARTS.search(name):
        return int(parts[1]) * 10**9 + int(parts[2])
    last = (_NUMBER.findall(name) or [""])[-1]
    unit = _UNITS_NS.get(len(last))
    return None if unit is None else int(last) * unit
