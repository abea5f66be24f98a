"""The tasks of fine-tuning, and what a run of any task, pre-training included, is called and holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.detection import config as detection
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.learner import FinetuneLearner
from iscc_lidar.trainer.finetune.semseg import config as semseg
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain import recipe
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.run.run import Run
from iscc_lidar.trainer.run.weights import ENCODER_FILE, read_weights


@dataclass(frozen=True)
class Task:
    """A task of fine-tuning: its name in prose, options, folder of recipes, learner."""

    title: str
    config: type[Any]
    recipes: Path
    learner: type[FinetuneLearner]


TASKS: Final = {
    "semseg": Task("semantic segmentation", semseg.SemsegConfig, semseg.RECIPES, SemsegLearner),
    "detection": Task("3-D detection", detection.DetectionConfig, detection.RECIPES, DetectionLearner),
}


def read_options(run: Run) -> Any:
    """Read the options of a run of any task. Raises UserError where they are damaged."""
    return recipe.config_of(run) if run.task == "pretrain" else run.config(TASKS[run.task].config)


def title_of(run: Run, options: Any) -> str:
    """Name what a run did, as in "pre-trained by ISCC"."""
    if run.task == "pretrain":
        return f"pre-trained by {find_method(options.method.name).title}"
    return f"fine-tuned for {TASKS[run.task].title}"


def weight_file(run: Run) -> str:
    """Return the name of the file that holds a run's encoder."""
    return ENCODER_FILE if run.task == "pretrain" else TASKS[run.task].learner.network_file


def read_encoder(run: Run, options: Any) -> tuple[dict[str, Tensor], int]:
    """Read a run's encoder and the step of its checkpoint: tensors by the names of SparseUNet's state dict.

    Raises:
        UserError: no checkpoint yet, or damaged, diverged or foreign weights.
    """
    path = run.folder / weight_file(run)
    if not path.exists():
        raise UserError(f"{run.folder}: no {path.name} yet; continue to a checkpoint by the same command with --resume")
    tensors, header = read_weights(path)
    if run.task != "pretrain":
        tensors = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    encoder = SparseUNet(options.model)
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{path}: does not fit the network of its config.json: {error}") from None
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise UserError(f"{path}: {broken[0]} is not finite; the run has diverged, train another one")
    step = header.get("step")
    if not isinstance(step, int):
        raise UserError(f"{path}: its header has no step; it was not written by iscc-train")
    return encoder.state_dict(), step
