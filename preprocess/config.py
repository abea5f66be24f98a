"""Configuration of preprocessing: one section per step, only options that change the result."""

from __future__ import annotations

from dataclasses import dataclass

from iscc_lidar.preprocess.describe.queries import QuerySamplingConfig
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig
from iscc_lidar.preprocess.segment.ground import GroundConfig
from iscc_lidar.preprocess.segment.linking import LinkingConfig
from iscc_lidar.preprocess.segment.motion import MotionConfig
from iscc_lidar.preprocess.segment.sweeps import RangeConfig
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.config import check_ranges, option, section


@dataclass(frozen=True)
class PreprocessConfig:
    """All options of ``iscc-preprocess run``."""

    seed: int = option(0, "seed of the query sampling, the only random step", at_least=0)
    window: WindowConfig = section(WindowConfig)
    range: RangeConfig = section(RangeConfig)
    ground: GroundConfig = section(GroundConfig)
    clustering: ClusteringConfig = section(ClusteringConfig)
    linking: LinkingConfig = section(LinkingConfig)
    motion: MotionConfig = section(MotionConfig)
    queries: QuerySamplingConfig = section(QuerySamplingConfig)

    def __post_init__(self) -> None:
        """Raise ValueError for a seed out of its range."""
        check_ranges(self, "")
