"""A window: successive sweeps of one sequence that are stacked in one frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Sweeps ``start`` up to, not including, ``stop`` of a sequence.

    Windows overlap. Each sweep takes its labels from one window, the one in which it lies most
    centrally: a window labels sweeps ``own_start`` up to ``own_stop``.
    """

    start: int
    stop: int
    own_start: int
    own_stop: int
