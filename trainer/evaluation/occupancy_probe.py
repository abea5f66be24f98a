"""Occupancy on unseen streets against floors that need no encoder: the commoner class, distance, line of sight."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.augment import NO_AUGMENTATION
from iscc_lidar.trainer.evaluation.frozen import spread_sweeps
from iscc_lidar.trainer.evaluation.hidden_answers import answer_hidden
from iscc_lidar.trainer.evaluation.linear_probe import fit_logistic
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import to_ray_axes
from iscc_lidar.trainer.pretrain.samples.sample import draw_view
from iscc_lidar.trainer.pretrain.student import Student

_RANKS = (1, 2, 4, 8, 16)
_AT_ONCE = 64
"""Queries compared with all points at once: 80 MB with 100,000 points."""


@dataclass(frozen=True)
class Answers:
    """Queries over many sweeps.

    Attributes:
        occupied: bool [Q], the truth; answer: bool [Q], the decoder's.
        distance: float [Q, 5], to the n-th nearest visible points, metres.
        sight: float [Q, 3], offset to the voxel that answers, along, across and above the line of sight, metres.
    """

    occupied: NDArray[np.bool_]
    answer: NDArray[np.bool_]
    distance: NDArray[np.float64]
    sight: NDArray[np.float64]


def occupancy_probe(
    student: Student, config: IsccConfig, train: Cache, val: Cache, sweeps: int, seed: int
) -> dict[str, dict[str, float]]:
    """Accuracy and balanced accuracy on ``val`` of the decoder and of the floors; floors are fitted on ``train``.

    ``student`` must be in evaluation mode.
    """
    fitted, scored = (ask_hidden(student, config, cache, sweeps, seed) for cache in (train, val))
    common = bool(fitted.occupied.mean() > 0.5)
    threshold, below = best_threshold(fitted.distance[:, 0], fitted.occupied)
    return {
        "decoder": score(scored.answer, scored.occupied),
        "commoner class": score(np.full(len(scored.occupied), common), scored.occupied),
        "distance threshold": score((scored.distance[:, 0] <= threshold) == below, scored.occupied),
        "distance logistic": score(_logistic(fitted.occupied, fitted.distance, scored.distance), scored.occupied),
        "line-of-sight logistic": score(_logistic(fitted.occupied, fitted.sight, scored.sight), scored.occupied),
    }


def ask_hidden(student: Student, config: IsccConfig, cache: Cache, sweeps: int, seed: int) -> Answers:
    """Hide crops in sweeps spread over a cache and ask the decoder the queries inside them."""
    parts: list[Answers] = []
    places = tqdm(spread_sweeps(cache, sweeps, seed), desc="occupancy probe", unit="sweep", leave=False)
    for number, place in enumerate(places):
        rng = np.random.default_rng([seed, number])
        sweep = cache.sweep(*place)
        full = draw_view(sweep, config.data, NO_AUGMENTATION, rng)
        hidden = answer_hidden(student, config, full, sweep.queries, rng)
        sight = to_ray_axes(hidden.voxel_xyz - hidden.xyz, hidden.xyz).astype(np.float64)
        distance = nearest_points(hidden.xyz, full.xyz[hidden.crops.visible])
        parts.append(Answers(hidden.occupied, hidden.answer, distance, sight))
    answers = Answers(
        *(np.concatenate([getattr(p, field.name) for p in parts]) for field in dataclasses.fields(Answers))
    )
    if len(answers.occupied) == 0:
        raise UserError(f"{cache.path}: no occupancy query lies in any crop; preprocess with queries")
    return answers


def nearest_points(query: NDArray[np.float32], xyz: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distances of queries [Q, 3] to their 1st, 2nd, 4th, 8th and 16th nearest points [N, 3], metres, float [Q, 5]."""
    found = np.zeros((len(query), len(_RANKS)))
    ranks = np.minimum(np.array(_RANKS), len(xyz)) - 1
    for start in range(0, len(query), _AT_ONCE):
        part = query[start : start + _AT_ONCE]
        distance = np.linalg.norm(part[:, None] - xyz[None], axis=2)
        found[start : start + _AT_ONCE] = np.partition(distance, np.unique(ranks), axis=1)[:, ranks]
    return found


def best_threshold(distance: NDArray[np.float64], occupied: NDArray[np.bool_]) -> tuple[float, bool]:
    """The threshold t and the side (true: d <= t is occupied) that answer most of [Q] queries rightly."""
    order = np.argsort(distance)
    # After the first n in order: occupied among them plus free among the rest are right if near means occupied.
    ranked = occupied[order]
    right = np.concatenate([[0], np.cumsum(ranked)]) + np.concatenate([np.cumsum(~ranked[::-1])[::-1], [0]])
    edges = np.concatenate([[-np.inf], distance[order]])
    apart = np.append(edges[:-1] < edges[1:], True)  # no threshold parts equal distances
    right, edges = right[apart], edges[apart]
    best, worst = int(right.argmax()), int(right.argmin())
    below = bool(right[best] >= len(occupied) - right[worst])
    return float(edges[best if below else worst]), below


def score(answer: NDArray[np.bool_], occupied: NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy, and the mean of the accuracies on occupied and on free queries."""
    right = answer == occupied
    return {"accuracy": float(right.mean()), "balanced": float((right[occupied].mean() + right[~occupied].mean()) / 2)}


def _logistic(
    occupied: NDArray[np.bool_], known: NDArray[np.float64], unknown: NDArray[np.float64]
) -> NDArray[np.bool_]:
    mean, std = known.mean(axis=0), known.std(axis=0) + 1e-6
    x, unseen = (torch.from_numpy((values - mean) / std).float() for values in (known, unknown))
    linear = fit_logistic(x, torch.from_numpy(occupied.astype(np.int64)), 2)
    with torch.no_grad():
        answer: NDArray[np.bool_] = linear(unseen).argmax(dim=1).numpy() == 1
    return answer
