"""Tile sizes of the fused convolution: a fixed function of the problem's shape and the GPU's generation.

Nothing is tuned at run time, so that every process of a run, and every run, adds in the same order. The sizes were
chosen by compiling for sm_80 and sm_90: no register spills, at least 12 warps per multiprocessor (8 in one case, 192
to 128 channels on sm_80), at most 75 KB of shared memory per block (consumer GPUs have 99). They have been run on a
GPU, but not compared with others there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_FEW_PROGRAMS = 256
"""About two programs per multiprocessor of a large GPU; below that, smaller tiles keep more of them busy."""


@dataclass(frozen=True)
class TileSizes:
    """Size of one program's product [rows, depth] @ [depth, cols], its warps, and stages of its pipeline.

    Five stages keep two steps of gathered data in flight, because an index must be read before its row.
    """

    rows: int
    cols: int
    depth: int
    warps: int
    stages: int = 5


def gather_sizes(n_out: int, c_in: int, c_out: int, dtype: torch.dtype, tf32: bool) -> TileSizes:
    """Return the tiles of the output: rows x output channels, with input channels as depth."""
    if dtype is torch.float32 and not tf32:
        # Without tensor cores a step's operands are in registers: a larger tile spills.
        return TileSizes(64, _width(c_out, 64), 16, 4)
    # 128 columns would gather rows of x half as often, but leave registers for only 8 warps.
    cols = _width(c_out, 64)
    depth = 64 if c_in % 64 == 0 and dtype is not torch.float32 else _width(c_in, 32)
    is_large = -(-n_out // 128) * -(-c_out // cols) >= _FEW_PROGRAMS
    rows = 128 if is_large and dtype is not torch.float32 else 64
    return TileSizes(rows, cols, depth, 4)


def pair_sizes(c_in: int, c_out: int, dtype: torch.dtype, tf32: bool, major: int) -> TileSizes:
    """Return the tiles of the kernel's gradient: input x output channels, with pairs as depth.

    ``major`` is that of the GPU's compute capability, 9 for sm_90.
    """
    if dtype is torch.float32 and not tf32:
        return TileSizes(_width(c_in, 64), _width(c_out, 64), 16, 4)
    # wgmma (sm_90) and tcgen05 (sm_100) read operands from shared memory and leave registers for wider tiles.
    largest = 128 if major in (9, 10) and dtype is not torch.float32 else 64
    rows, cols = _width(c_in, largest), _width(c_out, largest)
    return TileSizes(rows, cols, 32, 8 if rows * cols > 128 * 64 else 4)


def n_tables(n_offsets: int, c_in: int, c_out: int) -> int:
    """Return the number of offset ranges that are sorted separately, see neighbour_table.

    On real sweeps at 0.05 and 0.1 m one range computes 1.8 to 2.1 times the products that exist, two 1.2 to 1.5,
    three 1.1 to 1.3; each range after the first writes and reads the output once more, in float32, which with few
    channels costs more than the products.
    """
    return 2 if n_offsets == 27 and c_in * c_out >= 64 * 64 else 1


def n_splits(c_in: int, c_out: int, sizes: TileSizes) -> int:
    """Return the number of pieces of all pairs for the kernel's gradient: about 1,024 programs with their tiles."""
    return max(32, 1024 // (-(-c_in // sizes.rows) * -(-c_out // sizes.cols)))


def _width(channels: int, largest: int) -> int:
    # Tensor core products are at least 16 wide, and Triton's blocks are powers of two.
    return min(largest, max(16, 1 << (channels - 1).bit_length()))
