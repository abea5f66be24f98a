"""SegContrast (Nunes, Marcuzzi, Chen, Behley, Stachniss; RA-L 2022): segments of one sweep, augmented twice.

Its segments are clusters of one sweep without ground; ours are the cache's groups, which were clustered over a window.
It pools by maximum, we by mean, as for every method here.
"""

from __future__ import annotations

from typing import Final

from iscc_lidar.trainer.pretrain.methods.common import cached_groups
from iscc_lidar.trainer.pretrain.methods.method import Method
from iscc_lidar.trainer.pretrain.methods.queue_step import new_queue, queue_step
from iscc_lidar.trainer.pretrain.student import OneViewStudent

METHOD: Final = Method(
    title="SegContrast",
    about="SegContrast (Nunes, Marcuzzi, Chen, Behley, Stachniss; RA-L 2022)",
    region="group",
    regions=cached_groups,
    student=OneViewStudent,
    memory=new_queue,
    step=queue_step,
)
