from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import kernel_map
from iscc_lidar.trainer.engine.native.convolution import sparse_convolution
from iscc_lidar.trainer.engine.native.layers import SparseConv3d, sparse_tensor

import dense_twin as twin

pytestmark = pytest.mark.usefixtures("with_and_without_c_kernels")


KINDS = ("submanifold", "strided", "transposed")


def run(kind: str, bxyz: Tensor, feats: Tensor, kernel: Tensor, dense: bool) -> Tensor:
    """Both engines on the same voxels; for the transposed layer bxyz are the fine ones, feats the coarse ones'."""
    maps = kernel_map.MapCache(sorted_coordinates(bxyz))
    if kind == "submanifold":
        return (
            twin.submanifold(bxyz, feats, kernel) if dense else sparse_convolution(feats, kernel, maps.submanifold(0))
        )
    coarse = twin.parents(bxyz)
    if kind == "strided":
        return (
            twin.strided(bxyz, feats, kernel, coarse)
            if dense
            else sparse_convolution(feats, kernel, maps.downsampling(0))
        )
    return (
        twin.transposed(coarse, feats, kernel, bxyz)
        if dense
        else sparse_convolution(feats, kernel, maps.downsampling(0).transposed())
    )


def inputs(kind: str, bxyz: Tensor, dtype: torch.dtype, c_in: int = 3, c_out: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    rows = len(twin.parents(bxyz)) if kind == "transposed" else len(bxyz)
    offsets = 27 if kind == "submanifold" else 8
    feats = torch.randn((rows, c_in), generator=generator, dtype=torch.float64)
    kernel = torch.randn((offsets, c_in, c_out), generator=generator, dtype=torch.float64) / (offsets * c_in) ** 0.5
    return feats.to(dtype).requires_grad_(), kernel.to(dtype).requires_grad_()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(bxyz=twin.voxel_sets())
def test_values_and_gradients_equal_dense_convolution_in_float64(kind: str, bxyz: Tensor) -> None:
    feats, kernel = inputs(kind, bxyz, torch.float64)
    sparse, dense = (run(kind, bxyz, feats, kernel, dense=d) for d in (False, True))
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-10)
    weight = torch.randn(dense.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = torch.autograd.grad((sparse * weight).sum(), (feats, kernel))
    theirs = torch.autograd.grad((dense * weight).sum(), (feats, kernel))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_within_1e_6_of_dense_float64(kind: str) -> None:
    bxyz = twin.random_voxels(3)
    feats, kernel = inputs(kind, bxyz, torch.float32, 16, 16)
    expected = run(kind, bxyz, feats.double(), kernel.double(), dense=True)
    torch.testing.assert_close(run(kind, bxyz, feats, kernel, dense=False).double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_hold_over_several_chunks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_map, "_CPU_CHUNK_ROWS", 8)
    bxyz = twin.random_voxels(4, size=(3, 4, 3))
    feats, kernel = inputs(kind, bxyz, torch.float64, 2, 2)
    torch.testing.assert_close(
        run(kind, bxyz, feats, kernel, False), run(kind, bxyz, feats, kernel, True), rtol=0, atol=1e-10
    )
    assert torch.autograd.gradcheck(lambda f, k: run(kind, bxyz, f, k, dense=False), (feats, kernel))


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_computes_in_bfloat16_and_gives_float32_gradients(kind: str) -> None:
    bxyz = twin.random_voxels(5)
    feats, kernel = inputs(kind, bxyz, torch.float32, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = run(kind, bxyz, feats, kernel, dense=False)
    high = run(kind, bxyz, feats, kernel, dense=False)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), high, rtol=0.05, atol=0.05)
    for ours, exact in zip(
        torch.autograd.grad(low.float().sum(), (feats, kernel)),
        torch.autograd.grad(high.sum(), (feats, kernel)),
        strict=True,
    ):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact, rtol=0.05, atol=0.15)


def test_layers_move_between_levels() -> None:
    bxyz = twin.random_voxels(6)
    x = sparse_tensor(bxyz, torch.ones(len(bxyz), 2))
    down = SparseConv3d(2, 3, 2, 2)(x)
    back = SparseConv3d(3, 5, 2, 2, transposed=True)(down)
    assert (x.level, down.level, back.level) == (0, 1, 0)
    assert torch.equal(down.maps.coordinates(down.level).bxyz, twin.parents(bxyz))
    assert back.feats.shape == (len(bxyz), 5)
    assert SparseConv3d(2, 3, 1).kernel.shape == (2, 3)
    assert SparseConv3d(2, 3, 3).kernel.shape == (27, 2, 3)


def test_initial_weights_keep_the_variance_of_a_dense_relu_network() -> None:
    torch.manual_seed(0)
    assert SparseConv3d(32, 32, 3).kernel.std().item() == pytest.approx((2 / (27 * 32)) ** 0.5, rel=0.03)


def test_layers_that_do_not_exist_and_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel 3, stride 2"):
        SparseConv3d(1, 1, 3, 2)
    with pytest.raises(ValueError, match="rows of features"):
        sparse_tensor(twin.random_voxels(0), torch.zeros(1, 1))
    x = sparse_tensor(twin.random_voxels(0), torch.zeros(len(twin.random_voxels(0)), 1))
    with pytest.raises(ValueError, match="strided"):
        SparseConv3d(1, 1, 2, 2, transposed=True)(x)
