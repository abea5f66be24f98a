"""The range of each option, checked where a configuration is made."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

MOST: Final = 2**53
"""Integers beyond this are not exact as floating-point numbers; no option needs one."""


def check_ranges(section: str, config: Any, **ranges: tuple[float, float]) -> None:
    """Check the numbers of a configuration: finite, and within the ranges (lowest, highest) given by field.

    Lists are checked number by number. Raises ValueError, naming the option as ``section.field``.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        low, high = ranges.get(field.name, (-math.inf, math.inf))
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not _fits(number, low, high):
                expected = _range(low, high) if field.name in ranges else "finite"
                raise ValueError(f"{section}.{field.name} must be {expected}, not {number}")


def _fits(number: float, low: float, high: float) -> bool:
    return low <= number <= high and (-MOST <= number <= MOST if isinstance(number, int) else math.isfinite(number))


def _range(low: float, high: float) -> str:
    if high in (math.inf, MOST):
        return f"at least {low:g}"
    return f"at least {low:g} and at most {high:g}"
