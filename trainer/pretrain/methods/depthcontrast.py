"""DepthContrast (Zhang, Girdhar, Joulin, Misra; ICCV 2021): whole scenes, told apart by a feature each.

Its second branch, which reads points instead of voxels, is left out: methods are compared on one encoder. It pools by
maximum and crops a part of the scene; here the mean is taken over all that the views show.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.method import Method
from iscc_lidar.trainer.pretrain.methods.queue_step import new_queue, queue_step
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, no_ground
from iscc_lidar.trainer.pretrain.student import OneViewStudent


def whole_scene(_: PretrainConfig, pair: Pair, __: np.random.Generator) -> Regions:
    """One region: every point."""
    label1, label2 = (np.zeros(len(view.xyz), np.int32) for view in (pair.view1, pair.view2))
    return no_ground(label1, label2, np.zeros(1, np.int32))


METHOD: Final = Method(
    title="DepthContrast",
    about="DepthContrast (Zhang, Girdhar, Joulin, Misra; ICCV 2021)",
    region="scene",
    regions=whole_scene,
    student=OneViewStudent,
    memory=new_queue,
    step=queue_step,
)
