"""Losses against twins that are written with loops, from the papers' definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from iscc_lidar.trainer.finetune.semseg.loss import class_weights, lovasz_softmax, weighted_cross_entropy


def draw(seed: int, voxels: int = 23, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(voxels, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes + 1, (voxels,), generator=generator)


def slow_cross_entropy(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> float:
    total, mass = 0.0, 0.0
    for row, truth in zip(logits.tolist(), target.tolist(), strict=True):
        if truth == 0:
            continue
        total += float(weight[truth - 1]) * -math.log(math.exp(row[truth - 1]) / sum(math.exp(v) for v in row))
        mass += float(weight[truth - 1])
    return total / mass


def jaccard_loss(mistakes: set[int], truth: set[int]) -> float:
    """Delta_J of a set of mispredicted voxels: 1 - |truth without mistakes| / |truth or mistakes|."""
    return 1 - len(truth - mistakes) / len(truth | mistakes)


def slow_lovasz(logits: torch.Tensor, target: torch.Tensor) -> float:
    """The Lovász extension as a sum over voxels in order of falling error: each error times what its voxel adds."""
    rows = [(row, truth) for row, truth in zip(logits.tolist(), target.tolist(), strict=True) if truth > 0]
    losses = []
    for c in sorted({truth for _, truth in rows}):
        error = []
        for row, truth in rows:
            p = math.exp(row[c - 1]) / sum(math.exp(v) for v in row)
            error.append(1 - p if truth == c else p)
        members = {i for i, (_, truth) in enumerate(rows) if truth == c}
        done: set[int] = set()
        loss = 0.0
        for i in sorted(range(len(rows)), key=lambda i: -error[i]):
            loss += error[i] * (jaccard_loss(done | {i}, members) - jaccard_loss(done, members))
            done.add(i)
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(5))
def test_losses_equal_their_slow_twins(seed: int):
    logits, target = draw(seed)
    weight = torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    total, mass = weighted_cross_entropy(logits, target, torch.ones(len(target)), weight)
    assert float(total / mass) == pytest.approx(slow_cross_entropy(logits, target, weight), rel=1e-9)
    ours = functional.cross_entropy(logits, target - 1, weight, ignore_index=-1)
    assert float(total / mass) == pytest.approx(float(ours), rel=1e-9)
    assert float(lovasz_softmax(logits, target)) == pytest.approx(slow_lovasz(logits, target), rel=1e-9)


def test_a_perfect_prediction_costs_nothing_and_nothing_labelled_gives_no_gradient():
    _, target = draw(0)
    sure = torch.full((len(target), 5), -60.0)
    sure[target > 0] = sure[target > 0].scatter(1, target[target > 0, None] - 1, 60.0)
    assert float(lovasz_softmax(sure, target)) == pytest.approx(0, abs=1e-6)
    logits = torch.zeros(4, 5, requires_grad=True)
    nothing = torch.zeros(4, dtype=torch.int64)
    total, mass = weighted_cross_entropy(logits, nothing, torch.ones(len(nothing)), torch.ones(5))
    (total + lovasz_softmax(logits, nothing)).backward()
    assert float(mass) == 0
    assert float(logits.grad.abs().sum()) == 0


@given(counts=st.lists(st.integers(0, 10_000), min_size=1, max_size=20), power=st.floats(0, 1))
def test_class_weights_average_to_one_over_all_voxels_and_favour_rare_classes(counts: list[int], power: float):
    number = np.array(counts)
    weight = class_weights(number, power).double().numpy()
    assert ((weight > 0) == (number > 0)).all()
    if number.sum():
        assert (weight * number).sum() / number.sum() == pytest.approx(1, rel=1e-4)
    present = np.flatnonzero(number)
    order = present[np.argsort(number[present])]
    assert (np.diff(weight[order]) <= 1e-6 * weight[order][:-1]).all()
