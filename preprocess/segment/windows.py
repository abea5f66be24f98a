"""Plan the windows of a sequence and the blocks that they are stored in."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from iscc_lidar.data_schemas.window import Window
from iscc_lidar.shared.base.config import option


@dataclass(frozen=True)
class WindowConfig:
    """How sweeps are stacked."""

    sweeps: int = option(12, "sweeps stacked in a window; as TARL")
    stride: int = option(4, "sweeps from one window's start to the next; as TARL")
    block_sweeps: int = option(100, "about as many sweeps share one folder of the cache")

    def __post_init__(self) -> None:
        """Refuse windows that leave sweeps out. Raises ValueError."""
        if self.sweeps < 1 or not 1 <= self.stride <= self.sweeps or self.block_sweeps < 1:
            raise ValueError(
                "window.sweeps and window.block_sweeps must be at least 1, and window.stride from 1 to window.sweeps"
            )


def plan_windows(sweeps: int, config: WindowConfig) -> tuple[Window, ...]:
    """Windows that together cover a sequence of so many sweeps; the last one ends with the sequence.

    A sequence that is shorter than a window is one window. Each sweep is owned by the window whose
    middle is nearest to it, the earlier one where two are equally near.
    """
    if sweeps == 0:
        return ()
    last = max(0, sweeps - config.sweeps)
    starts = [*range(0, last, config.stride), last]
    stops = [min(start + config.sweeps, sweeps) for start in starts]
    # Middles of successive windows meet half-way; every window keeps at least one sweep of its own.
    borders = [(a + b + config.sweeps) // 2 for a, b in itertools.pairwise(starts)]
    own = [0, *borders, sweeps]
    return tuple(Window(*w) for w in zip(starts, stops, own, own[1:], strict=False))


def plan_blocks(windows: tuple[Window, ...], config: WindowConfig) -> tuple[tuple[Window, ...], ...]:
    """Divide windows, in order, among blocks that own about ``block_sweeps`` sweeps each."""
    blocks: list[list[Window]] = []
    for window in windows:
        if not blocks or window.own_start - blocks[-1][0].own_start >= config.block_sweeps:
            blocks.append([])
        blocks[-1].append(window)
    return tuple(tuple(block) for block in blocks)
