"""What differs between the tasks that an encoder is fine-tuned for: all that ``loop.finetune`` asks of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import Dataset

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.model.unet import SparseUNet


class TaskNetwork(nn.Module):
    """A network on an encoder."""

    encoder: SparseUNet


class Learner(Protocol):
    """A task with the sweeps that it learns from."""

    @property
    def dataset(self) -> Dataset[Any]:
        """Makes a sample of a SampleKey; picklable."""

    @property
    def collate(self) -> Callable[[list[Any]], Any]:
        """Joins samples to a batch, which is Mappable; picklable."""

    def told(self) -> Mapping[str, object]:
        """What config.json says besides the options."""

    def about(self) -> Mapping[str, object]:
        """What the head of the file of weights says, by which the network can be made again."""

    def new_network(self, compute: Compute) -> TaskNetwork:
        """A network with new weights."""

    def loss(self, network: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and figures over all processes; gradients are averaged over the processes."""


@dataclass(frozen=True)
class Task:
    """What an encoder is fine-tuned for.

    Attributes:
        network_file: name of the file of weights in OUT.
        labelled: places of all sweeps of a cache that have labels of this kind. Raises UserError where none has.
        begin: makes a Learner of a cache, places in it, and the task's options with the encoder's shape.
    """

    network_file: str
    labelled: Callable[[Cache], list[Place]]
    begin: Callable[[Cache, Sequence[Place], Any], Learner]
