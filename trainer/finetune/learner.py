"""Fine-tuning on few labels as a learner of the training loop; each task adds its samples, network and losses.

New layers are trained alone at first, then together with the pre-trained ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from torch import nn

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, names_of
from iscc_lidar.trainer.finetune.encoder import Encoder
from iscc_lidar.trainer.finetune.labels import choose_labelled
from iscc_lidar.trainer.finetune.spread import SpreadTraining, open_spread
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.run.folder import Input, RunPlan, cache_input
from iscc_lidar.trainer.run.learner import Learner, ParameterGroup, Trainables, WeightFile
from iscc_lidar.trainer.run.options import TaskName

LABELLED_FILE: Final = "labelled.txt"


class TaskNetwork(nn.Module):
    """A network with a backbone."""

    encoder: SparseUNet


class FinetuneLearner(Learner):
    """Fine-tuning; subclasses define a task, with its data, counts and losses.

    Attributes:
        cache, places: labelled sweeps.
        config: options, with the sections model, labels and train among others.
        encoder: pre-trained backbone; None trains from scratch.
        available: number of sweeps that have labels, in use or not.
        listed, among: lists of sweeps that were given, see ``of``.
        spread: labels that were spread from these sweeps to others; None trains on the labelled ones alone.
        trained_on: sweeps for training: ``places``, or all that have spread labels.
    """

    task: ClassVar[TaskName]
    network_file: ClassVar[str]
    labelled_sweeps: Callable[[Cache], list[Place]]
    """Lists all sweeps that have labels of the task. Raises UserError where none has."""

    def __init__(
        self,
        cache: Cache,
        places: Sequence[Place],
        config: Any,
        encoder: Encoder | None = None,
        available: int | None = None,
        listed: Path | None = None,
        among: Path | None = None,
        spread: SpreadTraining | None = None,
    ) -> None:
        self.cache, self.places, self.encoder = cache, places, encoder
        self.config = config if encoder is None else dataclasses.replace(config, model=encoder.model)
        self.available = len(places) if available is None else available
        self.listed, self.among = listed, among
        self.spread = None if spread is None else spread.labels
        self.trained_on = places if spread is None else spread.places
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
        return cls(cache, places, config, encoder, available, listed, among)

    @classmethod
    def of_spread(
        cls,
        cache_path: Path | str,
        config: Any,
        spread: Path | str,
        encoder: Encoder | None = None,
        scored: tuple[str, Path | None] | None = None,
        among: Path | None = None,
    ) -> FinetuneLearner:
        """Train on labels that were spread from a few sweeps of a cache to all sweeps of their sequences.

        Args:
            cache_path: cache with the training sweeps.
            config: the task's options.
            spread: OUT of ``iscc-cache spread``.
            encoder: see FinetuneLearner.
            scored: cache and list of the sweeps on which the result will be scored: spread labels of these are not
                used, also where they are in another cache.
            among: list of the sweeps whose spread labels are used; None uses all.

        Raises:
            UserError: no cache, no spread labels of it, or a list that does not fit.
        """
        cache = Cache(cache_path)
        training = open_spread(cache, spread, scored, cls.labelled_sweeps, among)
        return cls(cache, training.labelled, config, encoder, training.available, among=among, spread=training)

    @abstractmethod
    def check_labels(self) -> None:
        """Raise UserError where the sweeps in use have no label of any class to learn; reads tables only."""

    @abstractmethod
    def header(self) -> Mapping[str, object]:
        """Return the options in the header of the weight file, from which the network can be rebuilt."""

    @abstractmethod
    def new_network(self, compute: Compute) -> TaskNetwork:
        """Make the network with new weights."""

    @cached_property
    def plan(self) -> RunPlan:
        """See ``Learner``."""
        self.check_labels()
        manifest, names = self.cache.manifest, ["/".join(name) for name in names_of(self.cache, self.places)]
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
        labelled = Input("list of labelled sweeps", f"{len(names)} sweeps", "labelled_sha256", digest)
        scratch = Input("encoder", "none, from scratch", "encoder_sha256", "")
        inputs = [cache_input(self.cache), labelled, self.encoder.as_input() if self.encoder else scratch]
        facts: dict[str, Any] = {"dataset": manifest.dataset, "class_names": list(self.class_names)}
        data = f"{manifest.dataset}, {len(self.places)} labelled sweeps of {self.available}"
        if self.spread is not None:
            inputs.append(Input("spread labels", self.spread.path, "spread_sha256", self.spread.digest))
            facts |= {"spread_points": self.spread.points(), "spread_boxes": self.spread.box_counts()}
            data += f", labels spread to {len(self.trained_on)} sweeps: {self.spread_amount}"
        texts = {LABELLED_FILE: "\n".join([f"# labelled sweeps of {self.cache.path}", *names, ""])}
        return RunPlan(
            self.task, self.config, self.steps, inputs, facts, (self.network_file,), data, texts, self._command
        )

    @property
    @abstractmethod
    def spread_amount(self) -> str:
        """Number of the labels that were spread, for messages."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of its labels, the first for unlabelled."""
        return (self.cache if self.spread is None else self.spread).manifest.class_names

    @property
    def _command(self) -> list[str]:
        given = {
            "--labelled": self.listed,
            "--among": self.among,
            "--spread": None if self.spread is None else self.spread.path,
            "--encoder": None if self.encoder is None else self.encoder.path,
        }
        words = [word for flag, path in given.items() if path is not None for word in (flag, str(path))]
        return ["finetune", self.task, "--train-cache", self.cache.path, *words]

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

    def weights(self, network: nn.Module, step: int) -> Mapping[str, WeightFile]:
        """See ``Learner``."""
        return {self.network_file: WeightFile(network.state_dict(), {"step": step, **self.header()})}
