"""Interface of a pre-training method. Backbone, views, loader, loop and evaluation are the same for all methods.

A method is a module in methods/ that defines METHOD; it is found by its name, see docs/adding-a-method.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

import numpy as np
from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions
from iscc_lidar.trainer.pretrain.samples.sample import SampleOptions
from iscc_lidar.trainer.pretrain.student import GroupEncoder
from iscc_lidar.trainer.run.learner import BatchResult

C = TypeVar("C", bound=PretrainConfig)
_METHODS: Final = "methods"
"""Package beside this module; nothing here imports it: its modules import this one."""


def plain_samples(config: PretrainConfig) -> SampleOptions:
    """Return how samples are made without masks and occupancy queries."""
    return SampleOptions(config.model.voxel_size, config.data, config.augment, config.voxel_samples)


def no_memory(_: PretrainConfig) -> Memory:
    """Return a memory that keeps nothing."""
    return Memory()


@dataclass(frozen=True)
class Method(Generic[C]):
    """A method of pre-training.

    Attributes:
        title: its usual name; about: its long name and where it was published.
        region: what is pooled, in a word.
        config: its options, a subclass of PretrainConfig whose defaults are the method as documented.
        regions: finds what is pooled in a pair of views.
        student: makes the network that is trained by gradient.
        losses: computes the losses of a batch from student, teacher and memory, and what the memory is refreshed with;
            changes nothing but batch-norm statistics.
        memory: makes what is kept from step to step, at its start.
        samples: returns how training samples are made.
        has_teacher: whether a momentum encoder makes the features of the second view; its options are then the section
            ``teacher``, a TeacherConfig.
    """

    title: str
    about: str
    region: str
    config: type[C]
    regions: Callable[[C, Pair, np.random.Generator], Regions]
    student: Callable[[C, Compute], GroupEncoder]
    losses: Callable[[nn.Module, GroupEncoder, Any, Batch, C], BatchResult]
    memory: Callable[[C], Memory] = no_memory
    samples: Callable[[C], SampleOptions] = plain_samples
    has_teacher: bool = True


def method_names() -> list[str]:
    """List the names of all methods."""
    return sorted(path.stem for path in (Path(__file__).parent / _METHODS).glob("[a-z]*.py"))


def find_method(name: str) -> Method[Any]:
    """Find a method by its name. Raises UserError for an unknown one."""
    if name not in method_names():
        raise UserError(f"method.name={name}: no such method; there are {', '.join(method_names())}")
    return cast(Method[Any], importlib.import_module(f".{_METHODS}.{name}", __package__).METHOD)
