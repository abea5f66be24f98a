"""SegContrast (Nunes, Marcuzzi, Chen, Behley, Stachniss; RA-L 2022): segments of one sweep, augmented twice.

Its segments are clusters of one sweep without ground; ours are the cache's groups, which were clustered over a window.
It pools by maximum, we by mean, as for every method here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iscc_lidar.shared.base.config import section
from iscc_lidar.trainer.pretrain.config import MethodConfig
from iscc_lidar.trainer.pretrain.losses.queue import QueueMethodConfig, new_queue, queue_losses
from iscc_lidar.trainer.pretrain.method import Method
from iscc_lidar.trainer.pretrain.samples.regions import cached_groups
from iscc_lidar.trainer.pretrain.student import OneViewStudent


@dataclass(frozen=True)
class SegContrastConfig(QueueMethodConfig):
    """Options of SegContrast."""

    method: MethodConfig = section(MethodConfig, name="segcontrast")


METHOD: Final = Method(
    title="SegContrast",
    about="SegContrast (Nunes, Marcuzzi, Chen, Behley, Stachniss; RA-L 2022)",
    region="group",
    config=SegContrastConfig,
    regions=lambda config, pair, _: cached_groups(pair, config.data.min_group_points),
    student=OneViewStudent.of,
    losses=queue_losses,
    memory=new_queue,
)
