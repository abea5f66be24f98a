"""The configuration of the offline stage: one section a step, only options that change the result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR
from iscc_lidar.preprocess.datasets.registry import Dataset, data_options
from iscc_lidar.preprocess.describe.queries import QueryConfig
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig
from iscc_lidar.preprocess.segment.ground import GroundConfig
from iscc_lidar.preprocess.segment.linking import LinkingConfig
from iscc_lidar.preprocess.segment.motion import MotionConfig
from iscc_lidar.preprocess.segment.sweeps import RangeConfig
from iscc_lidar.preprocess.windows import WindowConfig
from iscc_lidar.shared.config import option, section, to_dict


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


def config_key(config: PreprocessConfig, dataset: Dataset) -> str:
    """SHA-256 of all that a block depends on besides its sweeps' files."""
    content = {
        "format": f"{FORMAT_MAJOR}.{FORMAT_MINOR}",
        "dataset": dataset.name,
        "data": data_options(dataset),
        "config": to_dict(config),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
