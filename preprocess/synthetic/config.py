"""Options of the procedural dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscc_lidar.shared.base.config import option


@dataclass(frozen=True)
class SynthConfig:
    """Options of the simulation: number and length of sequences, sensor, noise."""

    sequences: int = option(32, "sequences, each in a scene of its own; pre-training needs variety more than length")
    sweeps: int = option(16, "successive sweeps per sequence; a window of 12 and its stride of 4")
    seed: int = option(0, "all random numbers follow from it and the numbers of sequence and sweep")
    district: Literal["mixed", "old_town", "suburb", "centre"] = option(
        "mixed",
        "style of the scenes: mixed varies everything; old_town has narrow, winding roads between rows of tall houses, "
        "suburb wide roads between detached houses behind deep yards, centre straight, wide roads between closed rows "
        "of taller, larger houses; each beyond the range of mixed",
    )
    beams: int = option(64, "laser beams, spread over the elevations of an HDL-64E")
    columns: int = option(1024, "firings per revolution; a real HDL-64E has about 2000")
    sweep_rate_hz: float = option(10.0, "sweeps per second, as in KITTI")
    ego_speed_min_mps: float = option(4.0, "lowest ego speed of a sequence, m/s")
    ego_speed_max_mps: float = option(11.0, "highest ego speed of a sequence, m/s")
    sensor_height_m: float = option(1.73, "sensor above the ground, m, as in KITTI")
    max_range_m: float = option(80.0, "no return beyond, m")
    min_range_m: float = option(1.5, "no return nearer, m; the ego vehicle is not simulated")
    range_noise_m: float = option(0.02, "standard deviation of range, m, from the data sheet of an HDL-64E")
    dropout: float = option(0.06, "share of returns lost everywhere; distant and grazing ones are lost more often")
    intensity_noise: float = option(0.11, "standard deviation of intensity per return; 0.08 to 0.19 in KITTI's classes")

    def __post_init__(self) -> None:
        """Raise ValueError for options that cannot be simulated."""
        for name, least in {"sequences": 1, "sweeps": 1, "seed": 0, "beams": 1, "columns": 8}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 < self.min_range_m < self.max_range_m:
            raise ValueError("min_range_m must lie between 0 and max_range_m")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share from 0 to below 1, not {self.dropout}")
        if not 0 < self.ego_speed_min_mps <= self.ego_speed_max_mps:
            raise ValueError("ego_speed_min_mps must be positive and at most ego_speed_max_mps")
        if self.sweep_rate_hz <= 0 or self.sensor_height_m <= 0:
            raise ValueError("sweep_rate_hz and sensor_height_m must be positive")
        if self.range_noise_m < 0 or self.intensity_noise < 0:
            raise ValueError("range_noise_m and intensity_noise must be 0 or more")
