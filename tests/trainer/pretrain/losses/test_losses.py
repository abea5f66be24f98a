import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from iscc_lidar.trainer.pretrain.losses.global_clustering import global_loss
from iscc_lidar.trainer.pretrain.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.pretrain.losses.occupancy import occupancy_accuracy, occupancy_loss
from iscc_lidar.trainer.pretrain.losses.over_regions import mean_over_regions
from iscc_lidar.trainer.pretrain.losses.surroundings import surroundings_loss


def unit(seed: int, *shape: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("negatives", ["scene", "batch"])
def test_local_loss_agrees_with_loops(negatives):
    f1, f2, scene = unit(0, 9, 5), unit(1, 9, 5), torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])
    total = 0.0
    for k in range(9):
        rivals = [n for n in range(9) if negatives == "batch" or scene[n] == scene[k]]
        total -= math.log(
            math.exp(float(f1[k] @ f2[k]) / 0.1) / sum(math.exp(float(f1[k] @ f2[n]) / 0.1) for n in rivals)
        )
    loss = local_loss(f1, f2, scene, LocalConfig(negatives=negatives), torch.arange(9))
    assert float(loss) == pytest.approx(total / 9)


@pytest.mark.parametrize("negatives", ["scene", "batch"])
def test_cells_of_the_ground_are_told_from_groups_but_not_from_each_other(negatives):
    f1, f2, scene = unit(0, 6, 5), unit(1, 6, 5), torch.tensor([0, 0, 0, 0, 1, 1])
    ground = torch.tensor([False, True, True, False, True, False])
    total = 0.0
    for k in range(6):
        rivals = [
            n
            for n in range(6)
            if n == k or ((negatives == "batch" or scene[n] == scene[k]) and not (ground[n] and ground[k]))
        ]
        total -= math.log(
            math.exp(float(f1[k] @ f2[k]) / 0.1) / sum(math.exp(float(f1[k] @ f2[n]) / 0.1) for n in rivals)
        )
    loss = local_loss(f1, f2, scene, LocalConfig(negatives=negatives), torch.arange(6), ground)
    assert float(loss) == pytest.approx(total / 6)


def test_a_process_with_some_of_the_groups_gets_its_part_of_the_local_loss():
    f1, f2, scene = unit(0, 9, 5), unit(1, 9, 5), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    whole = local_loss(f1, f2, scene, LocalConfig(), torch.arange(9))
    parts = [
        local_loss(f1[a:b], f2, scene, LocalConfig(), torch.arange(a, b)) * (b - a) / 9 for a, b in ((0, 4), (4, 9))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_global_loss_agrees_with_loops():
    f1, centres, target = unit(0, 6, 5), unit(1, 4, 5), torch.softmax(unit(2, 6, 4), dim=1)
    total = 0.0
    for k in range(6):
        scale = sum(math.exp(float(f1[k] @ centres[c]) / 0.2) for c in range(4))
        for c in range(4):
            total -= float(target[k, c]) * math.log(math.exp(float(f1[k] @ centres[c]) / 0.2) / scale)
    assert float(global_loss(f1, centres, target, 0.2, torch.arange(6))) == pytest.approx(total / 6)


@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=1, max_size=20))
def test_occupancy_loss_and_accuracy_agree_with_loops(answers):
    logit = torch.tensor([a for a, _ in answers], dtype=torch.float64)
    truth = torch.tensor([float(t) for _, t in answers], dtype=torch.float64)
    expected = sum(math.log1p(math.exp(-a if t else a)) for a, t in answers) / len(answers)
    assert float(occupancy_loss(logit, truth)) == pytest.approx(expected, abs=1e-9)
    for name, wanted in (("occupied", True), ("free", False)):
        right = [(a > 0) == t for a, t in answers if t is wanted]
        share = float(occupancy_accuracy(logit, truth)[f"occupancy_accuracy_{name}"])
        assert math.isnan(share) if not right else share == pytest.approx(sum(right) / len(right))


def test_losses_over_nothing_are_zero_and_can_be_differentiated():
    empty = torch.zeros(0, 5, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    loss = (
        local_loss(empty, empty.detach(), none, LocalConfig(), none)
        + global_loss(empty, unit(0, 4, 5).float(), torch.zeros(0, 4), 0.1, none)
        + occupancy_loss(empty.sum(dim=1), torch.zeros(0))
    )
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_each_region_counts_the_same_however_many_parts_it_has():
    region = torch.tensor([0, 0, 0, 1, 2, 2])
    each = torch.tensor([1.0, 2.0, 3.0, 10.0, 5.0, 7.0], requires_grad=True)
    assert float(mean_over_regions(each.detach(), region)) == pytest.approx((2 + 10 + 6) / 3)
    mean_over_regions(each, region).backward()
    torch.testing.assert_close(each.grad, torch.tensor([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6]))


@pytest.mark.parametrize("negatives", ["scene", "batch"])
def test_parts_of_a_region_share_its_teacher_feature_target_and_weight(negatives):
    f1, f2, scene = unit(0, 7, 5), unit(1, 4, 5), torch.tensor([0, 0, 1, 1])
    region = torch.tensor([0, 0, 0, 1, 2, 2, 3])
    config, centres, target = LocalConfig(negatives=negatives), unit(2, 3, 5), torch.softmax(unit(3, 4, 3), dim=1)
    local, clustering = 0.0, 0.0
    for g in range(4):
        rows = [r for r in range(7) if region[r] == g]
        rivals = [n for n in range(4) if negatives == "batch" or scene[n] == scene[g]]
        for r in rows:
            scale = sum(math.exp(float(f1[r] @ f2[n]) / 0.1) for n in rivals)
            local -= math.log(math.exp(float(f1[r] @ f2[g]) / 0.1) / scale) / len(rows) / 4
            scale = sum(math.exp(float(f1[r] @ centres[c]) / 0.2) for c in range(3))
            for c in range(3):
                p = math.exp(float(f1[r] @ centres[c]) / 0.2) / scale
                clustering -= float(target[g, c]) * math.log(p) / len(rows) / 4
    assert float(local_loss(f1, f2, scene, config, region)) == pytest.approx(local)
    assert float(global_loss(f1, centres, target, 0.2, region)) == pytest.approx(clustering)


def test_occupied_and_free_cells_weigh_the_same_however_many_there_are():
    logit = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    occupied = torch.tensor([[True, False, False], [False, False, False]])
    of_occupied = math.log(1 + math.exp(-2.0))
    of_free = sum(math.log(1 + math.exp(x)) for x in (-1.0, 0.5, -3.0, 0.0, 1.0)) / 5
    loss = surroundings_loss(logit, occupied)
    assert loss.item() == pytest.approx((of_occupied + of_free) / 2)
    loss.backward()
    assert logit.grad is not None
    assert (logit.grad != 0).all()
    assert surroundings_loss(logit, occupied & False).item() == pytest.approx((of_free * 5 + of_occupied + 2) / 12)
    assert surroundings_loss(logit[:0], occupied[:0]).item() == 0
