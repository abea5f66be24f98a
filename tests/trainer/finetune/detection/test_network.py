"""The detection network's parts against twins in loops."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.finetune.detection.network import BoxHead, BoxHeadConfig, DetectionNetwork, local_ground
from iscc_lidar.trainer.finetune.detection.targets import CODE, Z
from iscc_lidar.trainer.model.unet import ModelConfig


@given(st.integers(0, 2**32 - 1))
def test_boxes_are_told_from_the_cells_around_by_each_classs_layer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed % 1000)
    head = BoxHead(width=3, classes=2, patch=3, hidden=4)
    grid, ground = torch.randn(2, 5, 6, 3), torch.randn(2, 5, 6)
    places = [(int(rng.integers(2)), int(rng.integers(2)), int(rng.integers(5)), int(rng.integers(6))) for _ in "four"]
    at = torch.tensor([((b * 2 + c) * 5 + x) * 6 + y for b, c, x, y in places])
    told = head(grid, ground, at)
    for row, (b, c, x, y) in zip(told, places, strict=True):
        around = [
            grid[b, x + i, y + j] if 0 <= x + i < 5 and 0 <= y + j < 6 else torch.zeros(3)
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        expected = head.code(head.hidden(torch.cat(around)).relu())[c * CODE : (c + 1) * CODE].clone()
        expected[Z] += ground[b, x, y]
        torch.testing.assert_close(row, expected)


def test_no_place_no_box_and_a_new_head_says_what_it_starts_from() -> None:
    head = BoxHead(width=3, classes=2, patch=5, hidden=4)
    assert head(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4), torch.zeros(0, dtype=torch.int64)).shape == (0, CODE)
    code = torch.arange(2.0 * CODE).view(2, CODE)
    torch.nn.init.zeros_(head.code.weight)
    head.start_from(code)
    told = head(torch.randn(1, 4, 4, 3), torch.full((1, 4, 4), 0.5), torch.tensor([3, 16 + 5]))
    code[:, Z] += 0.5
    torch.testing.assert_close(told, code)


def test_gradients_are_the_same_bit_for_bit_however_threads_run() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    head = BoxHead(width=16, classes=2, patch=5, hidden=32)
    grid = torch.randn(1, 64, 64, 16, requires_grad=True)
    at = torch.arange(0, 2 * 64 * 64, 7)  # patches that overlap
    grads = []
    for _ in range(10):
        grid.grad = None
        head(grid, torch.zeros(1, 64, 64), at).abs().sum().backward()
        assert grid.grad is not None
        grads.append(grid.grad)
    torch.set_num_threads(threads)
    assert all(torch.equal(grad, grads[0]) for grad in grads)


def test_the_ground_is_the_lowest_around_smoothed_and_0_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 2 * 30 * 20, 60)
    cell = cell[(cell // 20 % 30) < 12]  # the far end is empty
    z = rng.normal(size=len(cell)).astype(np.float32)
    ground = local_ground(torch.from_numpy(cell), torch.from_numpy(z), 2, (30, 20)).numpy()
    b, x, y = cell // 600, cell // 20 % 30, cell % 20
    lowest = np.full((2, 30, 20), np.nan)
    for s, i, j in np.ndindex(lowest.shape):
        around = z[(b == s) & (np.abs(x - i) <= 5) & (np.abs(y - j) <= 5)]
        lowest[s, i, j] = around.min() if len(around) else np.nan
    for s, i, j in np.ndindex(lowest.shape):
        near = lowest[s, max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
        assert np.isclose(ground[s, i, j], np.nanmean(near) if np.isfinite(near).any() else 0.0, atol=1e-5)
    assert (ground[:, 19:] == 0).all()


def test_in_training_heat_is_as_in_detection_and_the_gradient_reaches_all() -> None:
    model = ModelConfig(stem_width=4, encoder_widths=(4, 4), decoder_widths=(4, 4))
    network = DetectionNetwork(model, BoxHeadConfig(width=8, deep_width=8), 2, (8, 6))
    coords = torch.tensor([[0, 1, 1, 1], [0, 2, 4, 2], [1, 3, 3, 3], [1, 6, 2, 1]], dtype=torch.int32)
    given = coords, torch.randn(4, 4), torch.tensor([5, 9, 48 + 3, 48 + 30]), torch.randn(4, 3), 2
    heat, code = network(*given, torch.tensor([7, 2 * 48 + 60]))
    assert heat.shape == (2, 2, 8, 6)
    assert code.shape == (2, CODE)
    (heat.sum() + code.square().sum()).backward()
    assert all(p.grad is not None for p in network.parameters())
    network.eval()
    with torch.no_grad():
        heat_in_detection, grid, ground = network.grid_features(*given)
        heat, code = network(*given, torch.tensor([7]))
        torch.testing.assert_close(heat_in_detection, heat)
        torch.testing.assert_close(network.box(grid, ground, torch.tensor([7])), code)
