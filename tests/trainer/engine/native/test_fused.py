"""The fused convolution's kernels: on a GPU where there is one, else in Triton's interpreter on the CPU."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import convolution, fused, tile_sizes
from iscc_lidar.trainer.engine.native.convolution import plain_convolution, sparse_convolution
from iscc_lidar.trainer.engine.native.kernel_map import KernelMap, MapCache
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

import dense_twin as twin
from synthetic_voxels import synthetic_voxels

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed (pip install triton, Linux only)")
needs_cuda = pytest.mark.skipif(not (CUDA and HAS_TRITON), reason="needs a CUDA device and Triton")

KINDS = ("submanifold", "strided", "transposed")
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled kernels on a GPU, else interpreted ones."""
    if CUDA:
        return
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # read when a kernel is made
    import triton
    import triton.language as tl
    from triton.runtime import interpreter

    from iscc_lidar.trainer.engine.native import triton_kernels

    if tuple(int(number) for number in triton.__version__.split(".")[:2]) < (3, 7):
        pytest.skip("the interpreter of Triton before 3.7 fails on loops with NumPy 2.4")
    importlib.reload(triton_kernels)
    assert isinstance(triton_kernels.gather_multiply, interpreter.InterpretedFunction)
    plain_dot = interpreter.InterpreterBuilder.create_dot

    def widened(handle: Any) -> Any:
        # The interpreter keeps bfloat16 as its bits, and multiplies these as if they were integers.
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        bits = handle.data.astype("uint32") << 16
        return interpreter.TensorHandle(bits.view("float32"), tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *others: Any) -> Any:
        return plain_dot(self, widened(a), widened(b), *others)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


def map_of(kind: str, bxyz: Tensor) -> KernelMap:
    maps = MapCache(sorted_coordinates(bxyz.to(DEVICE)))
    if kind == "submanifold":
        return maps.submanifold(0)
    down = maps.downsampling(0)
    return down if kind == "strided" else down.transposed()


def operands(kernel_map: KernelMap, c_in: int, c_out: int, dtype: torch.dtype) -> list[Tensor]:
    """x, kernel and the output's gradient."""
    random = torch.Generator().manual_seed(0)
    shapes = (kernel_map.n_in, c_in), (kernel_map.n_offsets, c_in, c_out), (kernel_map.n_out, c_out)
    return [torch.randn(shape, generator=random).to(DEVICE, dtype) for shape in shapes]


def results(run: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Output, gradient of x, gradient of the kernel."""
    x, kernel = (t.clone().requires_grad_() for t in tensors[:2])
    out = run(x, kernel)
    return [out.detach(), *torch.autograd.grad(out, (x, kernel), tensors[2])]


def assert_near(found: list[Tensor], exact: list[Tensor], dtype: torch.dtype) -> None:
    for ours, expected in zip(found, exact, strict=True):
        assert ours.dtype == dtype
        assert ours.shape == expected.shape
        error = float((ours.double() - expected).abs().max() / expected.abs().max())
        assert error <= TOLERANCE[dtype]


def check(kind: str, bxyz: Tensor, c_in: int, c_out: int, dtype: torch.dtype = torch.float32) -> None:
    kernel_map = map_of(kind, bxyz)
    tensors = operands(kernel_map, c_in, c_out, dtype)
    found = results(lambda x, w: fused.convolve(x, w, kernel_map), tensors)
    exact = results(lambda x, w: plain_convolution(x, w, kernel_map), [t.double() for t in tensors])
    assert_near(found, exact, dtype)


@needs_triton
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("c_in", "c_out"), [(4, 32), (5, 3), (70, 17)])
def test_output_and_gradients_equal_the_plain_path(kind: str, c_in: int, c_out: int) -> None:
    check(kind, twin.random_voxels(0), c_in, c_out)


@needs_triton
@pytest.mark.usefixtures("kernels")
def test_two_ranges_of_offsets_and_several_tiles_of_channels_and_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iscc_lidar.trainer.engine.native.neighbour_table._SHORTEST_SPLIT", 40)
    assert tile_sizes.n_tables(27, 66, 130) == 2
    check("submanifold", twin.random_voxels(1, size=(4, 4, 4)), 66, 130)


@needs_triton
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_taller_tiles_of_large_batches(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_sizes, "_FEW_PROGRAMS", 0)
    monkeypatch.setattr(tile_sizes, "n_tables", lambda *_: 3)
    check("submanifold", twin.random_voxels(5), 9, 20, dtype)


@needs_triton
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_summed_in_float32(kind: str, dtype: torch.dtype) -> None:
    if CUDA and dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bfloat16")
    check(kind, twin.random_voxels(2), 24, 40, dtype)


@needs_triton
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells", [[[0, 0, 0, 0]], [[0, 1, 2, 3], [2, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 1]]])
def test_a_voxel_or_two_leave_most_offsets_empty(kind: str, cells: list[list[int]]) -> None:
    check(kind, torch.tensor(cells, dtype=torch.int32), 3, 2)


@needs_triton
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_output_and_gradients_equal_dense_convolution(kind: str) -> None:
    bxyz = twin.random_voxels(3)
    coarse = twin.parents(bxyz)
    kernel_map = map_of(kind, bxyz)
    tensors = operands(kernel_map, 6, 7, torch.float32)

    def dense(x: Tensor, kernel: Tensor) -> Tensor:
        fine = bxyz.to(DEVICE)
        if kind == "submanifold":
            found = twin.submanifold(fine, x, kernel)
        elif kind == "strided":
            found = twin.strided(fine, x, kernel, coarse.to(DEVICE))
        else:
            found = twin.transposed(coarse.to(DEVICE), x, kernel, fine)
        assert isinstance(found, Tensor)
        return found

    exact = results(dense, [t.double() for t in tensors])
    assert_near(results(lambda x, w: fused.convolve(x, w, kernel_map), tensors), exact, torch.float32)


@needs_triton
@pytest.mark.usefixtures("kernels")
def test_only_the_gradients_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_map = map_of("submanifold", twin.random_voxels(4, size=(3, 3, 3)))
    x, kernel, weight = operands(kernel_map, 3, 4, torch.float32)
    expected = torch.autograd.grad(plain_convolution(x, kernel.requires_grad_(), kernel_map), kernel, weight)[0]
    out = fused.convolve(x, kernel, kernel_map)
    monkeypatch.setattr(fused, "_gather_multiply", None)
    torch.testing.assert_close(torch.autograd.grad(out, kernel, weight)[0], expected)


@needs_triton
@pytest.mark.usefixtures("kernels")
def test_the_self_check_passes_and_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    n_voxels = 40_000 if CUDA else 60
    assert fused.largest_error(DEVICE, torch.float32, plain_convolution, n_voxels) < 1e-5
    monkeypatch.setattr(fused, "mirrored", lambda _: False)  # the gradient of x with the opposite weights
    assert fused.largest_error(DEVICE, torch.float32, plain_convolution, n_voxels) > 0.1


@needs_triton
@pytest.mark.usefixtures("kernels")
def test_the_self_check_runs_within_inference_and_autocast() -> None:
    with torch.inference_mode(), torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        assert fused.largest_error(DEVICE, torch.float16, plain_convolution, 20) < 2e-3


@needs_cuda
def test_results_repeat_bit_for_bit_and_autocast_chooses_the_type() -> None:
    bxyz = torch.unique(torch.randint(0, 40, (30_000, 3), generator=torch.Generator().manual_seed(0)), dim=0)
    kernel_map = map_of("submanifold", torch.nn.functional.pad(bxyz, (1, 0)).int())
    tensors = operands(kernel_map, 64, 96, torch.float32)
    first, second = (results(lambda x, w: sparse_convolution(x, w, kernel_map), tensors) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with torch.autocast("cuda", dtype=torch.float16):
        out = sparse_convolution(tensors[0], tensors[1], kernel_map)
    assert out.dtype == torch.float16


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_gpu_takes_the_fused_path(dtype: torch.dtype) -> None:
    x = torch.zeros((1, 1), device=DEVICE, dtype=dtype)
    assert fused.takes(x, plain_convolution)
    with fused.switched_off():
        assert not fused.takes(x, plain_convolution)


@needs_triton
@pytest.mark.usefixtures("kernels")
def test_a_whole_network_has_the_plain_path_s_output_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    bxyz = synthetic_voxels(2, 150).to(DEVICE)
    feats = torch.randn(len(bxyz), 4, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    torch.manual_seed(0)
    network = SparseUNet(ModelConfig(stem_width=5, encoder_widths=(6,), decoder_widths=(7,))).to(DEVICE)

    def run(is_fused: bool) -> list[Tensor]:
        monkeypatch.setattr(fused, "takes", lambda *_: is_fused)
        out = network(bxyz, feats)
        return [out.detach(), *torch.autograd.grad(out.square().mean(), tuple(network.parameters()))]

    for ours, plain in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-4 * float(plain.abs().max()) + 1e-7)


class OnCuda:
    """Stands for features on a GPU."""

    is_cuda = True
    dtype = torch.float16
    device = torch.device("cuda:5")


def test_failures_and_wrong_results_fall_back_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    x: Any = OnCuda()

    def fails(*_: object) -> float:
        raise RuntimeError("no such instruction\nand more")

    for check_found, told in ((fails, "RuntimeError: no such instruction"), (lambda *_: float("nan"), "differ by nan")):
        fused._works.cache_clear()
        monkeypatch.setattr(fused, "largest_error", check_found)
        with pytest.warns(UserWarning, match=f"float16 on cuda:5 .*{told}"):
            assert not fused.takes(x, plain_convolution)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not fused.takes(x, plain_convolution)
    fused._works.cache_clear()


def test_the_fused_path_can_be_switched_off_and_takes_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    x: Any = OnCuda()
    monkeypatch.setattr(fused, "_works", lambda *_: True)
    assert fused.takes(x, plain_convolution)
    with fused.switched_off():
        assert not fused.takes(x, plain_convolution)
    monkeypatch.setenv("ISCC_FUSED", "0")
    assert not fused.takes(x, plain_convolution)
    monkeypatch.delenv("ISCC_FUSED")
    monkeypatch.setattr(OnCuda, "dtype", torch.float64)
    assert not fused.takes(x, plain_convolution)
    assert not fused.takes(torch.zeros(1), plain_convolution)


def test_sparse_convolution_goes_where_takes_says(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_map = map_of("submanifold", twin.random_voxels(0, size=(3, 3, 3)))
    x, kernel, _ = operands(kernel_map, 2, 2, torch.float32)
    monkeypatch.setattr(convolution.fused, "takes", lambda *_: True)
    monkeypatch.setattr(convolution.fused, "convolve", lambda x, *_: x + 1)
    assert torch.equal(sparse_convolution(x, kernel, kernel_map), x + 1)
