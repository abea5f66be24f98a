"""DepthContrast (Zhang, Girdhar, Joulin, Misra; ICCV 2021): contrast of whole scenes, one feature each.

Its second branch, which reads points instead of voxels, is left out: methods are compared on one encoder. It pools by
maximum and crops a part of the scene; here the mean is taken over all that the views show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from iscc_lidar.shared.base.config import section
from iscc_lidar.trainer.pretrain.config import MethodConfig, PretrainConfig
from iscc_lidar.trainer.pretrain.losses.queue import QueueMethodConfig, new_queue, queue_losses
from iscc_lidar.trainer.pretrain.method import Method
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, without_ground
from iscc_lidar.trainer.pretrain.student import OneViewStudent


@dataclass(frozen=True)
class DepthContrastConfig(QueueMethodConfig):
    """Options of DepthContrast."""

    method: MethodConfig = section(MethodConfig, name="depthcontrast")


def whole_scene(_: PretrainConfig, pair: Pair, __: np.random.Generator) -> Regions:
    """Return one region: every point."""
    label1, label2 = (np.zeros(len(view.xyz), np.int32) for view in (pair.view1, pair.view2))
    return without_ground(label1, label2, np.zeros(1, np.int32))


METHOD: Final = Method(
    title="DepthContrast",
    about="DepthContrast (Zhang, Girdhar, Joulin, Misra; ICCV 2021)",
    region="scene",
    config=DepthContrastConfig,
    regions=whole_scene,
    student=OneViewStudent.of,
    losses=queue_losses,
    memory=new_queue,
)
