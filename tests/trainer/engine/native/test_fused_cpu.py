"""The C kernels against the dense twin and against PyTorch's path. Skipped where they were not compiled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import cpu_library, fused_cpu
from iscc_lidar.trainer.engine.native.convolution import sparse_convolution
from iscc_lidar.trainer.engine.native.kernel_map import KernelMap, MapCache

import dense_twin as twin
from synthetic_voxels import synthetic_voxels

pytestmark = pytest.mark.skipif(not cpu_library.available(), reason=cpu_library.description())

KINDS = ("submanifold", "strided", "transposed")
WIDTHS = cpu_library.lanes() if cpu_library.available() else 4
REGISTERS = [lanes for lanes in (4, 8, 16) if lanes <= WIDTHS]


@pytest.fixture(params=REGISTERS)
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every instruction set that this machine has."""
    monkeypatch.setattr(cpu_library, "lanes", lambda: request.param)
    return int(request.param)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def map_of(kind: str, bxyz: Tensor) -> KernelMap:
    maps = MapCache(sorted_coordinates(bxyz))
    if kind == "submanifold":
        return maps.submanifold(0)
    return maps.downsampling(0) if kind == "strided" else maps.downsampling(0).transposed()


def operands(kernel_map: KernelMap, c_in: int, c_out: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """x, kernel and the gradient of the output; its scale keeps every result near 1."""
    generator = torch.Generator().manual_seed(seed)
    k = kernel_map.n_offsets
    x = torch.randn((kernel_map.n_in, c_in), generator=generator)
    kernel = torch.randn((k, c_in, c_out), generator=generator) / (k * c_in) ** 0.5
    return x, kernel, torch.randn((kernel_map.n_out, c_out), generator=generator)


def results(kernel_map: KernelMap, x: Tensor, kernel: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output and both gradients."""
    x, kernel = x.detach().requires_grad_(), kernel.detach().requires_grad_()
    out = sparse_convolution(x, kernel, kernel_map)
    return out.detach(), *torch.autograd.grad(out, (x, kernel), g)


def check(kernel_map: KernelMap, x: Tensor, kernel: Tensor, g: Tensor) -> None:
    """Against PyTorch's path in float64, relative to the largest value of each result."""
    expected = results(kernel_map, x.double(), kernel.double(), g.double())
    for ours, exact in zip(results(kernel_map, x, kernel, g), expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=2e-6 * (1 + exact.abs().max().item()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(1, 1), (3, 4), (5, 17), (16, 16), (24, 33), (130, 7), (7, 130), (129, 65)])
def test_any_number_of_channels_on_every_instruction_set(kind: str, channels: tuple[int, int], lanes: int) -> None:
    kernel_map = map_of(kind, twin.random_voxels(1, size=(9, 8, 7)))
    check(kernel_map, *operands(kernel_map, *channels))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(bxyz=twin.voxel_sets(), c_in=st.integers(1, 40), c_out=st.integers(1, 40))
def test_any_voxels_from_a_single_one_up(kind: str, bxyz: Tensor, c_in: int, c_out: int) -> None:
    kernel_map = map_of(kind, bxyz)
    check(kernel_map, *operands(kernel_map, c_in, c_out))


@pytest.mark.parametrize("kind", KINDS)
def test_values_equal_dense_convolution(kind: str) -> None:
    bxyz = twin.random_voxels(3)
    kernel_map = map_of(kind, bxyz)
    x, kernel, _ = operands(kernel_map, 16, 20)
    x64, kernel64, coarse = x.double(), kernel.double(), twin.parents(bxyz)
    if kind == "submanifold":
        dense = twin.submanifold(bxyz, x64, kernel64)
    elif kind == "strided":
        dense = twin.strided(bxyz, x64, kernel64, coarse)
    else:
        dense = twin.transposed(coarse, x64, kernel64, bxyz)
    ours = fused_cpu.convolve(x, kernel, kernel_map)
    torch.testing.assert_close(ours.double(), dense, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(24, 40), (32, 32), (96, 64)])
def test_results_do_not_depend_on_the_number_of_threads(
    kind: str, channels: tuple[int, int], lanes: int, threads: None
) -> None:
    kernel_map = map_of(kind, synthetic_voxels(1, 3_000))
    given = operands(kernel_map, *channels)
    torch.set_num_threads(1)
    alone = results(kernel_map, *given)
    check(kernel_map, *given)
    for count in (2, 3, 40):
        torch.set_num_threads(count)
        assert all(torch.equal(a, b) for a, b in zip(alone, results(kernel_map, *given), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_without_pairs_give_zero(kind: str) -> None:
    kernel_map = map_of(kind, torch.tensor([[0, 4, 4, 4]], dtype=torch.int32))
    x, kernel, g = operands(kernel_map, 20, 20)
    out, grad_x, grad_kernel = results(kernel_map, x, kernel, g)
    met = 13 if kind == "submanifold" else 0
    torch.testing.assert_close(out, x @ kernel[met])
    torch.testing.assert_close(grad_x, g @ kernel[met].t())
    torch.testing.assert_close(grad_kernel[met], x.t() @ g)
    assert not grad_kernel[[o for o in range(len(kernel)) if o != met]].any()


def test_strided_operands_and_the_transposed_submanifold_map() -> None:
    kernel_map = map_of("submanifold", twin.random_voxels(2))
    x, kernel, g = operands(kernel_map, 12, 9)
    expected = results(kernel_map, x, kernel, g)
    strided = results(kernel_map, x.t().contiguous().t(), kernel.permute(2, 0, 1).contiguous().permute(1, 2, 0), g)
    assert all(torch.equal(a, b) for a, b in zip(expected, strided, strict=True))
    check(kernel_map.transposed(), x, kernel, g)
    torch.testing.assert_close(
        sparse_convolution(x, kernel.flip(0), kernel_map.transposed()), expected[0], rtol=1e-5, atol=1e-6
    )


def test_only_the_gradients_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_map = map_of("submanifold", twin.random_voxels(2))
    x, kernel, g = operands(kernel_map, 4, 8)
    _, grad_x, grad_kernel = results(kernel_map, x, kernel, g)
    calls: list[str] = []
    for name in ("convolve", "outer_products"):
        real = getattr(cpu_library, name)
        monkeypatch.setattr(cpu_library, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    kernel.requires_grad_()
    (alone,) = torch.autograd.grad(sparse_convolution(x, kernel, kernel_map), (kernel,), g)
    assert torch.equal(alone, grad_kernel)
    x.requires_grad_()
    (alone,) = torch.autograd.grad(sparse_convolution(x, kernel.detach(), kernel_map), (x,), g)
    assert torch.equal(alone, grad_x)
    assert calls == ["convolve", "outer_products", "convolve", "convolve"]


def test_what_the_kernels_are_not_made_for_goes_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(cpu_library, "convolve", refuse)
    kernel_map = map_of("submanifold", twin.random_voxels(2))
    x, kernel, _ = operands(kernel_map, 4, 8)
    with pytest.raises(AssertionError):
        sparse_convolution(x, kernel, kernel_map)
    assert sparse_convolution(x.double(), kernel.double(), kernel_map).dtype == torch.float64
    with cpu_library.switched_off():
        assert sparse_convolution(x, kernel, kernel_map).dtype == torch.float32


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_types_are_rounded_operands_and_results_of_float32(half: torch.dtype) -> None:
    kernel_map = map_of("submanifold", twin.random_voxels(2))
    x, kernel, _ = operands(kernel_map, 4, 8)
    exact = sparse_convolution(x.to(half).float(), kernel.to(half).float(), kernel_map)
    with torch.autocast("cpu", dtype=half):
        rounded = sparse_convolution(x, kernel, kernel_map)
    assert torch.equal(rounded, exact.to(half))


def test_rows_and_weights_that_do_not_fit_the_map_are_refused() -> None:
    kernel_map = map_of("strided", twin.random_voxels(2))
    x, kernel, _ = operands(kernel_map, 4, 8)
    for wrong in ((x[1:], kernel), (x[:, 1:], kernel), (x, kernel[1:]), (x, kernel[0])):
        with pytest.raises(ValueError, match="do not fit"):
            sparse_convolution(*wrong, kernel_map)
