"""The loop of every training run: step, log, save, and end in order when asked to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from torch import Tensor
from tqdm import tqdm

from iscc_lidar.trainer.data.loader import unwrap_worker_errors, worker_death_to_user_error
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import oom_to_user_error
from iscc_lidar.trainer.run.metrics import MetricsLog
from iscc_lidar.trainer.run.stop_signal import StoppedError, stop_requests

B = TypeVar("B")


@dataclass(frozen=True)
class Length:
    """How far a loop goes and how often it tells and saves: see the options of the same names."""

    steps: int
    batch_size: int
    log_every: int
    checkpoint_every: int


def run_steps(
    name: str,
    first: int,
    length: Length,
    batches: Generator[list[B]],
    step: Callable[[int, list[B]], Mapping[str, Tensor]],
    save: Callable[[int], None],
    log: MetricsLog,
) -> None:
    """Take steps ``first`` up to the end.

    Args:
        name: of the work, for the progress bar.
        first: the first step.
        length: see Length.
        batches: this process's micro-batches of each step.
        step: takes a step; gives its figures, scalars.
        save: writes a checkpoint after so many steps; only the main process calls it.
        log: where figures go.

    Raises:
        StoppedError: a signal asked to stop; the checkpoint is that of the last step.
        UserError: memory or a loader process gave out.
    """
    with (
        oom_to_user_error(),
        worker_death_to_user_error(),
        stop_requests() as asked_to_stop,
        closing(batches) as loader,
        _progress(name, first, length) as bar,
    ):
        for number, micro_batches in enumerate(unwrap_worker_errors(loader), start=first):
            figures = step(number, micro_batches)
            if number % length.log_every == 0 or number == length.steps - 1:
                values = {key: float(value) for key, value in figures.items()}
                log.write(number, values)
                bar.set_postfix({k.removeprefix("loss_"): f"{v:.3f}" for k, v in values.items() if "loss" in k})
            done = number + 1
            bar.update(length.batch_size)
            stop = distributed.max_over_ranks(asked_to_stop()) if done < length.steps else 0
            if distributed.is_main() and (stop or done % length.checkpoint_every == 0 or done == length.steps):
                log.sync()
                save(done)
            if stop:
                raise StoppedError(stop, done)


def _progress(name: str, first: int, length: Length) -> tqdm[NoReturn]:
    return tqdm(
        total=length.steps * length.batch_size,
        initial=first * length.batch_size,
        unit=" samples",
        desc=name,
        dynamic_ncols=True,
        disable=not distributed.is_main(),
    )
