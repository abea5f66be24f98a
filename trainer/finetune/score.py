"""Predict the sweeps of a cache with a fine-tuned run, and score the predictions."""

from __future__ import annotations

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import torch
from tqdm import tqdm

from iscc_lidar.shared.base import files
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, listed_places
from iscc_lidar.trainer.finetune.learner import FinetuneLearner, TaskNetwork
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.loop import compute_of
from iscc_lidar.trainer.run.run import Run, open_run
from iscc_lidar.trainer.run.weights import load_weights

Writer = Callable[..., None] | None
"""Writes the prediction of a sweep; None writes none."""


class Scorer(ABC):
    """What a task adds to ``score_run``.

    Attributes:
        cache: of the sweeps.
        config: options of the run.
        network: of the run, in evaluation mode on ``device``.
        pictures: folder for pictures; None without matplotlib, which the scores do not need.
    """

    learner: ClassVar[type[FinetuneLearner]]
    config_type: ClassVar[type[Any]]
    score_file: ClassVar[str]
    network: TaskNetwork

    def __init__(self, run: Run, cache: Cache) -> None:
        self.cache = cache
        self.config = run.config(self.config_type)
        self.pictures = run.folder if importlib.util.find_spec("matplotlib") else None
        compute = compute_of(self.config.train)
        self.device = compute.device
        self.network = self.new_network(run, compute)
        load_weights(run.folder, self.network, self.learner.network_file)
        self.network.to(self.device).eval()

    @abstractmethod
    def new_network(self, run: Run, compute: Compute) -> TaskNetwork:
        """Make the run's network. Raises UserError where the cache does not fit."""

    @abstractmethod
    def open_predictions(self, folder: Path | None, root: Path | None) -> AbstractContextManager[Writer]:
        """Start to write predictions into a folder, None without one. ``root`` is the dataset's folder."""

    @abstractmethod
    def add(self, number: int, place: Place, write: Writer, pictures: Path | None) -> None:
        """Predict the sweep at a place and count it; draw it where a folder for pictures is given."""

    @abstractmethod
    def content(self, facts: Mapping[str, object]) -> dict[str, Any]:
        """Return scores and facts for the JSON file."""

    @staticmethod
    @abstractmethod
    def table(content: Mapping[str, Any]) -> str:
        """Format the scores of a JSON file as a table."""


@torch.no_grad()
def score_run(
    scorer_type: type[Scorer],
    folder: Path,
    cache_path: Path | str,
    listed: Path | None = None,
    predictions: Path | None = None,
    root: Path | None = None,
) -> dict[str, Any]:
    """Predict sweeps with a fine-tuned run, and score them.

    Writes the task's JSON file and pictures into the run's folder; one picture is of the sweep in the middle.

    Args:
        scorer_type: of the run's task.
        folder: of the run.
        cache_path: cache of the sweeps.
        listed: list of the sweeps; by default all that have labels.
        predictions: folder for the predictions; None writes none.
        root: folder of the dataset, for layouts that need it.

    Returns:
        The content of the JSON file.
    """
    cache = Cache(cache_path)
    scorer = scorer_type(open_run(folder, scorer_type.learner.task), cache)
    places = listed_places(cache, listed) if listed is not None else scorer.learner.labelled_sweeps(cache)
    with scorer.open_predictions(predictions, root) as write:
        for number, place in enumerate(tqdm(places, desc="score", unit="sweep", leave=False)):
            scorer.add(number, place, write, scorer.pictures if number == len(places) // 2 else None)
    content = scorer.content({"cache": str(cache.path), "sweeps": len(places)})
    files.write_text(folder / scorer.score_file, json.dumps(content, indent=1) + "\n")
    return content
