from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

TINY = ModelConfig(in_channels=3, stem_width=4, encoder_widths=(4, 6), decoder_widths=(5, 4), out_levels=2)
FULL = ModelConfig(stem_width=32, encoder_widths=(32, 64, 128, 256), decoder_widths=(256, 128, 96, 96), blocks=2)


def network(config: ModelConfig = TINY) -> SparseUNet:
    torch.manual_seed(0)
    return SparseUNet(config).double()


def scene(seed: int = 0, shape: tuple[int, ...] = (2, 9, 8, 7)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    bxyz = (torch.rand(shape, generator=generator) < 0.3).nonzero().int()
    return bxyz, torch.randn((len(bxyz), 3), generator=generator, dtype=torch.float64)


def parameters(config: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in SparseUNet(config).parameters())


def test_output_rows_follow_a_permutation_of_the_input() -> None:
    bxyz, feats = scene()
    order = torch.randperm(len(bxyz), generator=torch.Generator().manual_seed(1))
    net = network()
    assert torch.equal(net(bxyz[order], feats[order]), net(bxyz, feats)[order])


def test_a_shift_by_whole_coarsest_cells_changes_nothing_and_another_does() -> None:
    bxyz, feats = scene()
    net = network()
    expected = net(bxyz, feats)
    assert torch.equal(net(bxyz + torch.tensor([0, 4, 8, 12], dtype=torch.int32), feats), expected)
    assert not torch.allclose(net(bxyz + torch.tensor([0, 1, 0, 0], dtype=torch.int32), feats), expected)


def test_samples_of_a_batch_do_not_see_each_other_and_may_be_absent() -> None:
    bxyz, feats = scene()
    net = network().eval()
    together = net(bxyz, feats)
    for sample in (0, 1):
        rows = bxyz[:, 0] == sample
        alone = bxyz[rows].clone()
        alone[:, 0] = 3 * sample
        torch.testing.assert_close(net(alone, feats[rows]), together[rows], rtol=0, atol=1e-12)


def test_a_single_voxel_passes_in_evaluation() -> None:
    out = network().eval()(torch.zeros((1, 4), dtype=torch.int32), torch.ones((1, 3), dtype=torch.float64))
    assert out.shape == (1, 9)
    assert bool(torch.isfinite(out).all())


def test_every_parameter_gets_the_gradient_of_finite_differences() -> None:
    bxyz, feats = scene()
    net = network()
    probe = torch.randn(
        (len(bxyz), net.config.out_channels), generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    (net(bxyz, feats) * probe).sum().backward()
    step = 1e-6
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * direction
                ends.append((net(bxyz, feats) * probe).sum().item())
                parameter -= sign * step * direction
        # A ReLU may change side within the step, hence the tolerance.
        slope = (ends[0] - ends[1]) / (2 * step)
        assert (parameter.grad * direction).sum().item() == pytest.approx(slope, rel=1e-3, abs=1e-3), name


def test_float32_output_is_within_1e_4_of_float64() -> None:
    bxyz, feats = scene(shape=(2, 16, 16, 10))
    net = network()
    exact = net(bxyz, feats)
    torch.testing.assert_close(net.float()(bxyz, feats.float()).double(), exact, rtol=1e-4, atol=1e-4)


def test_a_step_under_autocast_trains_every_parameter() -> None:
    bxyz, feats = scene(shape=(2, 16, 16, 10))
    net = network().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = net(bxyz, feats.float()).float().square().mean()
    loss.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())


def test_sizes_of_the_documented_configurations() -> None:
    assert parameters(ModelConfig()) == 777_840
    assert parameters(FULL) == 21_721_472
    assert ModelConfig().out_channels == 32


def test_coarser_levels_are_joined_behind_the_finest() -> None:
    bxyz, feats = scene()
    one, both = network(dataclasses.replace(TINY, out_levels=1)), network()
    both.load_state_dict(one.state_dict())
    assert one.config.out_channels == 4
    assert both.config.out_channels == 9
    finest, joined = one(bxyz, feats), both(bxyz, feats)
    assert torch.equal(joined[:, :4], finest)
    cells = torch.cat([bxyz[:, :1], bxyz[:, 1:] >> 1], dim=1)
    _, cell = torch.unique(cells, dim=0, return_inverse=True)
    for number in range(int(cell.max()) + 1):
        assert len(joined[cell == number, 4:].unique(dim=0)) == 1, "one cell, one feature"
    assert len(joined[:, 4:].unique(dim=0)) > 0.9 * cell.max(), "after ReLU a few are zero"


def test_state_dict_keys_are_frozen() -> None:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def unit(name: str) -> list[str]:
        return [f"{name}.conv.kernel", *(f"{name}.norm.{k}" for k in norm)]

    def stage(name: str, move: str, skip: bool) -> list[str]:
        block = f"{name}.blocks.0"
        units = [f"{name}.{move}", f"{block}.conv1", f"{block}.conv2", *([f"{block}.skip"] if skip else [])]
        return [key for u in units for key in unit(u)]

    expected = [
        *unit("stem.0"),
        *unit("stem.1"),
        *stage("encoder.0", "down", skip=False),
        *stage("encoder.1", "down", skip=True),
        *stage("decoder.0", "up", skip=True),
        *stage("decoder.1", "up", skip=True),
    ]
    assert list(network().state_dict()) == expected


def test_wrong_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        ModelConfig(encoder_widths=(8,))
    with pytest.raises(ValueError, match="voxel_size"):
        ModelConfig(voxel_size=0.0)
    with pytest.raises(ValueError, match="at least 1"):
        ModelConfig(blocks=0)
    with pytest.raises(ValueError, match=r"model.out_levels=3: the decoder has 2 levels"):
        dataclasses.replace(TINY, out_levels=3)


def test_a_network_can_be_copied() -> None:
    original = network()
    twin = copy.deepcopy(original)
    torch.testing.assert_close(twin(*scene()), original(*scene()))
    assert next(twin.parameters()) is not next(original.parameters())
