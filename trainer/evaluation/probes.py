"""Probes of frozen voxel features: a logistic regression, and a vote of the nearest labelled voxels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.voxelize import Voxels, considered
from iscc_lidar.trainer.evaluation.frozen import voxel_features, voxelize_sweep
from iscc_lidar.trainer.evaluation.scores import SegmentationScore, count_confusion, score, semantic
from iscc_lidar.trainer.pretrain.config import PretrainConfig

# V voxels, M samples, D channels, C classes of the manifest, 0 unlabelled

_LBFGS_ITERATIONS: Final = 100
_L2: Final = 1e-4

_MAX_SIMILARITIES: Final = 1 << 24
"""Similarities in memory at once, 64 MB."""


@dataclass(frozen=True)
class NeighbourConfig:
    """Which neighbours vote, and with which weight; the values of DINO (Caron et al. 2021) but for the cap."""

    k: int = option(20, "neighbours that vote", at_least=1, at_most=10**6)
    temperature: float = option(0.07, "a neighbour's vote is exp(cosine / temperature)", at_least=1e-6, at_most=1e6)
    per_class: int = option(
        500,
        "labelled voxels kept per class, drawn at random: bounds memory and time, and gives rare classes weight",
        at_least=1,
    )

    def __post_init__(self) -> None:
        check_ranges(self, "neighbours")


@dataclass(frozen=True)
class LabelledVoxels:
    """Samples over many sweeps: ``features`` float [M, D], ``target`` int64 [M], class >= 1.

    Each (voxel, class) is one sample, so that near, dense points do not dominate.
    """

    features: Tensor
    target: Tensor


@dataclass(frozen=True)
class LinearProbe:
    """Standardisation and a linear map; class c of the manifest is output c - 1 (0 is unlabelled)."""

    mean: Tensor
    std: Tensor
    linear: nn.Linear

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Predict the class >= 1 of each row of features [V, D], int64 [V]."""
        scores: Tensor = self.linear((features - self.mean) / self.std)
        return scores.argmax(dim=1) + 1


@dataclass(frozen=True)
class NeighbourProbe:
    """Labelled unit features [M, D] and their classes [M]."""

    features: Tensor
    target: Tensor
    config: NeighbourConfig

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Predict the class >= 1 of each row of features [V, D], int64 [V]."""
        chunks = torch.split(features, max(1, _MAX_SIMILARITIES // max(len(self.features), 1)))
        return torch.cat([self._vote(chunk) for chunk in chunks])

    def _vote(self, features: Tensor) -> Tensor:
        similarity = functional.normalize(features, dim=1) @ self.features.T
        cosine, row = similarity.topk(min(self.config.k, len(self.features)), dim=1)
        # Less the largest: the same order of votes, and no overflow at small temperatures.
        weight = ((cosine - cosine[:, :1]) / self.config.temperature).exp()
        votes = weight.new_zeros(len(features), int(self.target.max()) + 1)
        return votes.scatter_add(1, self.target[row], weight).argmax(dim=1)


def labelled_voxels(
    encoder: nn.Module, config: PretrainConfig, sweeps: Sequence[CachedSweep], voxels: Sequence[Voxels], classes: int
) -> LabelledVoxels:
    """Collect the samples of labelled sweeps and their voxels. Raises UserError where no point has a class."""
    features, target = [], []
    for sweep, of_sweep in zip(sweeps, voxels, strict=True):
        truth = semantic(sweep)[considered(sweep, config.data.max_range_m)].astype(np.int64)
        pair = np.unique((of_sweep.of_point * classes + truth)[truth > 0])
        features.append(voxel_features(encoder, of_sweep)[torch.from_numpy(pair // classes)])
        target.append(torch.from_numpy(pair % classes))
    if not sum(map(len, target)):
        raise UserError("the labelled sweeps have no point with a class; give others by --labelled")
    return LabelledVoxels(torch.cat(features), torch.cat(target))


def fit_linear_probe(labelled: LabelledVoxels, classes: int) -> LinearProbe:
    """Fit on samples; ``classes`` counts the unlabelled one."""
    x = labelled.features
    mean, std = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    return LinearProbe(mean, std, fit_logistic((x - mean) / std, labelled.target - 1, classes - 1))


def fit_logistic(x: Tensor, y: Tensor, classes: int) -> nn.Linear:
    """Fit a multinomial logistic regression with a small L2 term, from zero by L-BFGS: no randomness."""
    linear = nn.Linear(x.shape[1], classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=_LBFGS_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(linear(x), y) + _L2 * linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return linear


def keep_neighbours(labelled: LabelledVoxels, config: NeighbourConfig, seed: int) -> NeighbourProbe:
    """Keep at most ``config.per_class`` samples of each class."""
    rng = np.random.default_rng(seed)
    target = labelled.target.numpy()
    kept = [
        np.sort(rng.permutation(np.flatnonzero(target == c))[: config.per_class]) for c in np.unique(target).tolist()
    ]
    chosen = torch.from_numpy(np.concatenate(kept))
    return NeighbourProbe(functional.normalize(labelled.features[chosen], dim=1), labelled.target[chosen], config)


def score_probes(
    encoder: nn.Module,
    config: PretrainConfig,
    probes: Mapping[str, LinearProbe | NeighbourProbe],
    cache: Cache,
    sweeps: Iterable[CachedSweep],
) -> dict[str, SegmentationScore]:
    """Score probes on every point of sweeps of a cache.

    Points that the network does not see (out of range) count as missed where they have a class.
    """
    names = cache.manifest.class_names
    counts = {name: np.zeros((len(names), len(names)), np.int64) for name in probes}
    for sweep in sweeps:
        voxels = voxelize_sweep(sweep, config)
        features = voxel_features(encoder, voxels)
        keep = considered(sweep, config.data.max_range_m)
        for name, probe in probes.items():
            predicted = np.zeros(len(sweep.xyz), np.int64)
            predicted[keep] = probe.predict(features).numpy()[voxels.of_point]
            counts[name] += count_confusion(semantic(sweep), predicted, len(names))
    return {name: score(count, names, cache.manifest.dataset) for name, count in counts.items()}
