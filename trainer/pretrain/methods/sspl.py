"""SSPL (Zhang, Bai, Li: Self-Supervised Pretraining for Large-Scale Point Clouds; NeurIPS 2022), a reconstruction.

It was made from the paper's abstract and from what the slides on ISCC state of it: contrast of points pooled by volume,
at the scale of outdoor scenes. Cubes, their pooling and the loss are our choice; figures of this are not the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option, section
from iscc_lidar.trainer.data.augment import View, apply_affine
from iscc_lidar.trainer.data.voxelize import shared_groups
from iscc_lidar.trainer.pretrain.config import MethodConfig
from iscc_lidar.trainer.pretrain.losses.siamese import SiameseConfig, siamese_losses
from iscc_lidar.trainer.pretrain.method import Method
from iscc_lidar.trainer.pretrain.samples.cells import number_cells
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, without_ground
from iscc_lidar.trainer.pretrain.student import TwoViewStudent


@dataclass(frozen=True)
class VolumeConfig:
    """The cubes of space that are pooled."""

    edge_m: float = option(
        1.0, "edge of a cube, metres: about the size of a part of a car [ours]", at_least=0.01, at_most=1000
    )

    def __post_init__(self) -> None:
        check_ranges(self, "volumes")


@dataclass(frozen=True)
class SsplConfig(SiameseConfig):
    """Options of SSPL."""

    method: MethodConfig = section(MethodConfig, name="sspl")
    volumes: VolumeConfig = section(VolumeConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment.rotate_groups > 0:
            raise ValueError(
                "method.name=sspl cuts a sweep into cubes, in which all must stay: set augment.rotate_groups=0"
            )


def shared_volumes(config: SsplConfig, pair: Pair, rng: np.random.Generator) -> Regions:
    """Cut the sweep into cubes from a random corner on, ground included; draw some that both views see enough of."""
    edge_m = config.volumes.edge_m
    xyz1, xyz2 = (_in_sensor_frame(view) for view in (pair.view1, pair.view2))
    label1, label2 = number_cells(xyz1, xyz2, rng.random(3) * edge_m, edge_m)
    shared = shared_groups(label1, label2, config.data.min_group_points)
    return without_ground(label1, label2, np.sort(rng.permutation(shared)[: config.contrast.matches]))


def _in_sensor_frame(view: View) -> NDArray[np.float32]:
    """Return points [N, 3] in the sensor's frame, which both views share."""
    return apply_affine(np.linalg.inv(view.view_T_sensor).astype(np.float64), view.xyz)


METHOD: Final = Method(
    title="SSPL",
    about="SSPL (Zhang, Bai, Li; NeurIPS 2022), reconstructed from its abstract",
    region="volume",
    config=SsplConfig,
    regions=shared_volumes,
    student=TwoViewStudent.of,
    losses=siamese_losses,
    has_teacher=False,
)
