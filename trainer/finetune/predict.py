"""Apply a fine-tuned network to sweeps that it never saw, with or without labels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import own_folder
from iscc_lidar.shared.cache.source import SweepSource
from iscc_lidar.shared.layouts.layout import find_layout
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.finetune.score import Predicting, Task, TunedNetwork, load_tuned, name_predictions
from iscc_lidar.trainer.finetune.tasks import TASKS
from iscc_lidar.trainer.hardware.device import Compute, DeviceName
from iscc_lidar.trainer.run.loop import compute_of
from iscc_lidar.trainer.run.run import open_run


@dataclass(frozen=True)
class Predicted:
    """How many sweeps were predicted, in how many seconds; names of those without a valid point, by their places."""

    sweeps: int
    seconds: float
    skipped: Mapping[Place, str]


def open_tuned(
    folder: Path, compute: Compute | None = None, device: DeviceName | None = None
) -> tuple[Task, TunedNetwork]:
    """Load the network of a fine-tuned run of any task, see ``load_tuned``; ``device`` replaces that of its options.

    Raises UserError for any other folder.
    """
    run = open_run(folder)
    if run.task not in TASKS:
        raise UserError(
            f"{folder}: a run of {run.task}, which predicts nothing; fine-tune it first: iscc-train finetune semseg "
            f"--encoder {folder} ..."
        )
    task = TASKS[run.task]
    if device is not None:
        compute = compute_of(dataclasses.replace(run.config(task.config).train, device=device))
    return task, load_tuned(task, run, compute)


@torch.no_grad()
def predict_run(
    task: Task,
    tuned: TunedNetwork,
    source: SweepSource,
    places: Sequence[Place],
    out: Path,
    root: Path | None = None,
    average: bool = False,
) -> Predicted:
    """Predict sweeps with a fine-tuned network, and write the results in the layout of their dataset.

    A sweep of which no point is valid is left out, and so are those that the dataset's benchmark does not score.
    Each file is written in one step, and replaces one that is there.

    Args:
        task: of the run.
        tuned: its network.
        source: reads the sweeps.
        places: which ones; those of a sequence one after the other.
        out: folder to write into; missing, empty or with predictions of this network.
        root: folder of the dataset, for layouts that need it.
        average: average predictions with those of their groups, of which ``source`` must be a cache.

    Raises:
        UserError: other classes, no sweep, or ``out`` has other files or predictions of another network.
    """
    folder = own_folder(out, "predictions", name_predictions(tuned.name, average=average))
    places = _scored(source, places, root)
    if not places:
        raise UserError(f"{source.path}: has no sweep to predict")
    task.refuse_other(tuned.run, source)
    folder.remove_torn()
    start = time.monotonic()
    to = Predicting(source, places, folder, root, average)
    task.predict(tuned, to)
    return Predicted(len(places) - len(to.skipped), time.monotonic() - start, to.skipped)


def _scored(source: SweepSource, places: Sequence[Place], root: Path | None) -> Sequence[Place]:
    """Leave out sweeps that no prediction would be written for; the folder of the dataset tells which."""
    unscored = find_layout(source.manifest.dataset).unscored
    if unscored is None or root is None:
        return places
    left_out = unscored(root)
    names = {sequence: source.sweep_names(sequence) for sequence in {sequence for sequence, _ in places}}
    return [(sequence, index) for sequence, index in places if (sequence, names[sequence][index]) not in left_out]
