"""PointContrast (Xie, Gu, Guo, Qi, Guibas, Litany; ECCV 2020): points that are the same in two views, by PointInfoNCE.

Its views are two depth images of a room that overlap; ours are one sweep, augmented twice, so that which points match
is known. Its features come straight from the network; ours pass the projection head, as for every method here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import section
from iscc_lidar.trainer.data.augment import View
from iscc_lidar.trainer.pretrain.config import MethodConfig
from iscc_lidar.trainer.pretrain.losses.siamese import ContrastConfig, SiameseConfig, siamese_losses
from iscc_lidar.trainer.pretrain.method import Method
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, without_ground
from iscc_lidar.trainer.pretrain.student import TwoViewStudent


@dataclass(frozen=True)
class PointContrastConfig(SiameseConfig):
    """Options of PointContrast."""

    method: MethodConfig = section(MethodConfig, name="pointcontrast")
    contrast: ContrastConfig = section(ContrastConfig, temperature=0.07, negatives="batch")


def matched_points(config: PointContrastConfig, pair: Pair, rng: np.random.Generator) -> Regions:
    """Draw points that both views kept, no two of them in one voxel of either view.

    Points of one voxel have one feature: they could not be distinguished.
    """
    _, at1, at2 = np.intersect1d(pair.view1.source, pair.view2.source, assume_unique=True, return_indices=True)
    order = rng.permutation(len(at1))
    for at, voxels in ((at1, pair.voxels1), (at2, pair.voxels2)):
        _, first = np.unique(voxels.of_point[at[order]], return_index=True)
        order = order[np.sort(first)]
    order = order[: config.contrast.matches]
    ids = np.arange(len(order), dtype=np.int32)
    return without_ground(_numbered(pair.view1, at1[order]), _numbered(pair.view2, at2[order]), ids)


def _numbered(view: View, points: NDArray[np.int64]) -> NDArray[np.int32]:
    label = np.full(len(view.xyz), -1, np.int32)
    label[points] = np.arange(len(points))
    return label


METHOD: Final = Method(
    title="PointContrast",
    about="PointContrast (Xie, Gu, Guo, Qi, Guibas, Litany; ECCV 2020)",
    region="point",
    config=PointContrastConfig,
    regions=matched_points,
    student=TwoViewStudent.of,
    losses=siamese_losses,
    has_teacher=False,
)
