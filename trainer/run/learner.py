"""What the training loop needs to know of a task: its data, its network, its losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, nn

from iscc_lidar.trainer.data.dataset import SweepDataset
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.folder import RunPlan

BATCHES: Final = "batches"
"""Count of a loss term that is a mean over micro-batches."""


@dataclass(frozen=True)
class LossTerm:
    """A term of the loss.

    Attributes:
        mean: scalar with gradient, mean over what is counted in this process's micro-batch.
        over: name of that count, see ``Learner.counts``: terms are weighted by their share in the whole step's count.
        weight: in the sum of the terms.
    """

    mean: Tensor
    over: str = BATCHES
    weight: float = 1.0


@dataclass(frozen=True)
class BatchResult:
    """Losses of a micro-batch.

    Attributes:
        terms: of the loss, by the names that they are logged under.
        figures: further figures to log, over all processes, scalars without gradient.
        remembered: rows of all processes for ``Learner.after_step``.
    """

    terms: Mapping[str, LossTerm]
    figures: Mapping[str, Tensor]
    remembered: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with a learning rate of their own: frozen before ``first_step``, then warmed up to ``peak``."""

    parameters: Sequence[nn.Parameter]
    peak: float
    first_step: int = 0


@dataclass(frozen=True)
class Trainables:
    """Networks at step 0.

    Attributes:
        network: trained by gradient.
        groups: its parameters.
        others: further modules that change during training, by their names in the checkpoint.
    """

    network: nn.Module
    groups: Sequence[ParameterGroup]
    others: Mapping[str, nn.Module] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightFile:
    """Weights for other programs: tensors by name, and plain values for the file's header."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, object]


class Learner(ABC):
    """A task with its data and options.

    Attributes:
        collate: joins samples to a batch, a TensorSet, which has ``names`` and describes its size; picklable.
    """

    collate: Callable[[list[Any]], Any]

    @property
    @abstractmethod
    def plan(self) -> RunPlan:
        """The run as its folder records it."""

    @property
    @abstractmethod
    def dataset(self) -> SweepDataset[Any, Any]:
        """The samples."""

    @abstractmethod
    def build(self, compute: Compute) -> Trainables:
        """Make the networks at step 0 on the device; random numbers are seeded."""

    @abstractmethod
    def counts(self, batch: Any) -> Mapping[str, float | Tensor]:
        """Count what the loss terms are means over."""

    @abstractmethod
    def losses(self, network: nn.Module, others: Mapping[str, nn.Module], batch: Any) -> BatchResult:
        """Compute the losses of a micro-batch; ``network`` may be wrapped in DDP."""

    def after_step(  # noqa: B027 - nothing is a valid update
        self, step: int, network: nn.Module, others: Mapping[str, nn.Module], results: Sequence[BatchResult]
    ) -> None:
        """Update what no gradient reaches after the update of step ``step``."""

    @abstractmethod
    def weights(self, network: nn.Module, step: int) -> Mapping[str, WeightFile]:
        """Return the weight files of a checkpoint after ``step`` steps."""
