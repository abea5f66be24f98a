"""What torchrun runs in test_ranks.py, and what one process does alone to compare: a few steps in float64.

torchrun --nproc-per-node 2 together.py CACHE RECIPE OUT
"""

import dataclasses
import sys
from pathlib import Path

import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.model.batch_norm import BatchNorm
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.pretrain.methods.iscc import LossWeights
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.run.loop import share_of_this_process, step_batches
from iscc_lidar.trainer.run.state import new_state
from iscc_lidar.trainer.run.step import take_step

STEPS = 4
LOSSES = {
    "global": LossWeights(1.0, 0.0, 0.0),
    "local": LossWeights(0.0, 1.0, 0.0),
    "occupancy": LossWeights(0.0, 0.0, 1.0),
    "all": LossWeights(1.0, 1.0, 1.0),
}
METHODS = {
    "segcontrast": "queue.size=150",
    "depthcontrast": "queue.size=150",
    "pointcontrast": "contrast.matches=100",
    "sspl": "contrast.matches=100",
}
"""The other methods, and what makes their steps small."""


def trained(cache: Cache, config: PretrainConfig) -> dict[str, torch.Tensor]:
    """Figures of each step, and all weights, buffers and statistics after them."""
    learner, device = PretrainLearner([cache], config), torch.device("cpu")
    state = new_state(learner, ON_CPU)
    parts = {"network": state.network, **state.others}
    for module in parts.values():
        module.double()
    network = distributed.wrap_ddp(state.network)
    logged: dict[str, torch.Tensor] = {}
    for batches in step_batches(learner, 0, share_of_this_process(config.train), device):
        state.schedule(learner.steps)
        name_of_step = f"of step {state.step}"
        figures = take_step(learner, state, network, [in_float64(batch) for batch in batches], device)
        logged |= {f"{name} {name_of_step}": value.detach().double() for name, value in figures.items()}
    return logged | {f"{part}.{k}": v for part, module in parts.items() for k, v in module.state_dict().items()}


def in_float64(batch: Batch) -> Batch:
    return batch.map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def every_case(cache: Cache, recipe: Path) -> dict[str, dict[str, torch.Tensor]]:
    sizes = ["train.batch_size=4", f"train.steps={STEPS}"]
    config = resolve_pretrain([recipe], sizes)
    results = {name: trained(cache, dataclasses.replace(config, loss=loss)) for name, loss in LOSSES.items()}
    only_local, batch_negatives = LOSSES["local"], LocalConfig(negatives="batch")
    results["local, negatives of the batch"] = trained(
        cache, dataclasses.replace(config, loss=only_local, local=batch_negatives)
    )
    results["two micro-batches"] = trained(cache, resolve_pretrain([recipe], [*sizes, "train.micro_batches=2"]))
    for name, small in METHODS.items():
        results[name] = trained(cache, resolve_pretrain([recipe], [*sizes, f"method.name={name}", small]))
    return results


def contrasted(rows: torch.Tensor) -> torch.Tensor:
    """Gradient of this process's part of rows [N, C] where each is contrasted with all; the first process has none."""
    part = slice(0, len(rows))
    if distributed.world_size() == 2:
        part = slice(0, 0) if distributed.rank() == 0 else slice(0, len(rows))
    mine = rows[part].clone().requires_grad_()
    every = distributed.all_gather_rows_with_grad(mine)
    scene = torch.zeros(len(every), dtype=torch.int64)
    options = LocalConfig(negatives="batch")
    first = distributed.own_slice(len(mine)).start
    local_loss(mine, every, scene, options, torch.arange(first, first + len(mine))).backward()
    return distributed.all_gather_rows(mine.grad)


def normalised(rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """A batch norm's output, gradients and statistics on this process's part of rows [N, C]."""
    norm = BatchNorm(rows.shape[1]).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(rows.shape[1], generator=generator))
    weight_of_row = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    cut = 3  # uneven parts
    part = slice(0, len(rows))
    if distributed.world_size() == 2:
        part = slice(0, cut) if distributed.rank() == 0 else slice(cut, len(rows))
    x = rows[part].clone().requires_grad_()
    y = norm(x)
    (y * weight_of_row[part]).square().sum().backward()
    return {
        "y": distributed.all_gather_rows(y),
        "grad_x": distributed.all_gather_rows(x.grad),
        "grad_weight": distributed.sum_over_ranks(norm.weight.grad),
        "grad_bias": distributed.sum_over_ranks(norm.bias.grad),
        "mean": norm.running_mean,
        "var": norm.running_var,
    }


def some_rows() -> torch.Tensor:
    return torch.randn(11, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def main(cache: str, recipe: str, out: str) -> None:
    with distributed.process_group(torch.device("cpu")):
        mine = torch.full((distributed.rank() * 2, 3), float(distributed.rank()))  # the first process has none
        results = {
            "rows": distributed.all_gather_rows(mine),
            "largest": torch.tensor(distributed.max_over_ranks(15 if distributed.rank() == 1 else 0)),
            "norm": normalised(some_rows()),
            "contrasted": contrasted(some_rows()),
            "steps": every_case(Cache(Path(cache)), Path(recipe)),
        }
        torch.save(results, f"{out}.{distributed.rank()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
