"""The fused convolution's launches, compiled for GPUs that need not be there."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import fused, tile_sizes
from iscc_lidar.trainer.engine.native.kernel_map import MapCache

from synthetic_voxels import synthetic_voxels

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed (pip install triton, Linux only)", allow_module_level=True)

POINTERS = {torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.int32: "*i32"}
OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion")
SMALLEST_SHARED_MEMORY = 99 * 1024
"""What a block may have on sm_86, sm_89 and sm_120; sm_80 and sm_90 have more."""


class Recorder:
    """Stands for a kernel, and keeps what it was launched with."""

    def __init__(self, name: str, launches: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
        self.name, self.launches = name, launches

    def __getitem__(self, _: tuple[int, ...]) -> Any:
        return lambda *args, **kwargs: self.launches.append((self.name, args, kwargs))


def launches_of(
    monkeypatch: pytest.MonkeyPatch, major: int, dtype: torch.dtype, c_in: int, c_out: int
) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    launches: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    names = ("gather_multiply", "multiply_pairs", "add_splits")
    recorders = SimpleNamespace(**{name: Recorder(name, launches) for name in names})
    monkeypatch.setattr(fused, "_kernels", lambda: recorders)
    monkeypatch.setattr(fused, "_major", lambda _: major)
    monkeypatch.setattr(tile_sizes, "_FEW_PROGRAMS", 0)
    maps = MapCache(sorted_coordinates(synthetic_voxels(1, 300)))
    x, kernel = torch.zeros(300, c_in, dtype=dtype), torch.zeros(27, c_in, c_out, dtype=dtype)
    out = fused.convolve(x.requires_grad_(), kernel.requires_grad_(), maps.submanifold(0))
    torch.autograd.grad(out.sum(), (x, kernel))
    return launches


def compiled(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], capability: int) -> Any:
    import triton
    from triton.backends.compiler import GPUTarget

    from iscc_lidar.trainer.engine.native import triton_kernels

    kernel = triton.runtime.jit.JITFunction(getattr(triton_kernels, f"_{name}"))
    given = dict(zip(kernel.arg_names, args, strict=False))
    signature = {n: POINTERS[v.dtype] if isinstance(v, torch.Tensor) else "i32" for n, v in given.items()}
    aligned = {(i,): [["tt.divisibility", 16]] for i, v in enumerate(args) if isinstance(v, torch.Tensor)}
    constants = {n: v for n, v in kwargs.items() if n not in OPTIONS}
    full = {n: signature.get(n, "constexpr") for n in kernel.arg_names}
    source = triton.compiler.ASTSource(kernel, full, constants, aligned)
    options = {n: v for n, v in kwargs.items() if n in OPTIONS}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def stack_bytes(cubin: bytes, folder: Path) -> int:
    """Bytes of stack of each thread: more than none where registers spill."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    (folder / "kernel.cubin").write_bytes(cubin)
    command = [str(tool), "-res-usage", str(folder / "kernel.cubin")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(told.partition("STACK:")[2].split()[0])


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("dtype", "c_in", "c_out"),
    [(torch.float16, 4, 32), (torch.bfloat16, 128, 96), (torch.float32, 128, 96)],
)
def test_launches_compile_without_spills_and_half_types_use_tensor_cores(
    capability: int, dtype: torch.dtype, c_in: int, c_out: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    launches = launches_of(monkeypatch, capability // 10, dtype, c_in, c_out)
    n_tables = tile_sizes.n_tables(27, c_in, c_out)
    assert [name for name, *_ in launches] == ["gather_multiply"] * 2 * n_tables + ["multiply_pairs", "add_splits"]
    for name, args, kwargs in launches:
        found = compiled(name, args, kwargs, capability)
        assert stack_bytes(found.asm["cubin"], tmp_path) == 0
        assert found.metadata.shared <= SMALLEST_SHARED_MEMORY
        if dtype is not torch.float32 and name != "add_splits":
            assert "mma.sync" in found.asm["ptx"] or "wgmma.mma_async" in found.asm["ptx"]
            assert "cp.async" in found.asm["ptx"]
