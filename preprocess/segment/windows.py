"""Plan the windows of a sequence and the blocks that store them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class WindowConfig:
    """Options of stacking sweeps."""

    sweeps: int = option(12, "sweeps stacked in a window; as TARL", at_least=1, at_most=1000)
    stride: int = option(4, "sweeps from one window's start to the next; as TARL", at_least=1)
    block_sweeps: int = option(100, "approximate number of sweeps in a block of the cache", at_least=1, at_most=100_000)

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range, and where windows would leave sweeps out."""
        check_ranges(self, "window")
        if self.stride > self.sweeps:
            raise ValueError(f"window.stride must be from 1 to window.sweeps, {self.sweeps}, not {self.stride}")


def plan_windows(sweeps: int, config: WindowConfig, first: int = 0) -> tuple[Window, ...]:
    """Cover ``sweeps`` sweeps, from index ``first`` on, with windows; the last one ends with the last sweep.

    Fewer sweeps than a window are one window. Each sweep is owned by the window whose middle is nearest to it, the
    earlier one where two are equally near.
    """
    if sweeps == 0:
        return ()
    last = max(0, sweeps - config.sweeps)
    starts = [*range(0, last, config.stride), last]
    stops = [min(start + config.sweeps, sweeps) for start in starts]
    # Ownership changes half-way between the middles of successive windows; every window owns at least one sweep.
    borders = [(a + b + config.sweeps) // 2 for a, b in itertools.pairwise(starts)]
    own = [0, *borders, sweeps]
    bounds = zip(starts, stops, own, own[1:], strict=False)
    return tuple(Window(*(first + bound for bound in window)) for window in bounds)


def plan_blocks(windows: tuple[Window, ...], config: WindowConfig) -> tuple[tuple[Window, ...], ...]:
    """Divide windows, in order, among blocks of about ``block_sweeps`` sweeps each."""
    blocks: list[list[Window]] = []
    for window in windows:
        if not blocks or window.own_start - blocks[-1][0].own_start >= config.block_sweeps:
            blocks.append([])
        blocks[-1].append(window)
    return tuple(tuple(block) for block in blocks)
