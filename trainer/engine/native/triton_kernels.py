"""The fused convolution's kernels in Triton. Imported only if Triton is installed.

Three kernels: gather, multiply and sum for the output (or the gradient of x); products of pairs for the gradient of
the kernel; their sum. Each adds in float32, in an order that does not depend on timing.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

# With string annotations Triton recognises constexpr by its name. Names in capitals are known at compile time.


def _gather_multiply(
    x: tl.tensor,
    weight: tl.tensor,
    rows: tl.tensor,
    needed: tl.tensor,
    offsets: tl.tensor,
    sources: tl.tensor,
    base: tl.tensor,
    out: tl.tensor,
    n_out: tl.tensor,
    J: tl.constexpr,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    LAST_OFFSET: tl.constexpr,
    GRADIENT: tl.constexpr,
    ADD: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Compute one tile of out[rows] = base[rows] + sum over a table's offsets of x[source] @ weight[offset].

    weight is [K, C_IN, C_OUT], or with GRADIENT [K, C_OUT, C_IN], used transposed. LAST_OFFSET is K - 1 to use the
    opposite offset's weight, otherwise -1. base (float32) is read only with ADD; it may be out itself.
    """
    col_tiles: tl.constexpr = (C_OUT + COLS - 1) // COLS
    depth_blocks: tl.constexpr = (C_IN + DEPTH - 1) // DEPTH
    # Programs with the same rows follow each other, so that their gathered rows are still in the L2 cache.
    tile = tl.program_id(0) // col_tiles
    col = (tl.program_id(0) % col_tiles) * COLS + tl.arange(0, COLS)
    if ADD:
        before = tl.load(rows + tile * ROWS + tl.arange(0, ROWS))
        total = tl.load(
            base + (before.to(tl.int64)[:, None] * C_OUT + col[None, :]),
            mask=(before < n_out)[:, None] & (col < C_OUT)[None, :],
            other=0.0,
        )
    else:
        total = tl.full((ROWS, COLS), 0.0, tl.float32)
    slots = tile.to(tl.int64) * J
    # One loop over offsets and channels, because only the innermost loop is pipelined.
    for step in range(tl.load(needed + tile) * depth_blocks):
        channel = (step % depth_blocks) * DEPTH + tl.arange(0, DEPTH)
        slot = slots + step // depth_blocks
        offset = tl.load(offsets + slot)
        if LAST_OFFSET >= 0:
            offset = LAST_OFFSET - offset
        source = tl.load(sources + slot * ROWS + tl.arange(0, ROWS))
        left = tl.load(
            x + source.to(tl.int64)[:, None] * C_IN + channel[None, :],
            mask=(source >= 0)[:, None] & (channel < C_IN)[None, :],
            other=0.0,
        )
        where = col[None, :] * C_IN + channel[:, None] if GRADIENT else channel[:, None] * C_OUT + col[None, :]
        right = tl.load(
            weight + offset * (C_IN * C_OUT) + where,
            mask=(channel < C_IN)[:, None] & (col < C_OUT)[None, :],
            other=0.0,
        )
        total = tl.dot(left, right, total, input_precision=PRECISION)
    # Read again: keeping the addresses of a tile through the loop would take half of the registers.
    row = tl.load(rows + tile * ROWS + tl.arange(0, ROWS))
    where_out = row.to(tl.int64)[:, None] * C_OUT + col[None, :]
    is_out = (row < n_out)[:, None] & (col < C_OUT)[None, :]
    tl.store(out + where_out, total.to(out.dtype.element_ty), mask=is_out)


def _multiply_pairs(
    x: tl.tensor,
    grad: tl.tensor,
    sources: tl.tensor,
    targets: tl.tensor,
    start: tl.tensor,
    stop: tl.tensor,
    partial: tl.tensor,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    PAIRS: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Compute one tile of partial[split] = x[sources]^T @ grad[targets] over the pairs of a split."""
    out_tiles: tl.constexpr = (C_OUT + OUT - 1) // OUT
    split = tl.program_id(0)
    c_in = (tl.program_id(1) // out_tiles) * IN + tl.arange(0, IN)
    c_out = (tl.program_id(1) % out_tiles) * OUT + tl.arange(0, OUT)
    end = tl.load(stop + split)
    total = tl.full((IN, OUT), 0.0, tl.float32)
    for begin in range(tl.load(start + split), end, PAIRS):
        pair = begin + tl.arange(0, PAIRS)
        is_pair = pair < end
        source = tl.load(sources + pair, mask=is_pair, other=0).to(tl.int64)
        target = tl.load(targets + pair, mask=is_pair, other=0).to(tl.int64)
        left = tl.load(
            x + source[None, :] * C_IN + c_in[:, None], mask=is_pair[None, :] & (c_in < C_IN)[:, None], other=0.0
        )
        right = tl.load(
            grad + target[:, None] * C_OUT + c_out[None, :],
            mask=is_pair[:, None] & (c_out < C_OUT)[None, :],
            other=0.0,
        )
        total = tl.dot(left, right, total, input_precision=PRECISION)
    where = split.to(tl.int64) * (C_IN * C_OUT) + c_in[:, None] * C_OUT + c_out[None, :]
    tl.store(partial + where, total, mask=(c_in < C_IN)[:, None] & (c_out < C_OUT)[None, :])


def _add_splits(partial: tl.tensor, first: tl.tensor, out: tl.tensor, SIZE: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """Sum the offset's splits, first to last, into out[offset]; one block of its SIZE = C_in C_out numbers."""
    offset = tl.program_id(0)
    where = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for split in range(tl.load(first + offset).to(tl.int64), tl.load(first + offset + 1).to(tl.int64)):
        total += tl.load(partial + split * SIZE + where, mask=where < SIZE, other=0.0)
    tl.store(out + offset.to(tl.int64) * SIZE + where, total.to(out.dtype.element_ty), mask=where < SIZE)


gather_multiply: Any = triton.jit(_gather_multiply, do_not_specialize=["n_out"])
multiply_pairs: Any = triton.jit(_multiply_pairs)
add_splits: Any = triton.jit(_add_splits)
