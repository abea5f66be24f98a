"""How sure a spread label is: the share of such labels that were right on synthetic streets.

Logistic regressions, fitted by ``tests/tools/fit_confidence.py``. What they depend on carries over to real streets and
other sensors; see docs/spreading.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GROUND: Final = (4.748, 1.43, -0.053)
_SOLID: Final = (6.106, 1.716, 0.0)
"""Constant, factor of log(margin + 0.02 m), factor of the distance."""
_MOVING: Final = (-2.104, -1.974)
_STANDING: Final = (1.575, -0.183)
"""Constant, factor of log(1.02 - purity)."""


def of_place(distance_m: NDArray[np.float64], margin_m: NDArray[np.float64], *, ground: bool) -> NDArray[np.float64]:
    """Return the confidence of the class of the nearest labelled point, [N].

    Args:
        distance_m: to that point, [N].
        margin_m: how much farther away the nearest labelled point of another class is, [N].
        ground: whether it is a point of the ground.
    """
    constant, of_margin, of_distance = _GROUND if ground else _SOLID
    return _logistic(constant + of_margin * np.log(margin_m + 0.02) + of_distance * distance_m)


def of_group(purity: NDArray[np.float64], *, moving: bool) -> NDArray[np.float64]:
    """Return the confidence of the class of a group's labelled points, [N], by the share of them that is of it."""
    constant, of_purity = _MOVING if moving else _STANDING
    return _logistic(constant + of_purity * np.log(1.02 - purity))


def _logistic(value: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-value))
    return result
