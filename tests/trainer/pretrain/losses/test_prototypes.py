import pytest
import torch
from torch.nn.functional import normalize

from iscc_lidar.trainer.pretrain.losses.prototypes import PrototypeConfig, Prototypes, sinkhorn


def unit(seed: int, *shape: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def slow_sinkhorn(logits: torch.Tensor, iterations: int) -> torch.Tensor:
    q = logits.double().exp()
    for _ in range(iterations):
        for c in range(q.shape[1]):
            q[:, c] /= q[:, c].sum()
        for n in range(q.shape[0]):
            q[n] /= q[n].sum()
    return q


def test_sinkhorn_agrees_with_loops_and_its_marginals_become_uniform():
    logits = unit(0, 60, 8) @ unit(1, 7, 8).T / 0.05
    torch.testing.assert_close(sinkhorn(logits, 3).double(), slow_sinkhorn(logits, 3), rtol=1e-4, atol=1e-6)
    q = sinkhorn(logits.double(), 300)
    torch.testing.assert_close(q.sum(dim=1), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(q.sum(dim=0), torch.full((7,), 60 / 7, dtype=torch.float64), rtol=1e-3, atol=0)


def test_sinkhorn_survives_a_tiny_epsilon():
    assert torch.isfinite(sinkhorn(unit(0, 20, 8) @ unit(1, 5, 8).T / 1e-4, 3)).all()


@pytest.mark.parametrize("assign", ["sinkhorn", "softmax", "argmax"])
def test_targets_are_distributions(assign):
    target = Prototypes(PrototypeConfig(count=6, assign=assign), 8, seed=0).assign(unit(0, 10, 8))
    assert target.shape == (10, 6)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(10))
    assert (target >= 0).all()


def test_sinkhorn_takes_recent_features_into_account():
    # All of this batch looks alike; only the memory says that the rest of the world does not.
    prototypes = Prototypes(PrototypeConfig(count=4, buffer_size=64, reseed_after=0), 8, seed=0)
    alike = normalize(unit(5, 1, 8) + 0.01 * unit(6, 10, 8), dim=1)
    before = prototypes.assign(alike).argmax(dim=1).unique()
    prototypes.recent.copy_(unit(7, 64, 8))
    prototypes.filled.fill_(64)
    assert len(before) > 1
    assert len(prototypes.assign(alike).argmax(dim=1).unique()) == 1


def test_rows_move_by_the_stated_average_and_stay_unit():
    config = PrototypeConfig(count=3, buffer_size=16, momentum=0.9, reseed_after=0)
    prototypes = Prototypes(config, 4, seed=0)
    prototypes.refresh(unit(0, 5, 4), torch.eye(3)[[0, 1, 2, 0, 1]])  # the first one seeds the rows
    start, f2, target = prototypes.centres.clone(), unit(1, 4, 4), torch.eye(3)[[0, 0, 2, 0]]
    prototypes.refresh(f2, target)
    torch.testing.assert_close(prototypes.centres[0], normalize(0.9 * start[0] + 0.1 * f2[[0, 1, 3]].mean(0), dim=0))
    torch.testing.assert_close(prototypes.centres[2], normalize(0.9 * start[2] + 0.1 * f2[2], dim=0))
    torch.testing.assert_close(prototypes.centres[1], start[1])
    assert not prototypes.centres.requires_grad


def test_the_buffer_keeps_the_newest_features_first_in_first_out():
    prototypes = Prototypes(PrototypeConfig(count=2, buffer_size=5), 4, seed=0)
    target = torch.tensor([[1.0, 0.0]])
    seen = unit(0, 12, 4)
    for start in (0, 3, 6, 9):
        prototypes.refresh(seen[start : start + 3], target.expand(3, 2))
    assert int(prototypes.filled) == 5
    kept = {tuple(row.tolist()) for row in prototypes.recent}
    assert kept == {tuple(row.tolist()) for row in seen[7:]}


def test_dead_rows_restart_near_a_recent_feature():
    prototypes = Prototypes(PrototypeConfig(count=2, buffer_size=8, reseed_after=3, seed_noise=0.1), 16, seed=0)
    only_first = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    prototypes.refresh(unit(0, 4, 16), only_first)
    far = -normalize(unit(0, 4, 16).mean(dim=0), dim=0)
    prototypes.centres[1] = far
    prototypes.refresh(unit(1, 4, 16), only_first)
    torch.testing.assert_close(prototypes.centres[1], far)
    prototypes.refresh(unit(2, 4, 16), only_first)
    assert float((prototypes.recent @ prototypes.centres[1]).max()) > 0.98
    assert int(prototypes.idle[1]) == 0


def test_used_counts_nearest_prototypes_of_recent_features():
    prototypes = Prototypes(PrototypeConfig(count=4, buffer_size=8), 4, seed=0)
    assert int(prototypes.used()) == 0
    prototypes.refresh(torch.eye(4)[[0, 0, 1]], torch.full((3, 4), 0.25))
    prototypes.centres.copy_(torch.eye(4))
    assert int(prototypes.used()) == 2


def test_no_groups_change_nothing():
    prototypes = Prototypes(PrototypeConfig(count=4, buffer_size=8), 4, seed=0)
    before = {k: v.clone() for k, v in prototypes.state_dict().items()}
    prototypes.refresh(torch.zeros(0, 4), prototypes.assign(torch.zeros(0, 4)))
    torch.testing.assert_close(prototypes.state_dict(), before)
