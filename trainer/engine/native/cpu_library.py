"""The C kernels of cpu_kernels.c as functions of tensors, if installation could compile them.

The library is called through ctypes, which releases the GIL. Shapes and dtypes are checked here, ranges in C.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from iscc_lidar.shared.base.c_library import load_library
from iscc_lidar.trainer.engine.coordinates import Coordinates

# N voxels, M pairs, B blocks, K offsets

_NO_MEMORY = 1  # what they return
BLOCK = 512
"""Number of output rows whose sums, sources and weights of one offset should fit a core's cache."""

_INTERFACE = 2  # version of cpu_kernels.c's functions that this module calls
_switched_off = False


@dataclass(frozen=True)
class Blocks:
    """The pairs grouped by block of BLOCK output rows and by offset, as the C kernels read them.

    Attributes:
        sources, targets: int32 [M], input and output row of each pair.
        starts: int64 [B * K + 1], where the pairs of each block and offset start.
        sizes: int64 [K], number of pairs of each offset.
        mirrored: offset o here stands for K - 1 - o.

    Raises ValueError for arrays of other dtypes, or that do not fit each other.
    """

    sources: Tensor
    targets: Tensor
    starts: Tensor
    sizes: Tensor
    mirrored: bool

    def __post_init__(self) -> None:
        _require(self.sources.ndim == 1, self.sources, torch.int32)
        _require(self.targets.shape == self.sources.shape, self.targets, torch.int32)
        _require(self.starts.ndim == 1, self.starts, torch.int64)
        _require(self.sizes.ndim == 1 and len(self.sizes) > 0, self.sizes, torch.int64)


def available() -> bool:
    """Return whether the kernels are compiled and not switched off."""
    return not _switched_off and _load()[0] is not None


def lanes() -> int:
    """Return the number of floats in the registers that the C kernels use on this machine."""
    return int(_kernels().iscc_lanes())


def description() -> str:
    """Describe what multiplies float32 on a CPU: "C kernels, ..." or "PyTorch, ..." with the reason."""
    if _switched_off:
        return "PyTorch, the C kernels are switched off"
    found, reason = _load()
    return f"C kernels, {lanes()} floats per register" if found else f"PyTorch, {reason}"


@contextmanager
def switched_off() -> Iterator[None]:
    """Switch the C kernels off within the block, for comparison."""
    global _switched_off
    before, _switched_off = _switched_off, True
    try:
        yield
    finally:
        _switched_off = before


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    found, reason = load_library("iscc_lidar.trainer.engine.native._cpu_kernels", _INTERFACE)
    if found is not None:
        pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
        found.iscc_convolve.argtypes = [number] * 2 + [pointer] * 6 + [size] * 10 + [number]
        found.iscc_outer_products.argtypes = [number] * 2 + [pointer] * 7 + [size] * 7 + [number]
        found.iscc_neighbours.argtypes = [pointer, size, size, size, pointer, pointer, pointer]
        found.iscc_neighbours.restype = size
        found.iscc_group.argtypes = [pointer] * 3 + [size] * 4 + [pointer] * 3
    return found, reason


def find_neighbours(coordinates: Coordinates) -> tuple[Tensor, Tensor, Tensor]:
    """Find one of each pair of opposite neighbours: offset, row, and the neighbour's row, int32 [M] each.

    Raises ValueError for keys that are not int64 [N] or do not ascend.
    """
    n, keys = len(coordinates), coordinates.keys.contiguous()
    _require(keys.shape == (n,), keys, torch.int64)
    buffer = torch.empty((3, 13 * n), dtype=torch.int32)
    m = _kernels().iscc_neighbours(keys.data_ptr(), n, *coordinates.key_steps, *_pointers(*buffer))
    if m < 0:
        raise ValueError("keys of voxels must ascend, and none may be repeated")
    offsets, rows, neighbours = buffer[:, :m]
    return offsets, rows, neighbours


def group_pairs(offsets: Tensor, sources: Tensor, targets: Tensor, n_out: int, n_offsets: int) -> Blocks:
    """Group pairs, [M] each, of n_out output rows by block and offset.

    Raises ValueError for arrays of different lengths, and targets or offsets that there are not.
    """
    offsets, sources, targets = (t.int().contiguous() for t in (offsets, sources, targets))
    _require(offsets.ndim == 1 and offsets.shape == sources.shape == targets.shape, offsets, torch.int32)
    if n_out < 0 or n_offsets < 1:
        raise ValueError(f"there are no {n_out} rows, or no {n_offsets} offsets")
    n_blocks = -(-n_out // BLOCK)
    starts = torch.empty(n_blocks * n_offsets + 1, dtype=torch.int64)
    grouped_sources, grouped_targets = torch.empty_like(sources), torch.empty_like(targets)
    failed = _kernels().iscc_group(
        *_pointers(offsets, sources, targets),
        *(len(sources), n_out, BLOCK, n_offsets),
        *_pointers(starts, grouped_sources, grouped_targets),
    )
    _raise_if(failed)
    sizes = starts.diff().view(n_blocks, n_offsets).sum(0)
    return Blocks(grouped_sources, grouped_targets, starts, sizes, mirrored=False)


def convolve(x: Tensor, kernel: Tensor, blocks: Blocks, n_out: int, identity: int) -> Tensor:
    """Sum x[source] @ kernel[offset] into each output row: float32 [n_out, C_out].

    Args:
        x: float32 [N_in, C_in], contiguous.
        kernel: float32 [K, C_in, C_out], any strides.
        blocks: the pairs.
        n_out: number of output rows.
        identity: offset that pairs every row with itself and is not in blocks, -1 for none.

    Raises ValueError for operands or pairs that do not fit each other.
    """
    if not (x.ndim == 2 and kernel.ndim == 3 and x.is_contiguous() and x.dtype is kernel.dtype is torch.float32):
        raise _unfit(x, kernel)
    if not (x.is_cpu and kernel.is_cpu and x.shape[1] == kernel.shape[1] and _fits(blocks, len(kernel), n_out)):
        raise _unfit(x, kernel)
    out = x.new_empty(n_out, kernel.shape[2])
    step, *steps = kernel.stride()
    first = kernel[-1 if blocks.mirrored else 0]
    failed = _kernels().iscc_convolve(
        *(lanes(), torch.get_num_threads()),
        *_pointers(x, first, out, blocks.sources, blocks.targets, blocks.starts),
        *(len(blocks.sources), len(x), n_out, BLOCK, *kernel.shape),
        *(-step if blocks.mirrored else step, *steps, identity),
    )
    _raise_if(failed)
    return out


def outer_products(x: Tensor, g: Tensor, blocks: Blocks, identity: int) -> Tensor:
    """Sum x[source]^T g[target] over each offset's pairs: float32 [K, C_in, C_out].

    x is float32 [N_in, C_in], g float32 [N_out, C_out], both contiguous; for ``identity`` and errors see convolve.
    """
    if not (x.ndim == g.ndim == 2 and x.is_contiguous() and g.is_contiguous() and x.dtype is g.dtype is torch.float32):
        raise _unfit(x, g)
    if not (x.is_cpu and g.is_cpu and _fits(blocks, len(blocks.sizes), len(g))):
        raise _unfit(x, g)
    if not -1 <= identity < len(blocks.sizes):
        raise ValueError(f"there is no offset {identity}")
    width, sizes = lanes(), blocks.sizes.clone()
    if identity >= 0:
        sizes[identity] = len(g)
    sums = x.new_zeros(len(sizes), x.shape[1], -(-g.shape[1] // width) * width)
    failed = _kernels().iscc_outer_products(
        *(width, torch.get_num_threads()),
        *_pointers(x, g, sums, blocks.sources, blocks.targets, blocks.starts, sizes),
        *(len(blocks.sources), len(x), len(g), BLOCK, *sums.shape[:2], g.shape[1], identity),
    )
    _raise_if(failed)
    return (sums.flip(0) if blocks.mirrored else sums)[..., : g.shape[1]].contiguous()


def _kernels() -> ctypes.CDLL:
    found, reason = _load()
    if found is None:
        raise RuntimeError(reason)
    return found


def _pointers(*tensors: Tensor) -> list[int]:
    return [t.data_ptr() for t in tensors]


def _fits(blocks: Blocks, n_offsets: int, n_out: int) -> bool:
    return len(blocks.sizes) == n_offsets and len(blocks.starts) == -(-n_out // BLOCK) * n_offsets + 1


def _require(fits: bool, tensor: Tensor, dtype: torch.dtype) -> None:
    """Raise ValueError unless the shape of a tensor fits and it is what C can read."""
    if not (fits and tensor.dtype is dtype and tensor.is_cpu and tensor.is_contiguous()):
        raise _unfit(tensor)


def _unfit(*tensors: Tensor) -> ValueError:
    found = " and ".join(
        f"{t.dtype} {list(t.shape)} on {t.device}{'' if t.is_contiguous() else ', not contiguous,'}" for t in tensors
    )
    return ValueError(f"{found} cannot be operands of a sparse convolution by the C kernels with these pairs")


def _raise_if(failed: int) -> None:
    if failed == _NO_MEMORY:
        raise MemoryError("not enough memory for the buffers of a sparse convolution")
    if failed:
        raise ValueError("rows, offsets or numbers of pairs that there are not")
