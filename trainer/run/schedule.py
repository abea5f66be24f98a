"""Learning rate over the run, as a pure function of the step."""

from __future__ import annotations

import math
from typing import Final

WARMUP_SHARE: Final = 0.05
"""Share of the run in which the rate rises linearly."""


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate of step ``step`` (from 0): linear warm-up to ``peak``, then half a cosine to zero."""
    warmup = max(round(WARMUP_SHARE * steps), 1)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return peak * (1 + math.cos(math.pi * done)) / 2
