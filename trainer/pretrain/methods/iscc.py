"""Implicit Surface Contrastive Clustering (Zhang, Bai, Li; CVPR 2023), in the order of docs/method.md.

Groups of points are clustered by a teacher's features of them in another sweep; masked surface is distinguished from
free space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.config import check_ranges, option, section
from iscc_lidar.trainer.data.augment import AugmentConfig
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.hardware.distributed import all_gather_rows, own_slice
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.features import begin_teacher_features, cosines, scenes_of_all_ranks
from iscc_lidar.trainer.pretrain.losses.global_clustering import global_loss
from iscc_lidar.trainer.pretrain.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.pretrain.losses.occupancy import occupancy_accuracy, occupancy_loss
from iscc_lidar.trainer.pretrain.losses.prototypes import PrototypeConfig, Prototypes
from iscc_lidar.trainer.pretrain.losses.surroundings import surroundings_loss
from iscc_lidar.trainer.pretrain.method import Method
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.ground_patches import GroundPatchConfig, add_ground_patches
from iscc_lidar.trainer.pretrain.samples.masking import MaskingConfig
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import OccupancyConfig
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, cached_groups
from iscc_lidar.trainer.pretrain.samples.sample import SampleOptions
from iscc_lidar.trainer.pretrain.samples.surroundings import SurroundingsConfig
from iscc_lidar.trainer.pretrain.student import GroupEncoder, Student
from iscc_lidar.trainer.pretrain.teacher import TeacherConfig
from iscc_lidar.trainer.run.learner import BatchResult, LossTerm

# Dimensions: K regions of this process, A regions of all processes, C prototypes, E projected channels, Q queries.


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses; 0 leaves one out, which makes the rows of the authors' ablation."""

    global_weight: float = option(1.0, "weight of global clustering", at_least=0, at_most=1e6)
    local_weight: float = option(1.0, "weight of local contrast", at_least=0, at_most=1e6)
    occupancy_weight: float = option(1.0, "w_o [ours]", at_least=0, at_most=1e6)
    surroundings_weight: float = option(
        0.0, "weight of the cells around voxels, a fourth loss [ours]; the authors have none", at_least=0, at_most=1e6
    )

    def __post_init__(self) -> None:
        check_ranges(self, "loss")


@dataclass(frozen=True)
class IsccConfig(PretrainConfig):
    """Options of ISCC."""

    augment: AugmentConfig = section(AugmentConfig, rotate_groups=0.5)
    masking: MaskingConfig = section(MaskingConfig)
    occupancy: OccupancyConfig = section(OccupancyConfig)
    surroundings: SurroundingsConfig = section(SurroundingsConfig)
    ground_patches: GroundPatchConfig = section(GroundPatchConfig)
    loss: LossWeights = section(LossWeights)
    prototypes: PrototypeConfig = section(PrototypeConfig)
    local: LocalConfig = section(LocalConfig)
    teacher: TeacherConfig = section(TeacherConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(vars(self.loss).values()):
            raise ValueError("all weights of the section loss are 0: nothing would be learnt")


def groups_and_ground(config: IsccConfig, pair: Pair, rng: np.random.Generator) -> Regions:
    """Find the groups of the cache that both views see enough of, and draw ground patches."""
    groups = cached_groups(pair, config.data.min_group_points)
    return add_ground_patches(groups, pair, config.data.min_group_points, config.ground_patches, rng)


def new_prototypes(config: IsccConfig) -> Prototypes:
    """Make F_g at its start."""
    return Prototypes(config.prototypes, config.heads.project_channels, config.train.seed)


def samples(config: IsccConfig) -> SampleOptions:
    """Return how samples are made: masked, and with occupancy queries where these have a weight."""
    occupancy = config.occupancy if config.loss.occupancy_weight > 0 else None
    drawn_by = (config.model.voxel_size, config.data, config.augment, config.voxel_samples)
    return SampleOptions(*drawn_by, config.masking, occupancy, surroundings(config))


def surroundings(config: IsccConfig) -> SurroundingsConfig | None:
    """Return how surroundings are predicted; None where they have no weight."""
    return config.surroundings if config.loss.surroundings_weight > 0 else None


def new_student(config: IsccConfig, compute: Compute) -> Student:
    """Make F_theta with new weights."""
    return Student(config.model, config.heads, config.occupancy.decoder_hidden, surroundings(config), compute)


def iscc_losses(
    student: nn.Module, teacher: GroupEncoder, prototypes: Prototypes, batch: Batch, config: IsccConfig
) -> BatchResult:
    """Compute the losses of a batch; F_g is to be refreshed with f2 [A, E] and its assignment [A, C]."""
    wait_for_teacher = begin_teacher_features(teacher, batch)
    f1, occupied, around = student(batch)
    f2 = all_gather_rows(wait_for_teacher())
    scene, ground = scenes_of_all_ranks(batch), all_gather_rows(batch.ground)
    y = prototypes.assign(f2)

    same, weight = batch.region_of_row + own_slice(len(batch.scene)).start, config.loss
    loss_global = global_loss(f1, prototypes.centres, y, prototypes.config.temperature, same)
    loss_local = local_loss(f1, f2, scene, config.local, same, ground)
    loss_occupancy = occupancy_loss(occupied, batch.occupied)

    figures = agreement(all_gather_rows(f1.detach()), f2, all_gather_rows(same), prototypes)
    answers = all_gather_rows(batch.occupied)
    figures |= occupancy_accuracy(all_gather_rows(occupied.detach()), answers)
    figures["queries"] = torch.tensor(float(len(answers)))
    terms = {
        "loss_global": LossTerm(loss_global, "regions", weight.global_weight),
        "loss_local": LossTerm(loss_local, "regions", weight.local_weight),
        "loss_occupancy": LossTerm(loss_occupancy, "queries", weight.occupancy_weight),
    }
    if around is not None:
        loss_around = surroundings_loss(around, batch.around)
        terms["loss_surroundings"] = LossTerm(loss_around, "surroundings", weight.surroundings_weight)
    return BatchResult(terms, figures, (f2, y))


@torch.no_grad()
def agreement(f1: Tensor, f2: Tensor, same: Tensor, prototypes: Prototypes) -> dict[str, Tensor]:
    """Measure signs of collapse, with those of ``cosines`` and from the same features.

    Returns:
        prototypes_used: prototypes that are nearest to some recent teacher feature.
        agreement: share of voxel samples for which student and teacher have the same nearest prototype.
    """
    agree = (f1 @ prototypes.centres.T).argmax(1) == (f2 @ prototypes.centres.T).argmax(1)[same]
    return {"prototypes_used": prototypes.used(), "agreement": agree.float().mean(), **cosines(f1, f2, same)}


METHOD: Final = Method(
    title="ISCC",
    about="Implicit Surface Contrastive Clustering (Zhang, Bai, Li; CVPR 2023)",
    region="group",
    config=IsccConfig,
    regions=groups_and_ground,
    student=new_student,
    losses=iscc_losses,
    memory=new_prototypes,
    samples=samples,
)
