"""What a pre-training run has learnt, loaded from its folder."""

from __future__ import annotations

from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.learner import HEADS_FILE
from iscc_lidar.trainer.pretrain.losses.prototypes import Prototypes
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig, new_prototypes
from iscc_lidar.trainer.pretrain.student import GroupEncoder
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, read_checkpoint
from iscc_lidar.trainer.run.run import Run
from iscc_lidar.trainer.run.weights import ENCODER_FILE, load_weights


def new_student(config: PretrainConfig) -> GroupEncoder:
    """Make the student of a run with new weights, on the CPU."""
    return find_method(config.method.name).student(config, ON_CPU)


def load_student(run: Run, config: PretrainConfig) -> GroupEncoder:
    """Load the student of a run. Raises UserError where its weight files are missing or damaged."""
    student = new_student(config)
    load_weights(run.folder, student.encoder, ENCODER_FILE)
    heads = {name: part for name, part in student.named_children() if name != "encoder"}
    load_weights(run.folder, nn.ModuleDict(heads), HEADS_FILE)
    return student


def load_prototypes(run: Run, config: IsccConfig) -> Prototypes:
    """Load F_g of an ISCC run from its checkpoint. Raises UserError where it is missing, damaged or of another size."""
    prototypes, content = new_prototypes(config), read_checkpoint(run.folder)
    try:
        prototypes.load_state_dict(content["memory"])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{run.folder / CHECKPOINT_FILE}: holds no prototypes of this run ({error})") from None
    return prototypes
