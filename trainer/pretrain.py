"""The pre-training loop.

    iscc-train pretrain --cache CACHE --out OUT [--resume] [--recipe NAME] [--set section.key=value]

On one CPU or one GPU by the same code. A run that is interrupted and resumed gives, on a CPU, the same
weights bit for bit: order, pairs, augmentations and crops are functions of (seed, epoch, sample), and the
checkpoint holds the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import torch
from tqdm import tqdm

from iscc_lidar.shared.cache_reader import Cache, use_fast_codecs
from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer import checkpoint, run_folder
from iscc_lidar.trainer.checkpoint import TrainState
from iscc_lidar.trainer.config import PretrainConfig, TrainConfig
from iscc_lidar.trainer.data.batch import Batch
from iscc_lidar.trainer.data.dataset import batches
from iscc_lidar.trainer.iscc_step import StepResult, iscc_step
from iscc_lidar.trainer.metrics import MetricsLog
from iscc_lidar.trainer.schedule import learning_rate
from iscc_lidar.trainer.teacher import follow, momentum_at

_MACHINE_THREADS: Final = torch.get_num_threads()


def pretrain(
    cache_path: Path, out: Path, config: PretrainConfig, *, resume: bool = False, overwrite: bool = False
) -> bool:
    """Train, or go on training, in ``out``. Returns False where the run was finished already."""
    cache = Cache(cache_path)
    start = run_folder.prepare(out, config, cache, resume, overwrite)
    if start >= config.train.steps:
        return False
    use_fast_codecs()
    device = pick_device(config.train.device)
    # One core is the loader's: on two, a second thread for the network made a step no faster.
    torch.set_num_threads(max(1, _MACHINE_THREADS - 1))
    state = checkpoint.new_state(config, device)
    if start > 0:
        checkpoint.restore(out, state)
    log = MetricsLog(out, state.step, config.train.tensorboard)
    try:
        _loop(cache, out, config, state, device, log)
    finally:
        log.close()
    return True


def _loop(
    cache: Cache, out: Path, config: PretrainConfig, state: TrainState, device: torch.device, log: MetricsLog
) -> None:
    train = config.train
    with _progress(train, state.step) as bar:
        for batch in _told_plainly(batches(cache, config, state.step)):
            result = train_step(state, batch.to(device), config)
            if state.step % train.log_every == 0 or state.step == train.steps - 1:
                figures = {name: float(value) for name, value in result.parts.items()}
                log.write(state.step, figures)
                bar.set_postfix({k.removeprefix("loss_"): f"{v:.3f}" for k, v in figures.items() if "loss" in k})
            state.step += 1
            bar.update(train.batch_size)
            if state.step % train.checkpoint_every == 0 or state.step == train.steps:
                checkpoint.save(out, state, config)


def train_step(state: TrainState, batch: Batch, config: PretrainConfig) -> StepResult:
    """One step of the method: loss and gradient, then F_g, then theta, then m."""
    train, step = config.train, state.step
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, train.steps, train.learning_rate)
    result = iscc_step(state.student, state.teacher, state.prototypes, batch, config.loss, config.local)
    state.optimizer.zero_grad(set_to_none=True)
    result.loss.backward()  # type: ignore[no-untyped-call]
    length = torch.nn.utils.clip_grad_norm_(state.student.parameters(), train.clip_norm or math.inf)
    _stop_if_not_finite(step, result, length, batch)
    state.prototypes.refresh(result.f2, result.target)
    state.optimizer.step()
    follow(state.teacher, state.student, momentum_at(step, train.steps, config.teacher))
    result.parts["gradient_norm"] = length
    return result


def pick_device(name: str) -> torch.device:
    """Turn auto, cpu or cuda into a device. Raises UserError where CUDA is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device=cuda: PyTorch finds no CUDA device; use train.device=cpu or install a CUDA build")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _stop_if_not_finite(step: int, result: StepResult, gradient: torch.Tensor, batch: Batch) -> None:
    if bool(torch.isfinite(result.loss) & torch.isfinite(gradient)):
        return
    losses = ", ".join(f"{k} {float(v):.4g}" for k, v in result.parts.items() if k.startswith("loss"))
    sweeps = "; ".join(f"{i} with {j}" for i, j in batch.names)
    raise UserError(
        f"step {step}: {losses}, gradient norm {float(gradient):.4g}: not finite. Sweeps of this step: "
        f"{sweeps}. Look at those sweeps, or lower train.learning_rate; the last checkpoint is whole"
    )


def _told_plainly(loader: Iterable[Batch]) -> Iterator[Batch]:
    """Pass batches on; a loader process's UserError comes wrapped in its stack trace: unwrap it."""
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).rsplit("UserError: ", 1)[-1].strip()) from None


def _progress(train: TrainConfig, start: int) -> tqdm[NoReturn]:
    return tqdm(
        total=train.steps * train.batch_size,
        initial=start * train.batch_size,
        unit=" samples",
        desc="pretrain",
        dynamic_ncols=True,
        mininterval=0.5,
    )
