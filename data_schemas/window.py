"""A window: successive sweeps of one sequence that are stacked in one frame."""

from __future__ import annotations

from dataclasses import dataclass

from iscc_lidar.data_schemas.said import said


@dataclass(frozen=True)
class Window:
    """Sweeps of a sequence that were stacked together.

    Windows overlap. Each sweep takes its labels from one window, the one in which it lies most centrally.
    """

    start: int = said("its first sweep")
    stop: int = said("the sweep after its last one")
    own_start: int = said("the first sweep that it labels")
    own_stop: int = said("the sweep after the last one that it labels")
