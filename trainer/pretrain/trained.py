"""What a pre-training run has learnt, loaded from its folder."""

from __future__ import annotations

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
from iscc_lidar.trainer.run.tensors import check_tensors, shapes_of
from iscc_lidar.trainer.run.weights import ENCODER_FILE, read_weights, refuse_other_weights


def new_student(config: PretrainConfig) -> GroupEncoder:
    """Make the student of a run with new weights, on the CPU."""
    return find_method(config.method.name).student(config, ON_CPU)


def load_student(run: Run, config: PretrainConfig) -> GroupEncoder:
    """Load the student of a run. Raises UserError where its weight files are missing or damaged."""
    weights = {f"encoder.{name}": tensor for name, tensor in read_weights(run.folder / ENCODER_FILE)[0].items()}
    weights |= read_weights(run.folder / HEADS_FILE)[0]
    refuse_other_weights(run.folder, weights, shapes_of(lambda: new_student(config)))
    student = new_student(config)
    student.load_state_dict(weights)
    return student


def load_prototypes(run: Run, config: IsccConfig) -> Prototypes:
    """Load F_g of an ISCC run from its checkpoint. Raises UserError where it is missing, damaged or of another size."""
    content = read_checkpoint(run.folder)
    try:
        check_tensors(content["memory"], shapes_of(lambda: new_prototypes(config)))
        prototypes = new_prototypes(config)
        prototypes.load_state_dict(content["memory"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{run.folder / CHECKPOINT_FILE}: holds no prototypes of this run ({error})") from None
    return prototypes
