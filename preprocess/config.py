"""The configuration of the offline stage: one section a step, only options that change the result."""

from __future__ import annotations

from dataclasses import dataclass

from iscc_lidar.preprocess.describe.queries import QueryConfig
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig
from iscc_lidar.preprocess.segment.ground import GroundConfig
from iscc_lidar.preprocess.segment.linking import LinkingConfig
from iscc_lidar.preprocess.segment.motion import MotionConfig
from iscc_lidar.preprocess.segment.sweeps import RangeConfig
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.config import option, section


@dataclass(frozen=True)
class PreprocessConfig:
    """All options of ``iscc-preprocess run``."""

    seed: int = option(0, "seed of the query sampling, the only random step")
    window: WindowConfig = section(WindowConfig)
    range: RangeConfig = section(RangeConfig)
    ground: GroundConfig = section(GroundConfig)
    clustering: ClusteringConfig = section(ClusteringConfig)
    linking: LinkingConfig = section(LinkingConfig)
    motion: MotionConfig = section(MotionConfig)
    queries: QueryConfig = section(QueryConfig)
