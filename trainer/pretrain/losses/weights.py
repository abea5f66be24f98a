"""Weights of ISCC's three losses."""

from __future__ import annotations

from dataclasses import dataclass

from iscc_lidar.shared.base.config import option


@dataclass(frozen=True)
class LossConfig:
    """Weights of the three losses; 0 leaves one out, which makes the rows of the deck's ablation."""

    global_weight: float = option(1.0, "weight of global clustering")
    local_weight: float = option(1.0, "weight of local contrast")
    occupancy_weight: float = option(1.0, "w_o [choice]")
