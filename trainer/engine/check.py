"""Check that an engine computes the same as the native one.

    python -m iscc_lidar.trainer.engine.check torchsparse --device cuda

Every type of layer, forward and backward, in float32 and float16, on a few hundred voxels: with cells on the far
border of axes of odd length, with maps first made without gradients, and on a grid of more than 2**31 cells. The exit
status is 0 if all agree; otherwise the last line on stderr names the difference.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine import NATIVE, Engine
from iscc_lidar.trainer.engine.choose import import_torchsparse

# N voxels of a layer's input, M of its output, C channels

TOLERANCE: Final = {torch.float32: 1e-4, torch.float16: 2e-2}
"""Maximum difference from the native engine in float32, relative to the largest value of the compared tensor.

Sums of up to 27 * 96 products in another order differ by about 1e-6 of it; float16 rounds at 1e-3.
"""

# TorchSparse selects a kernel by the divisors of the widths; these are widths of the default model and of MinkUNet.
_WIDTHS: Final = ((4, 24), (24, 32), (32, 48), (32, 64), (96, 96))


@dataclass(frozen=True)
class Layer:
    """A type of layer, and the level of its input voxels."""

    name: str
    kernel_size: int
    stride: int
    transposed: bool
    level: int


LAYERS: Final = (
    Layer("transposed on level 1", 2, 2, True, 1),
    Layer("transposed on level 2", 2, 2, True, 2),
    Layer("submanifold", 3, 1, False, 0),
    Layer("submanifold on level 1", 3, 1, False, 1),
    Layer("strided", 2, 2, False, 0),
    Layer("strided on level 1", 2, 2, False, 1),
    Layer("kernel 1", 1, 1, False, 0),
)


def check_engine(engine: Engine, device: torch.device) -> dict[torch.dtype, float]:
    """Compare an engine with the native one, layer by layer. TF32 must be off, as it is by default.

    Returns:
        The largest relative difference for each dtype of TOLERANCE.

    Raises:
        UserError: rows are missing or values differ by more than TOLERANCE; names layer and figures.
    """
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for where, bxyz in {"near": near_voxels(), "far": far_voxels()}.items():
        levels, expected_levels = (_levels(e, bxyz.to(device)) for e in (engine, NATIVE))
        for level, (ours, theirs) in enumerate(zip(levels, expected_levels, strict=True)):
            if len(ours.feats) != len(theirs.feats):
                raise UserError(f"level {level} has {len(ours.feats)} voxels, not {len(theirs.feats)} ({where} voxels)")
        for widths in _WIDTHS:
            for layer in LAYERS:
                expected = _run(NATIVE, layer, widths, expected_levels, torch.float32)
                for dtype in TOLERANCE:
                    difference = _difference(_run(engine, layer, widths, levels, dtype), expected)
                    if not difference <= TOLERANCE[dtype]:
                        raise UserError(
                            f"{layer.name}, {widths[0]} to {widths[1]} channels, {dtype}, {where} voxels: differs by "
                            f"{difference:.1e} of the largest value, allowed {TOLERANCE[dtype]:.0e}"
                        )
                    worst[dtype] = max(worst[dtype], difference)
    return worst


def near_voxels() -> Tensor:
    """Return half of the cells of two grids of 9 x 7 x 5, including the far corner: sorted int32 [N, 4]."""
    occupied = torch.rand((2, 9, 7, 5), generator=torch.Generator().manual_seed(0)) < 0.5
    occupied[:, -1, -1, -1] = True
    return torch.nonzero(occupied).int()


def far_voxels() -> Tensor:
    """Return the same voxels with the second sample so far away that the grid has more than 2**33 cells."""
    bxyz = near_voxels()
    bxyz[:, 1:] += 4000 * bxyz[:, :1]
    return bxyz


def _levels(engine: Engine, bxyz: Tensor) -> list[Any]:
    """Make tensors on levels 0, 1 and 2, their maps made without gradients, strided layers first."""
    down = engine.SparseConv3d(16, 16, 2, 2).to(bxyz.device)
    with torch.no_grad():
        finest = engine.sparse_tensor(bxyz, torch.ones((len(bxyz), 16), device=bxyz.device))
        return [finest, middle := down(finest), down(middle)]


def _run(
    engine: Engine, layer: Layer, widths: tuple[int, int], levels: list[Any], dtype: torch.dtype
) -> Mapping[str, Tensor]:
    """Return a layer's output and gradients for features, weights and a loss that are the same for every engine."""
    x = levels[layer.level]
    device = x.feats.device
    generator = torch.Generator().manual_seed(1)
    state = NATIVE.SparseConv3d(*widths, layer.kernel_size, layer.stride, transposed=layer.transposed).state_dict()
    state = {name: torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5 for name, p in state.items()}
    module = engine.SparseConv3d(*widths, layer.kernel_size, layer.stride, transposed=layer.transposed).to(device)
    module.load_state_dict(state)
    feats = torch.randn((len(x.feats), widths[0]), generator=generator).to(device).requires_grad_()
    with torch.autocast(device.type, dtype=torch.float16, enabled=dtype is torch.float16):
        out: Tensor = module(x.with_feats(feats)).feats
    weight = torch.randn(out.shape, generator=generator).to(device)
    gradients = torch.autograd.grad((out.float() * weight).sum(), (feats, *module.parameters()))
    return {"output": out.detach().float(), "of the input": gradients[0], "of the kernel": gradients[1]}


def _difference(ours: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Return the largest relative difference: infinite if shapes differ, NaN if a value is NaN."""
    if any(ours[name].shape != expected[name].shape for name in expected):
        return float("inf")
    return max(float((ours[name] - e).abs().max() / e.abs().max()) for name, e in expected.items())


def main(arguments: list[str] | None = None) -> int:
    """Check the engine named on the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Compare a sparse convolution engine with the native one.")
    parser.add_argument("engine", choices=("torchsparse", "native"))
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    options = parser.parse_args(arguments)
    try:
        engine = import_torchsparse(options.device) if options.engine == "torchsparse" else NATIVE
        worst = check_engine(engine, options.device)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # a build for another machine can fail in any way
        traceback.print_exc()
        print(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        return 1
    found = ", ".join(f"{str(t).removeprefix('torch.')} within {d:.1e}" for t, d in worst.items())
    print(f"{options.engine} on {options.device} agrees with native: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
