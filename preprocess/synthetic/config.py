"""Options of the procedural dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class SynthConfig:
    """Options of the simulation: number and length of sequences, sensor, noise."""

    sequences: int = option(
        32, "sequences, each in a scene of its own; pre-training needs variety more than length", at_least=1
    )
    sweeps: int = option(16, "successive sweeps per sequence; a window of 12 and its stride of 4", at_least=1)
    seed: int = option(0, "all random numbers follow from it and the numbers of sequence and sweep", at_least=0)
    district: Literal["mixed", "old_town", "suburb", "centre", "crowd", "field", "walled"] = option(
        "mixed",
        "style of the scenes: mixed varies everything; old_town has narrow, winding roads between rows of tall houses, "
        "suburb wide roads between detached houses behind deep yards, centre straight, wide roads between closed rows "
        "of taller, larger houses; each beyond the range of mixed; crowd has rows of parked two-wheelers, riders, "
        "people in groups and cars door to door; field one thing now and then, on slopes; walled walls close to the "
        "road, some with a roof",
    )
    sensor: Literal["hdl64", "pandar64", "vlp16", "hdl32", "os128", "solid_state"] = option(
        "hdl64",
        "elevations of the beams: HDL-64E, Pandar64 (dense in the middle), VLP-16, HDL-32E, 128 beams evenly over 45 "
        "degrees, or a solid-state sensor that sees 120 degrees ahead",
    )
    beams: int = option(0, "laser beams, spread over the sensor's; 0: as many as it has", at_least=0, at_most=4096)
    columns: int = option(1024, "firings per revolution; a real HDL-64E has about 2000", at_least=8, at_most=65_536)
    sweep_rate_hz: float = option(10.0, "sweeps per second, as in KITTI", above=0, at_most=1000)
    ego_speed_min_mps: float = option(4.0, "lowest ego speed of a sequence, m/s", above=0)
    ego_speed_max_mps: float = option(11.0, "highest ego speed of a sequence, m/s", above=0, at_most=100)
    sensor_height_m: float = option(1.73, "sensor above the ground, m, as in KITTI", above=0, at_most=100)
    max_range_m: float = option(80.0, "no return beyond, m", above=0, at_most=1000)
    min_range_m: float = option(1.5, "no return nearer, m; the ego vehicle is not simulated", above=0)
    range_noise_m: float = option(
        0.02, "standard deviation of range, m, from the data sheet of an HDL-64E", at_least=0, at_most=10
    )
    dropout: float = option(
        0.06, "share of returns lost everywhere; distant and grazing ones are lost more often", at_least=0, below=1
    )
    intensity_noise: float = option(
        0.11, "standard deviation of intensity per return; 0.08 to 0.19 in KITTI's classes", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        """Raise ValueError for options that cannot be simulated."""
        check_ranges(self, "synth")
        if self.min_range_m >= self.max_range_m:
            raise ValueError(f"synth.min_range_m must be below synth.max_range_m, not {self.min_range_m}")
        if self.ego_speed_min_mps > self.ego_speed_max_mps:
            raise ValueError(f"synth.ego_speed_min_mps must be at most ego_speed_max_mps, not {self.ego_speed_min_mps}")
