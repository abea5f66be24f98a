"""What a method is, and how one is found: by the name of its module here, which defines METHOD."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from torch import Tensor, nn

from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.heads import HeadConfig
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.methods.options import MethodName
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions
from iscc_lidar.trainer.pretrain.student import GroupEncoder


@dataclass(frozen=True)
class Loss:
    """A part of the loss.

    Attributes:
        mean: scalar with gradient, mean over this process's regions or queries of the batch.
        over: which of the two, so that it can be weighed among those of the whole step.
        weight: in the sum of the parts.
    """

    mean: Tensor
    over: Literal["regions", "queries"] = "regions"
    weight: float = 1.0


@dataclass(frozen=True)
class StepResult:
    """Outcome of a batch.

    Attributes:
        losses: its parts, by the names that they are logged under.
        remembered: what the memory is refreshed with, rows of all processes, in the order of its arguments.
        health: figures over all processes, scalars without gradient.
    """

    losses: Mapping[str, Loss]
    remembered: tuple[Tensor, ...]
    health: Mapping[str, Tensor]


@dataclass(frozen=True)
class Method:
    """A method of pre-training; all else is shared: encoder, views, loader, loop, evaluation.

    Attributes:
        title: its usual name; about: its long name and where it was published.
        region: what is pooled, in a word.
        regions: finds them in a pair of views.
        student: makes the network that is trained by gradient.
        memory: makes what is kept from step to step, at its start.
        step: the losses of a batch from student, teacher and memory; changes nothing but batch-norm statistics.
        has_teacher: whether a momentum encoder makes the features of the second view.
    """

    title: str
    about: str
    region: str
    regions: Callable[[PretrainConfig, Pair, np.random.Generator], Regions]
    student: Callable[[ModelConfig, HeadConfig, Compute], GroupEncoder]
    memory: Callable[[PretrainConfig], Memory]
    step: Callable[[nn.Module, GroupEncoder, Any, Batch, PretrainConfig], StepResult]
    has_teacher: bool = True


def find_method(name: MethodName) -> Method:
    """The method of a name."""
    return cast(Method, importlib.import_module(f"iscc_lidar.trainer.pretrain.methods.{name}").METHOD)
