"""A window: consecutive sweeps of one sequence that are stacked in one frame."""

from __future__ import annotations

from dataclasses import dataclass

from iscc_lidar.data_schemas.described import described


@dataclass(frozen=True)
class Window:
    """Consecutive sweeps of a sequence that were stacked together.

    Windows overlap. Each sweep takes its labels from the window that owns it, the one in which it lies most centrally.
    """

    start: int = described("index of its first sweep")
    stop: int = described("index of its last sweep + 1")
    own_start: int = described("index of the first sweep that it owns, and so labels")
    own_stop: int = described("index of the last sweep that it owns + 1")
