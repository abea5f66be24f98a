"""Linear probe: a logistic regression on frozen voxel features, scored on every point of unseen streets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from iscc_lidar.shared.cache_reader import Cache, CachedSweep
from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.sample import considered
from iscc_lidar.trainer.data.voxelize import Voxels
from iscc_lidar.trainer.evaluation.frozen import Place, calibrate, see, voxel_features

_LBFGS_ITERATIONS = 100
_L2 = 1e-4


@dataclass(frozen=True)
class Classifier:
    """Standardisation and a linear map; class c of the data is output c - 1 (0 is unlabelled)."""

    mean: Tensor
    std: Tensor
    linear: nn.Linear

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Class index (>= 1) of each row of features [V, D]."""
        scores: Tensor = self.linear((features - self.mean) / self.std)
        return scores.argmax(dim=1) + 1


def linear_probe(
    encoder: nn.Module,
    config: PretrainConfig,
    train: Cache,
    labelled_places: Sequence[Place],
    val: Cache,
    val_places: Sequence[Place],
) -> dict[str, float]:
    """Fit on labelled sweeps of ``train``, score on sweeps of ``val``; places are (sequence, index).

    Returns:
        IoU of each class that occurs in ``val``, and "mIoU", their mean. Points with a class that the
        network does not see (out of range) count as missed.
    """
    labelled = [train.sweep(*place) for place in labelled_places]
    seen = [see(sweep, config) for sweep in labelled]
    calibrate(encoder, seen)
    names = train.manifest.class_names
    classifier = fit(encoder, config, labelled, seen, len(names))
    places = tqdm(val_places, desc="linear probe", unit="sweep", leave=False)
    unseen = (val.sweep(*place) for place in places)
    counts = confusion(encoder, config, classifier, unseen, len(names))
    ious = class_iou(counts)
    return {names[c]: v for c, v in ious.items()} | {"mIoU": float(np.mean(list(ious.values())))}


def fit(
    encoder: nn.Module, config: PretrainConfig, sweeps: list[CachedSweep], seen: list[Voxels], classes: int
) -> Classifier:
    """Fit a classifier; each (voxel, class) counts once, so that near, dense points do not drown the rest."""
    features, target = [], []
    for sweep, voxels in zip(sweeps, seen, strict=True):
        truth = semantic(sweep)[considered(sweep, config.data.max_range_m)].astype(np.int64)
        pair = np.unique((voxels.of_point * classes + truth)[truth > 0])
        features.append(voxel_features(encoder, voxels)[torch.from_numpy(pair // classes)])
        target.append(torch.from_numpy(pair % classes - 1))
    x, y = torch.cat(features), torch.cat(target)
    mean, std = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    return Classifier(mean, std, fit_logistic((x - mean) / std, y, classes - 1))


def fit_logistic(x: Tensor, y: Tensor, classes: int) -> nn.Linear:
    """Multinomial logistic regression with a small L2 term, from zero by L-BFGS: no randomness."""
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


def confusion(
    encoder: nn.Module, config: PretrainConfig, classifier: Classifier, sweeps: Iterable[CachedSweep], classes: int
) -> NDArray[np.int64]:
    """Count points by (true class, predicted class), int64 [classes, classes], over sweeps in full."""
    counts = np.zeros((classes, classes), np.int64)
    for sweep in sweeps:
        voxels = see(sweep, config)
        predicted = np.zeros(len(sweep.xyz), np.int64)
        of_voxel = classifier.predict(voxel_features(encoder, voxels)).numpy()
        predicted[considered(sweep, config.data.max_range_m)] = of_voxel[voxels.of_point]
        np.add.at(counts, (semantic(sweep), predicted), 1)
    return counts


def class_iou(counts: NDArray[np.int64]) -> dict[int, float]:
    """IoU of each class that occurs; unlabelled ground truth (row 0) is left out."""
    counts = counts.copy()
    counts[0] = 0
    hit, truth, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return {c: float(hit[c] / (truth[c] + predicted[c] - hit[c])) for c in range(1, len(counts)) if truth[c] > 0}


def semantic(sweep: CachedSweep) -> NDArray[np.uint8]:
    """Classes of a sweep's points. Raises UserError where the cache has none."""
    if sweep.semantic is None:
        raise UserError(f"sequence {sweep.sequence}: the cache holds no semantic classes, which a linear probe needs")
    return sweep.semantic
