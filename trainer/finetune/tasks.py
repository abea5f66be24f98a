"""The tasks of fine-tuning, and how runs of any task, including pre-training, are named and read."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.detection import config as detection
from iscc_lidar.trainer.finetune.detection import detect
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.score import Task
from iscc_lidar.trainer.finetune.semseg import config as semseg
from iscc_lidar.trainer.finetune.semseg import segment
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain import recipe
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.run.run import Run
from iscc_lidar.trainer.run.tensors import shapes_of
from iscc_lidar.trainer.run.weights import ENCODER_FILE, read_header, read_weights, refuse_other_weights

TASKS: Final = {
    "semseg": Task(
        title="semantic segmentation",
        config=semseg.SemsegConfig,
        recipes=semseg.RECIPES,
        learner=SemsegLearner,
        new_network=segment.new_network,
        refuse_other=segment.refuse_other_classes,
        score=segment.score,
        predict=segment.write_predictions,
        score_file="segmentation.json",
        table=segment.table,
    ),
    "detection": Task(
        title="3-D detection",
        config=detection.DetectionConfig,
        recipes=detection.RECIPES,
        learner=DetectionLearner,
        new_network=detect.new_network,
        refuse_other=detect.refuse_none,
        score=detect.score,
        predict=detect.write_predictions,
        score_file="detection.json",
        table=detect.table,
    ),
}


def read_options(run: Run) -> Any:
    """Read the options of a run of any task. Raises UserError where they are damaged."""
    return recipe.config_of(run) if run.task == "pretrain" else run.config(TASKS[run.task].config)


def title_of(run: Run, options: Any) -> str:
    """Describe a run, for example as "pre-trained by ISCC"."""
    if run.task == "pretrain":
        return f"pre-trained by {find_method(options.method.name).title}"
    return f"fine-tuned for {TASKS[run.task].title}"


def weight_file(run: Run) -> str:
    """Return the name of the file with a run's backbone."""
    return ENCODER_FILE if run.task == "pretrain" else TASKS[run.task].learner.network_file


def read_encoder(run: Run, options: Any) -> tuple[dict[str, Tensor], int]:
    """Read a run's backbone, by the names of SparseUNet's state dict, and the step of its checkpoint.

    Raises:
        UserError: no checkpoint yet, or damaged, diverged or foreign weights.
    """
    path = run.folder / weight_file(run)
    if not path.exists():
        raise UserError(
            f"{run.folder}: no {path.name} yet; run the same command with --resume until its first checkpoint"
        )
    step, model = (header := read_header(path)).get("step"), header.get("model")
    if type(step) is not int or not 0 <= step <= run.steps:
        raise UserError(f"{path}: its header has no step; it was not written by iscc-train")
    if isinstance(model, dict) and model.get("voxel_size") != options.model.voxel_size:
        raise UserError(
            f"{path}: made for voxels of {model.get('voxel_size')} m, not of {options.model.voxel_size} m as its run; "
            "it is of another run"
        )
    expected = shapes_of(lambda: SparseUNet(options.model))
    tensors, _ = read_weights(path)
    if run.task != "pretrain":
        tensors = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    refuse_other_weights(path, tensors, expected)
    return {name: tensors[name] for name in expected}, step
