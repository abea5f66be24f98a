from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

from benchmarks.trainer.matmul_floor import bench_engine
from synthetic_voxels import synthetic_voxels

TINY = ModelConfig(stem_width=4, encoder_widths=(6, 5), decoder_widths=(5, 6))


@pytest.fixture
def loads_anew() -> Iterator[None]:
    cpu_library._load.cache_clear()
    yield
    cpu_library._load.cache_clear()


def training_pass() -> list[torch.Tensor]:
    """Output and gradients of a small network."""
    torch.manual_seed(0)
    network, bxyz = SparseUNet(TINY), synthetic_voxels(1, 500)
    out = network(bxyz, torch.randn(len(bxyz), TINY.in_channels))
    return [out.detach(), *torch.autograd.grad(out.square().mean(), list(network.parameters()))]


def test_everything_works_where_nothing_was_compiled(loads_anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = training_pass()
    cpu_library._load.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not cpu_library.available()
    assert cpu_library.description().startswith("PyTorch, the C kernels were not compiled")
    for ours, theirs in zip(training_pass(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)
    figures = bench_engine(SparseUNet(TINY), synthetic_voxels(1, 500), TINY.in_channels, repeats=1)
    assert figures["c_kernel_lanes"] == 0
    assert figures["plain_ratio"] == figures["ratio"]


def test_a_file_that_does_not_load_is_passed_over(
    loads_anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "_cpu_kernels.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None, origin=str(broken)))
    assert cpu_library.description().startswith("PyTorch, the C kernels do not load")
    with pytest.raises(RuntimeError, match="do not load"):
        cpu_library.lanes()


@pytest.mark.skipif(not cpu_library.available(), reason=cpu_library.description())
def test_a_library_of_another_version_is_passed_over(loads_anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_library, "_INTERFACE", -1)
    assert "another version" in cpu_library.description()


@pytest.mark.skipif(not cpu_library.available(), reason=cpu_library.description())
def test_switching_off_lasts_for_its_block() -> None:
    assert cpu_library.description().startswith(f"C kernels, {cpu_library.lanes()} floats")
    with cpu_library.switched_off(), cpu_library.switched_off():
        assert "switched off" in cpu_library.description()
    assert cpu_library.available()


@pytest.mark.skipif(not cpu_library.available(), reason=cpu_library.description())
def test_memory_that_cannot_be_had_is_an_error_of_python() -> None:
    empty = torch.empty(0, dtype=torch.int32)
    starts = torch.zeros(2**20 + 1, dtype=torch.int64)
    blocks = cpu_library.Blocks(empty, empty, starts, starts[1:], mirrored=False)
    kernel = torch.zeros(1, 1, 1).expand(2**20, 2**16, 2**16)
    with pytest.raises(MemoryError):
        cpu_library.convolve(torch.zeros(1, 2**16), kernel, blocks, 1, -1)
