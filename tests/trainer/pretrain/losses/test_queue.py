import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from iscc_lidar.trainer.pretrain.losses.queue import Queue, queue_loss


def unit(seed: int, *shape: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


REGION = torch.tensor([0, 0, 1, 2, 2, 2, 3])


def slow_queue_loss(f1: torch.Tensor, f2: torch.Tensor, negatives: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for k in range(len(f1)):
        region = int(REGION[k])
        positive = math.exp(sum(float(a) * float(b) for a, b in zip(f1[k], f2[region], strict=True)) / temperature)
        others = sum(
            math.exp(sum(float(a) * float(b) for a, b in zip(f1[k], row, strict=True)) / temperature)
            for row in negatives
        )
        parts = REGION.tolist().count(region)
        total -= math.log(positive / (positive + others)) / parts
    return total / len(f2)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("held", [0, 1, 7])
def test_the_loss_agrees_with_loops(held, temperature):
    f1, f2, negatives = unit(0, 7, 6), unit(1, 4, 6), unit(2, held, 6)
    expected = slow_queue_loss(f1, f2, negatives, temperature)
    assert float(queue_loss(f1, f2, negatives, temperature, REGION)) == pytest.approx(expected, abs=1e-9)


def test_features_that_tell_nothing_score_the_logarithm_of_the_choices():
    alike = unit(0, 1, 6)
    assert float(queue_loss(alike, alike, alike.expand(9, 6), 0.1, torch.tensor([0]))) == pytest.approx(math.log(10))


def test_the_loss_over_nothing_is_zero_and_can_be_differentiated():
    empty = torch.zeros(0, 6, requires_grad=True)
    loss = queue_loss(empty, torch.zeros(0, 6), torch.zeros(3, 6), 0.1, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert float(loss.detach()) == 0


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 6))
def test_the_queue_holds_the_latest_rows_and_nothing_else(counts, size):
    queue, pushed = Queue(size, 1), []
    for count in counts:
        rows = [float(len(pushed) + n + 1) for n in range(count)]  # never 0, which is what an empty row holds
        queue.refresh(torch.tensor(rows).reshape(-1, 1))
        pushed += rows
        held = queue.negatives().flatten().tolist()
        assert sorted(held) == pushed[-size:]
        assert int(queue.filled) == min(len(pushed), size)


def test_the_oldest_row_is_overwritten_first():
    queue = Queue(3, 1)
    queue.refresh(torch.tensor([[1.0], [2.0]]))
    queue.refresh(torch.tensor([[3.0], [4.0]]))
    assert queue.rows.flatten().tolist() == [4.0, 2.0, 3.0]
    queue.refresh(torch.tensor([[5.0]]))
    assert queue.rows.flatten().tolist() == [4.0, 5.0, 3.0]


def test_a_queue_goes_on_exactly_from_its_state():
    whole, first, second = Queue(5, 2), Queue(5, 2), Queue(5, 2)
    for queue in (whole, first):
        queue.refresh(unit(0, 4, 2).float())
    second.load_state_dict(first.state_dict())
    for queue in (whole, second):
        queue.refresh(unit(1, 3, 2).float())
    torch.testing.assert_close(whole.state_dict(), second.state_dict(), rtol=0, atol=0)
    assert not list(whole.parameters())
