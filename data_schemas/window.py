"""A window: successive sweeps of one sequence that are stacked in one frame."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Window:
    """Sweeps of a sequence that were stacked together.

    Windows overlap. Each sweep takes its labels from one window, the one in which it lies most centrally.
    """

    start: int = field(metadata={"meaning": "its first sweep"})
    stop: int = field(metadata={"meaning": "the sweep after its last one"})
    own_start: int = field(metadata={"meaning": "the first sweep that it labels"})
    own_stop: int = field(metadata={"meaning": "the sweep after the last one that it labels"})
