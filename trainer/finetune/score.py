"""Predict the sweeps of a cache with a fine-tuned run, and score the predictions."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from tqdm import tqdm

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.own import OwnFolder, own_folder
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.source import SweepSource
from iscc_lidar.shared.cache.sweep import CachedSweep, SweepField
from iscc_lidar.trainer.data.places import Place, listed_places
from iscc_lidar.trainer.finetune.learner import FinetuneLearner
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.loop import compute_of
from iscc_lidar.trainer.run.run import Run, open_run
from iscc_lidar.trainer.run.weights import load_weights

T = TypeVar("T")


@dataclass(frozen=True)
class Scoring:
    """A fine-tuned network, sweeps to score it on, and folders to write into.

    Attributes:
        network: in evaluation mode on ``device``.
        config: options of its run.
        predictions: folder for the predictions; None writes none.
        root: folder of the dataset, for layouts that need it.
        pictures: None without matplotlib, which the scores do not need.
        average: whether predictions are also averaged with those of their groups.
    """

    cache: Cache
    places: Sequence[Place]
    network: Any
    config: Any
    device: torch.device
    predictions: OwnFolder | None
    root: Path | None
    pictures: Path | None
    average: bool = False

    def sweeps(self) -> Iterator[tuple[int, Place, Path | None]]:
        """Yield number and place of each sweep, and for the one in the middle the folder for pictures."""
        for number, place in enumerate(tqdm(self.places, desc="score", unit="sweep", leave=False)):
            yield number, place, self.pictures if number == len(self.places) // 2 else None

    def facts(self) -> dict[str, object]:
        """Return what the JSON file of each task records."""
        return {"cache": str(self.cache.path), "sweeps": len(self.places)}


@dataclass(frozen=True)
class TunedNetwork:
    """The network of a fine-tuned run, in evaluation mode on ``device``; ``config`` are the run's options.

    ``name`` tells it from other networks, see ``name_network``.
    """

    run: Run
    name: str
    network: Any
    config: Any
    device: torch.device


@dataclass(frozen=True)
class Predicting:
    """Sweeps to predict, and where to.

    Attributes:
        source: reads the sweeps.
        places: which ones.
        folder: for the predictions.
        root: folder of the dataset, for layouts that need it.
        average: whether predictions are averaged with those of their groups.
        skipped: those that were left out so far, by place, and their names: no point of them is valid.
    """

    source: SweepSource
    places: Sequence[Place]
    folder: OwnFolder
    root: Path | None
    average: bool = False
    skipped: dict[Place, str] = field(default_factory=dict)

    def sweeps(self, without: Collection[SweepField]) -> Iterator[CachedSweep]:
        """Yield the sweeps that have a valid point, read without some fields."""
        for place in self.bar(self.places):
            sweep = self.source.sweep(*place, without=without)
            if self.has_points(sweep):
                yield sweep

    def bar(self, sweeps: Iterable[T]) -> Iterable[T]:
        """Show the progress of something that is done for each sweep."""
        shown: Iterable[T] = tqdm(sweeps, total=len(self.places), desc="predict", unit="sweep")
        return shown

    def has_points(self, sweep: CachedSweep) -> bool:
        """Return whether a point of a sweep is valid, and note it where none is."""
        if sweep.xyz.any():
            return True
        self.skipped[sweep.sequence, sweep.index] = sweep.name
        return False


@dataclass(frozen=True)
class Task:
    """A task of fine-tuning.

    Attributes:
        title: its name in prose.
        config: type of its options.
        recipes: folder of its recipes.
        learner: trains the network.
        new_network: makes the network of a run. Raises UserError where its options are damaged.
        refuse_other: raises UserError where sweeps are not of the run's classes.
        score: predicts and scores sweeps, and returns the content of ``score_file``.
        predict: predicts sweeps, and writes the results into a folder.
        table: formats that content.
    """

    title: str
    config: type[Any]
    recipes: Path
    learner: type[FinetuneLearner]
    new_network: Callable[[Run, Any, Compute], nn.Module]
    refuse_other: Callable[[Run, SweepSource], None]
    score: Callable[[Scoring], dict[str, Any]]
    predict: Callable[[TunedNetwork, Predicting], None]
    score_file: str
    table: Callable[[Mapping[str, Any]], str]


def load_tuned(task: Task, run: Run, compute: Compute | None = None) -> TunedNetwork:
    """Load the network of a run, where and how ``compute`` says, by default as the run's options do.

    Raises UserError where the weights are missing or damaged, or the machine lacks what the options require.
    """
    config = run.config(task.config)
    compute = compute or compute_of(config.train)
    network, weights = task.new_network(run, config, compute), task.learner.network_file
    load_weights(run.folder, network, weights)
    name = name_network(run.folder / weights)
    return TunedNetwork(run, name, network.to(compute.device).eval(), config, compute.device)


def name_network(weights: Path) -> str:
    """Name a network by the digest of its file, as the mark of a folder of predictions does."""
    return f"a network with SHA-256 {files.sha256(weights)}"


def name_predictions(network: str, *, average: bool) -> str:
    """Name what predictions are of, for the mark of their folder."""
    return f"{network}, averaged over groups" if average else network


@torch.no_grad()
def score_run(
    task: Task,
    folder: Path,
    cache_path: Path | str,
    listed: Path | None = None,
    predictions: Path | None = None,
    root: Path | None = None,
    average: bool = False,
) -> dict[str, Any]:
    """Predict sweeps with a fine-tuned run and score them; write a JSON file and pictures into the run's folder.

    The sweeps are all that have labels, or those in the list ``listed``. For the others see Scoring.
    Returns the content of the JSON file.
    """
    cache, run = Cache(cache_path), open_run(folder, task.learner.task)
    task.refuse_other(run, cache)
    tuned = load_tuned(task, run)
    out = (
        None
        if predictions is None
        else own_folder(predictions, "predictions", name_predictions(tuned.name, average=average))
    )
    places = listed_places(cache, listed) if listed is not None else task.learner.labelled_sweeps(cache)
    if out is not None:
        out.remove_torn()
    pictures = folder if importlib.util.find_spec("matplotlib") else None
    content = task.score(
        Scoring(cache, places, tuned.network, tuned.config, tuned.device, out, root, pictures, average)
    )
    files.write_text(folder / task.score_file, json.dumps(content, indent=1) + "\n")
    return content
