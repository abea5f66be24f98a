"""Fine-tuning on few labels as a learner of the training loop; each task adds its samples, network and losses.

New layers are trained alone at first, then together with the pre-trained ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from torch import Tensor, nn
from torch.utils.data import Dataset

from iscc_lidar.shared.cache.label_fractions import write_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, names_of
from iscc_lidar.trainer.finetune.encoder import Encoder
from iscc_lidar.trainer.finetune.labels import choose_labelled
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.run.folder import Input, cache_input
from iscc_lidar.trainer.run.learner import BatchResult, ParameterGroup, Trainables, WeightFile
from iscc_lidar.trainer.run.options import TaskName

LABELLED_FILE: Final = "labelled.txt"


class TaskNetwork(nn.Module):
    """A network with a backbone."""

    encoder: SparseUNet


class FinetuneLearner(ABC):
    """See ``run.learner.Learner``; subclasses define a task.

    Attributes:
        cache, places: sweeps for training.
        config: options, with the sections model, labels and train among others.
        encoder: pre-trained backbone; None trains from scratch.
        available: number of sweeps that have labels, in use or not.
    """

    task: ClassVar[TaskName]
    network_file: ClassVar[str]
    collate: Callable[[list[Any]], Any]
    labelled_sweeps: Callable[[Cache], list[Place]]
    """Lists all sweeps that have labels of the task. Raises UserError where none has."""

    def __init__(
        self,
        cache: Cache,
        places: Sequence[Place],
        config: Any,
        encoder: Encoder | None = None,
        available: int | None = None,
    ) -> None:
        self.cache, self.places, self.encoder = cache, places, encoder
        self.config = config if encoder is None else dataclasses.replace(config, model=encoder.model)
        self.available = len(places) if available is None else available
        self.steps = config.train.steps_for(len(places), self.available)

    @classmethod
    def of(
        cls,
        cache_path: Path | str,
        config: Any,
        encoder: Encoder | None = None,
        listed: Path | None = None,
        among: Path | None = None,
    ) -> FinetuneLearner:
        """Choose the labelled sweeps of a cache.

        Args:
            cache_path: cache with the training sweeps.
            config: the task's options.
            encoder: see FinetuneLearner.
            listed: list of the labelled sweeps; None draws them.
            among: list of the sweeps to draw from; None draws from all.

        Raises:
            UserError: no cache, no labels, or a list that does not fit.
        """
        cache = Cache(cache_path)
        places, available = choose_labelled(cache, config.labels, cls.labelled_sweeps, listed, among)
        return cls(cache, places, config, encoder, available)

    @property
    @abstractmethod
    def dataset(self) -> Dataset[Any]:
        """See ``Learner``."""

    @abstractmethod
    def header(self) -> Mapping[str, object]:
        """Return the options in the header of the weight file, from which the network can be rebuilt."""

    @abstractmethod
    def new_network(self, compute: Compute) -> TaskNetwork:
        """Make the network with new weights."""

    @abstractmethod
    def counts(self, batch: Any) -> Mapping[str, float | Tensor]:
        """See ``Learner``."""

    @abstractmethod
    def losses(self, network: nn.Module, others: Mapping[str, nn.Module], batch: Any) -> BatchResult:
        """See ``Learner``."""

    @property
    def weight_files(self) -> Sequence[str]:
        """See ``Learner``."""
        return (self.network_file,)

    def inputs(self) -> Sequence[Input]:
        """See ``Learner``."""
        names = "\n".join("/".join(name) for name in names_of(self.cache, self.places))
        digest = hashlib.sha256(names.encode()).hexdigest()
        labelled = Input("list of labelled sweeps", f"{len(self.places)} sweeps", "labelled_sha256", digest)
        scratch = Input("encoder", "none, from scratch", "encoder_sha256", "")
        return [cache_input(self.cache), labelled, self.encoder.as_input() if self.encoder else scratch]

    def facts(self) -> Mapping[str, object]:
        """See ``Learner``."""
        return {"dataset": self.cache.manifest.dataset}

    def begin(self, out: Path) -> None:
        """Write the list of the labelled sweeps."""
        names = names_of(self.cache, self.places)
        write_list(out / LABELLED_FILE, names, f"labelled sweeps of {self.cache.path}")

    def build(self, compute: Compute) -> Trainables:
        """See ``Learner``. New layers are initialised from the seed."""
        train = self.config.train
        network = self.new_network(compute)
        pretrained = self.encoder.load_into(network.encoder, train.transfer) if self.encoder is not None else []
        network.to(compute.device)
        known = set(map(id, pretrained))
        new = [parameter for parameter in network.parameters() if id(parameter) not in known]
        unfreeze = round(train.freeze_fraction * self.steps)
        old_group = ParameterGroup(pretrained, train.encoder_learning_rate, unfreeze)
        return Trainables(network, [old_group, ParameterGroup(new, train.head_learning_rate)])

    def after_step(  # noqa: B027 - nothing is a valid update
        self, step: int, network: nn.Module, others: Mapping[str, nn.Module], results: Sequence[BatchResult]
    ) -> None:
        """See ``Learner``. Everything is trained by gradient."""

    def weights(self, network: nn.Module, step: int) -> Mapping[str, WeightFile]:
        """See ``Learner``."""
        return {self.network_file: WeightFile(network.state_dict(), {"step": step, **self.header()})}

    def sample_sizes(self) -> Sequence[int]:
        """See ``Learner``."""
        points = {
            (name, sweep): count
            for name in self.cache.sequence_names
            for block in self.cache.blocks(name)
            for sweep, count in zip(*(block.sweeps[c].to_pylist() for c in ("sweep", "points")), strict=True)
        }
        return [points[place] for place in self.places]

    def describe_data(self) -> str:
        """See ``Learner``."""
        return f"{self.cache.manifest.dataset}, {len(self.places)} labelled sweeps of {self.available}"

    def describe_batches(self, batches: Sequence[Any]) -> str:
        """See ``Learner``."""
        return f"{sum(len(batch.coords) for batch in batches):,} voxels"
