"""Predicted occupancy of masked surface, scored against baselines that need no backbone."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import Queries
from iscc_lidar.trainer.data.augment import NO_AUGMENTATION, View
from iscc_lidar.trainer.data.voxelize import voxelize
from iscc_lidar.trainer.evaluation.frozen import spread_sweeps, voxel_features
from iscc_lidar.trainer.evaluation.probes import fit_logistic
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.samples.masking import MaskedBalls, MaskingConfig, draw_masked_balls
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import sample_queries, to_ray_axes
from iscc_lidar.trainer.pretrain.samples.sample import draw_view
from iscc_lidar.trainer.pretrain.student import Student

# Q queries, N points

_RANKS: Final = np.array([1, 2, 4, 8, 16])
_QUERIES_AT_ONCE: Final = 64
"""Queries compared with all points at once: 80 MB with 100,000 points."""


class MaskedPredictions(NamedTuple):
    """Queries in the masked balls of one view.

    Attributes:
        balls: the masked ones.
        xyz: float32 [Q, 3], the queries, metres, view frame; ball: int64 [Q], the ball of each.
        voxel_xyz: float32 [Q, 3], mean point of the voxel that each is evaluated from.
        occupied: bool [Q], the truth; predicted: bool [Q], the network's prediction.
    """

    balls: MaskedBalls
    xyz: NDArray[np.float32]
    ball: NDArray[np.int64]
    voxel_xyz: NDArray[np.float32]
    occupied: NDArray[np.bool_]
    predicted: NDArray[np.bool_]


class _ScoredQueries(NamedTuple):
    """Queries over many sweeps.

    Attributes:
        occupied: bool [Q], the truth; predicted: bool [Q], by the decoder.
        distance: float [Q, 5], to the n-th nearest visible points, metres.
        sight: float [Q, 3], offset to the query's voxel, along, across and above the line of sight, metres.
    """

    occupied: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    distance: NDArray[np.float64]
    sight: NDArray[np.float64]


@torch.no_grad()
def predict_masked(
    student: Student, config: IsccConfig, full: View, stored: Queries, rng: np.random.Generator
) -> MaskedPredictions:
    """Mask balls of a view, and predict the stored queries inside them by the student, in evaluation mode.

    As many balls as in training, or the default where nothing was masked in training.
    """
    masking = replace(config.masking, per_sweep=config.masking.per_sweep or MaskingConfig().per_sweep)
    balls = draw_masked_balls(full, masking, rng)
    view = full.select(balls.visible)
    voxels = voxelize(view.xyz, view.intensity, config.model.voxel_size)
    queries = sample_queries(stored, view.view_T_sensor, voxels, config.occupancy, rng)
    h = voxel_features(student.encoder, voxels)
    logit = student.decoder(h, torch.from_numpy(queries.voxel), torch.from_numpy(queries.offset)).numpy()
    ball = balls.containing(queries.xyz, queries.group)
    masked = np.flatnonzero(ball >= 0)
    voxel_xyz = voxels.xyz[queries.voxel[masked]]
    predicted = logit[masked] > 0
    return MaskedPredictions(balls, queries.xyz[masked], ball[masked], voxel_xyz, queries.occupied[masked], predicted)


def occupancy_probe(
    student: Student, config: IsccConfig, train: Cache, val: Cache, sweeps: int, seed: int
) -> dict[str, dict[str, float]]:
    """Score the decoder and the baselines on ``val`` by accuracy and balanced accuracy; ``train`` fits the baselines.

    ``student`` must be in evaluation mode.
    """
    fitted, scored = (_predict_sweeps(student, config, cache, sweeps, seed) for cache in (train, val))
    common = bool(fitted.occupied.mean() > 0.5)
    threshold, below = best_threshold(fitted.distance[:, 0], fitted.occupied)
    predictions = {
        "decoder": scored.predicted,
        "commoner class": np.full(len(scored.occupied), common),
        "distance threshold": (scored.distance[:, 0] <= threshold) == below,
        "distance logistic": _logistic(fitted.occupied, fitted.distance, scored.distance),
        "line-of-sight logistic": _logistic(fitted.occupied, fitted.sight, scored.sight),
    }
    return {name: score(predicted, scored.occupied) for name, predicted in predictions.items()}


def _predict_sweeps(student: Student, config: IsccConfig, cache: Cache, sweeps: int, seed: int) -> _ScoredQueries:
    parts: list[_ScoredQueries] = []
    places = tqdm(spread_sweeps(cache, sweeps, seed), desc="occupancy probe", unit="sweep", leave=False)
    for number, place in enumerate(places):
        rng = np.random.default_rng([seed, number])
        sweep = cache.sweep(*place)
        full = draw_view(sweep, config.data, NO_AUGMENTATION, rng)
        found = predict_masked(student, config, full, sweep.queries, rng)
        sight = to_ray_axes(found.voxel_xyz - found.xyz, found.xyz).astype(np.float64)
        distance = nearest_points(found.xyz, full.xyz[found.balls.visible])
        parts.append(_ScoredQueries(found.occupied, found.predicted, distance, sight))
    queries = _ScoredQueries(*map(np.concatenate, zip(*parts, strict=True)))
    if len(queries.occupied) == 0:
        raise UserError(f"{cache.path}: no occupancy query lies in any masked ball; preprocess with queries")
    return queries


def nearest_points(query: NDArray[np.float32], xyz: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure distances of queries [Q, 3] to their 1st, 2nd, 4th, 8th and 16th nearest points [N, 3]: m, [Q, 5]."""
    found = np.zeros((len(query), len(_RANKS)))
    ranks = np.minimum(_RANKS, len(xyz)) - 1
    for start in range(0, len(query), _QUERIES_AT_ONCE):
        part = query[start : start + _QUERIES_AT_ONCE]
        distance = np.linalg.norm(part[:, None] - xyz[None], axis=2)
        found[start : start + _QUERIES_AT_ONCE] = np.partition(distance, np.unique(ranks), axis=1)[:, ranks]
    return found


def best_threshold(distance: NDArray[np.float64], occupied: NDArray[np.bool_]) -> tuple[float, bool]:
    """Find the threshold t and the side (true: d <= t is occupied) that predict most of [Q] queries correctly."""
    order = np.argsort(distance)
    # After the first n in order: occupied among them plus free among the rest are right if near means occupied.
    ranked = occupied[order]
    right = np.concatenate([[0], np.cumsum(ranked)]) + np.concatenate([np.cumsum(~ranked[::-1])[::-1], [0]])
    edges = np.concatenate([[-np.inf], distance[order]])
    apart = np.append(edges[:-1] < edges[1:], True)  # no threshold separates equal distances
    right, edges = right[apart], edges[apart]
    best, worst = int(right.argmax()), int(right.argmin())
    below = bool(right[best] >= len(occupied) - right[worst])
    return float(edges[best if below else worst]), below


def score(predicted: NDArray[np.bool_], occupied: NDArray[np.bool_]) -> dict[str, float]:
    """Return the accuracy, and the mean of the accuracies on occupied and on free queries."""
    right = predicted == occupied
    return {"accuracy": float(right.mean()), "balanced": float((right[occupied].mean() + right[~occupied].mean()) / 2)}


def _logistic(
    occupied: NDArray[np.bool_], known: NDArray[np.float64], unknown: NDArray[np.float64]
) -> NDArray[np.bool_]:
    mean, std = known.mean(axis=0), known.std(axis=0) + 1e-6
    x, unseen = (torch.from_numpy((values - mean) / std).float() for values in (known, unknown))
    linear = fit_logistic(x, torch.from_numpy(occupied.astype(np.int64)), 2)
    with torch.no_grad():
        predicted: NDArray[np.bool_] = linear(unseen).argmax(dim=1).numpy() == 1
    return predicted
