"""The pre-training loop.

    iscc-train pretrain --cache CACHE --out OUT [--resume] [--recipe NAME] [--set section.key=value]
    torchrun --nproc-per-node 8 --no-python iscc-train pretrain ...

On a CPU, one GPU or several by the same code. A run that is stopped or killed and then resumed gives, on a CPU,
the same weights and the same log bit for bit: order, pairs, augmentations and crops are functions of
(seed, epoch, sample), and the checkpoint holds the rest.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import Share
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import Compute, choose_compute, leave_a_core
from iscc_lidar.trainer.pretrain import checkpoint
from iscc_lidar.trainer.pretrain.config import PretrainConfig, TrainConfig
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.dataset import batches
from iscc_lidar.trainer.pretrain.train_step import train_step
from iscc_lidar.trainer.run import run_folder
from iscc_lidar.trainer.run.loop import Length, run_steps
from iscc_lidar.trainer.run.metrics import MetricsLog
from iscc_lidar.trainer.run.run_folder import RunPlan
from iscc_lidar.trainer.run.weights import ENCODER_FILE


def pretrain(
    cache_path: Path | str, out: Path, config: PretrainConfig, *, resume: bool = False, overwrite: bool = False
) -> bool:
    """Train, or go on training, in ``out``. Returns False where the run was finished already.

    Raises:
        StoppedError: a signal asked to stop; the checkpoint is that of the last step.
        UserError: the options, the cache, the folder or the machine do not allow it, or the run failed.
    """
    cache = Cache(cache_path)
    train = config.train
    compute = choose_compute(train.device, train.engine, train.precision, train.recompute)
    with distributed.process_group(compute.device):
        start = distributed.broadcast_from_main(lambda: _begin(cache, out, config, compute, resume, overwrite))
        if start >= train.steps:
            return False
        leave_a_core()
        state = checkpoint.new_state(config, compute)
        if start > 0:
            checkpoint.restore(out, state)
        share = share_of_this_process(train)
        network = distributed.wrap_ddp(state.student)
        length = Length(train.steps, train.batch_size, train.log_every, train.checkpoint_every)

        def step(_: int, micro_batches: list[Batch]) -> dict[str, Tensor]:
            figures = train_step(state, network, micro_batches, config)
            state.step += 1
            return figures

        with MetricsLog(out if distributed.is_main() else None, start, train.tensorboard) as log:
            loader = batches(cache, config, start, share, compute.device)
            run_steps("pretrain", start, length, loader, step, lambda _: checkpoint.save(out, state, config), log)
    return True


def _begin(cache: Cache, out: Path, config: PretrainConfig, compute: Compute, resume: bool, overwrite: bool) -> int:
    """What the main process does first for all: its refusals are told once."""
    share_of_this_process(config.train)
    return run_folder.prepare(out, plan(config, cache, compute), resume, overwrite)


def plan(config: PretrainConfig, cache: Cache, compute: Compute) -> RunPlan:
    """The run as its folder knows it."""
    told = {"dataset": cache.manifest.dataset, "started_on": compute.told()}
    inputs = [run_folder.cache_input(cache)]
    return RunPlan(config, config.train.steps, inputs, told, (ENCODER_FILE, checkpoint.HEADS_FILE))


def share_of_this_process(train: TrainConfig) -> Share:
    """Which part of each step is this process's. Raises UserError where a step cannot be cut into equal parts."""
    parts = train.micro_batches * distributed.world_size()
    if train.batch_size % parts != 0:
        raise UserError(
            f"train.batch_size={train.batch_size}, the pairs of a step over all processes, cannot be cut evenly among "
            f"{distributed.world_size()} processes and {train.micro_batches} micro-batches; set it to a multiple of {parts}"
        )
    return Share(train.micro_batches, distributed.rank(), distributed.world_size())
