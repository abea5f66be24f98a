"""F_g, the global prototypes: how teacher features are assigned to them, and how they follow the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.pretrain.losses.memory import Memory, push

# Dimensions: C prototypes, D feature channels, K groups of the batch, R recent features.


@dataclass(frozen=True)
class PrototypeConfig:
    """Clustering of all groups into C prototypes."""

    count: int = option(100, "C, the rows of F_g [ours; 200 as option]", at_least=1, at_most=100_000)
    temperature: float = option(0.1, "tau of the student's softmax [ours]", at_least=1e-6, at_most=1e6)
    assign: Literal["sinkhorn", "softmax", "argmax"] = option(
        "sinkhorn", "how y follows from f2 . F_g: balanced, soft, or nearest [ours: balance prevents collapse]"
    )
    epsilon: float = option(
        0.05, "entropy weight of sinkhorn and temperature of softmax [ours, SwAV]", at_least=1e-6, at_most=1e6
    )
    iterations: int = option(3, "sinkhorn iterations [ours, SwAV]", at_least=0, at_most=1000)
    buffer_size: int = option(
        2048,
        "recent f2 that take part in sinkhorn, so that small batches stay balanced [ours]",
        at_least=1,
        at_most=10**7,
    )
    momentum: float = option(
        0.99,
        "F_g keeps this much of itself at each refresh [ours]; a run of a few hundred steps needs 0.9 to keep up",
        at_least=0,
        at_most=1,
    )
    reseed_after: int = option(
        100, "steps without a group before a row restarts from a recent f2 [ours]; 0 never", at_least=0
    )
    seed_noise: float = option(
        0.3, "length of the noise added to a unit f2 where a row starts from one", at_least=0, at_most=1e6
    )

    def __post_init__(self) -> None:
        check_ranges(self, "prototypes")


class Prototypes(Memory):
    """F_g and the buffers around it."""

    centres: Tensor
    recent: Tensor
    filled: Tensor
    cursor: Tensor
    idle: Tensor
    refreshes: Tensor

    def __init__(self, config: PrototypeConfig, channels: int, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        centres = functional.normalize(torch.randn(config.count, channels, generator=generator), dim=1)
        self.register_buffer("centres", centres)
        self.register_buffer("recent", torch.zeros(config.buffer_size, channels))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))
        self.register_buffer("idle", torch.zeros(config.count, dtype=torch.int64))
        self.register_buffer("refreshes", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def assign(self, f2: Tensor) -> Tensor:
        """Assign teacher features [K, D] to prototypes: rows y of [K, C], each summing to one."""
        if self.config.assign == "argmax":
            return functional.one_hot((f2 @ self.centres.T).argmax(dim=1), len(self.centres)).to(f2.dtype)
        if self.config.assign == "softmax":
            return functional.softmax(f2 @ self.centres.T / self.config.epsilon, dim=1)
        both = torch.cat([f2, self.recent[: int(self.filled)]])
        return sinkhorn(both @ self.centres.T / self.config.epsilon, self.config.iterations)[: len(f2)]

    @torch.no_grad()
    def refresh(self, f2: Tensor, target: Tensor) -> None:
        """Move each prototype towards the mean of the f2 [K, D] that ``target`` [K, C] assigns to it [authors]."""
        if len(f2) == 0:
            return
        generator = torch.Generator().manual_seed(self.seed + int(self.refreshes))
        if int(self.filled) == 0:  # the first features ever: all rows start among them
            self._seed_rows(torch.ones_like(self.idle, dtype=torch.bool), f2, generator)
        mass = target.sum(dim=0)
        mean = target.T @ f2 / mass.clamp(min=1e-6)[:, None]
        # A row that got next to nothing of this batch hardly moves.
        rate = (1 - self.config.momentum) * mass.clamp(max=1.0)[:, None]
        self.centres.copy_(functional.normalize((1 - rate) * self.centres + rate * mean, dim=1))
        push(self.recent, self.filled, self.cursor, f2)
        self._restart_idle_rows(target, generator)
        self.refreshes += 1

    @torch.no_grad()
    def used(self) -> Tensor:
        """Count the prototypes that are nearest to at least one recent feature."""
        nearest = (self.recent[: int(self.filled)] @ self.centres.T).argmax(dim=1)
        return (torch.bincount(nearest, minlength=len(self.centres)) > 0).sum()

    def _restart_idle_rows(self, target: Tensor, generator: torch.Generator) -> None:
        self.idle += 1
        self.idle[target.argmax(dim=1)] = 0
        if self.config.reseed_after > 0:
            self._seed_rows(self.idle >= self.config.reseed_after, self.recent[: int(self.filled)], generator)

    def _seed_rows(self, rows: Tensor, features: Tensor, generator: torch.Generator) -> None:
        count = int(rows.sum())
        pick = torch.randint(len(features), (count,), generator=generator).to(features.device)
        noise = functional.normalize(torch.randn(count, features.shape[1], generator=generator), dim=1).to(features)
        self.centres[rows] = functional.normalize(features[pick] + self.config.seed_noise * noise, dim=1)
        self.idle[rows] = 0


def sinkhorn(logits: Tensor, iterations: int) -> Tensor:
    """Compute a balanced soft assignment (Cuturi 2013, as in SwAV): prototypes get equal mass, then rows sum to one.

    Args:
        logits: float [N, C], similarity over epsilon.
        iterations: rounds of column and row normalisation.

    Returns:
        float [N, C], rows sum to one.
    """
    if len(logits) == 0:
        return logits
    # In logarithms: exp(1 / 0.05) is harmless, a smaller epsilon would overflow.
    log_q = logits
    for _ in range(iterations):
        log_q = log_q - log_q.logsumexp(dim=0, keepdim=True)
        log_q = log_q - log_q.logsumexp(dim=1, keepdim=True)
    return log_q.exp() if iterations else functional.softmax(logits, dim=1)
