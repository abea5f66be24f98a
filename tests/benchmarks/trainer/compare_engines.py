"""Comparison of the sparse engines on the same voxels and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from iscc_lidar.shared.base.config import option
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import keys_of_step
from iscc_lidar.trainer.data.voxelize import INPUT_CHANNELS
from iscc_lidar.trainer.engine import NATIVE, Engine
from iscc_lidar.trainer.engine.choose import load_engine
from iscc_lidar.trainer.engine.coordinates import sort_order
from iscc_lidar.trainer.engine.native import fused
from iscc_lidar.trainer.engine.native.convolution import plain_convolution
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain
from iscc_lidar.trainer.pretrain.samples.batch import collate
from iscc_lidar.trainer.pretrain.time_step import AGREEMENT, relative_difference

from benchmarks.bench_file import add_figures
from benchmarks.trainer import time_engine
from synthetic_voxels import synthetic_voxels

# N voxels of a batch

_HALVES: Final[dict[str, torch.dtype | None]] = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class EngineBenchConfig:
    """Options of the comparison. The network is MinkUNet at full width, see ModelConfig."""

    voxel_sizes: tuple[float, ...] = option((0.05, 0.1), "metres; for a cache's sweeps, synthetic voxels have no size")
    batch_sizes: tuple[int, ...] = option((2, 4, 8, 16), "sweeps")
    precisions: tuple[str, ...] = option(("fp32", "fp16", "bf16"), "fp32 (TF32 off), fp16 and bf16 by autocast")
    voxels_per_sweep: int = option(40_000, "voxels of a synthetic sweep")
    repeats: int = option(10, "timed passes after two to warm up; the median is reported")
    stem_width: int = option(32, "see model.stem_width")
    encoder_widths: tuple[int, ...] = option((32, 64, 128, 256), "see model.encoder_widths")
    decoder_widths: tuple[int, ...] = option((256, 128, 96, 96), "see model.decoder_widths")
    blocks: int = option(2, "see model.blocks")

    def __post_init__(self) -> None:
        unknown = [name for name in self.precisions if name not in _HALVES]
        if unknown or min((self.repeats, *self.batch_sizes), default=0) < 1 or not self.precisions:
            raise ValueError(f"precisions are among {', '.join(_HALVES)}; repeats and batch_sizes at least 1")

    @property
    def model(self) -> ModelConfig:
        """The network."""
        return ModelConfig(
            stem_width=self.stem_width,
            encoder_widths=self.encoder_widths,
            decoder_widths=self.decoder_widths,
            blocks=self.blocks,
        )


@dataclass(frozen=True)
class Contender:
    """An engine, the setting in which it is measured, and the types that it computes in."""

    name: str
    engine: Engine
    setting: Callable[[], AbstractContextManager[None]] = nullcontext
    computes_in: Callable[[torch.dtype], bool] = lambda _: True


def bench_engines(out: Path, config: EngineBenchConfig, cache: Path | str | None, device: torch.device) -> bool:
    """Measure, print a table and add the figures to bench.json.

    Args:
        out: folder of bench.json.
        config: voxels, precisions and network.
        cache: whose sweeps; None for synthetic voxels.
        device: where.

    Returns:
        Whether all outputs in float32, TF32 off, agree with the native engine's plain path to AGREEMENT.
    """
    figures: dict[str, float] = {}
    with _no_tf32():
        ceilings = {name: _ceilings(device, _HALVES[name], config.repeats) for name in config.precisions}
        for name, ceiling in ceilings.items():
            figures[f"{name}.matmul_tflop_s"] = ceiling.flops_per_s / 1e12
            figures[f"{name}.copy_gb_s"] = ceiling.bytes_per_s / 1e9
            print(f"{name}: at best {ceiling.flops_per_s / 1e12:.1f} Tflop/s, {ceiling.bytes_per_s / 1e9:.0f} GB/s")
        contenders = list(_contenders(device))
        print(_HEAD)
        for case, bxyz, feats in _batches(config, cache, device):
            figures |= _compare(case, bxyz, feats, contenders, ceilings, config)
    add_figures(out, "engines", figures)
    differences = {n: value for n, value in figures.items() if ".fp32." in n and n.endswith("difference")}
    differing = ", ".join(n for n, value in differences.items() if not value <= AGREEMENT)
    print(f"outputs DIFFER by more than 1e-4: {differing}" if differing else "all outputs in fp32 agree to 1e-4")
    return not differing


def _contenders(device: torch.device) -> Iterator[Contender]:
    """Yield the plain path, which the others are compared with, then the other engines of the device."""
    if device.type != "cuda":
        yield Contender("native", NATIVE)
        print("on a CPU there is one engine; the fused kernels and TorchSparse need CUDA")
        return
    yield Contender("plain", NATIVE, fused.switched_off)
    yield Contender(
        "fused",
        NATIVE,
        computes_in=lambda dtype: fused.takes(torch.empty(1, device=device, dtype=dtype), plain_convolution),
    )
    try:
        engine = load_engine("torchsparse", device)
        yield Contender("torchsparse", engine, computes_in=lambda dtype: dtype is not torch.bfloat16)
    except UserError as error:
        print(f"no TorchSparse: {error}")


def _compare(
    case: str,
    bxyz: Tensor,
    feats: Tensor,
    contenders: list[Contender],
    ceilings: dict[str, time_engine.Ceilings],
    config: EngineBenchConfig,
) -> dict[str, float]:
    torch.manual_seed(0)
    native = SparseUNet(config.model).to(bxyz.device)
    work = time_engine.count_work(native, bxyz, feats)
    exact = None
    figures = {f"{case}.voxels": float(len(bxyz))}
    figures[f"{case}.native_maps_ms"] = time_engine.maps_ms(bxyz, work.depth, config.repeats)
    for name, ceiling in ceilings.items():
        half = _HALVES[name]
        for contender in contenders:
            if not contender.computes_in(half or torch.float32):
                print(f"{case:<27}{name:<6}{contender.name:<13}cannot")
                continue
            network = SparseUNet(config.model, contender.engine).to(bxyz.device)
            network.load_state_dict(native.state_dict())
            try:
                with contender.setting():
                    found = time_engine.output(network, bxyz, feats, half)
                    row = time_engine.measure_pass(network, bxyz, feats, half, config.repeats)
            except torch.cuda.OutOfMemoryError:
                print(f"{case:<27}{name:<6}{contender.name:<13}out of memory")
                continue
            if exact is None:
                exact = found
            row["difference"] = relative_difference(found, exact)
            row |= time_engine.shares(row, work, ceiling, 4 if half is None else 2)
            print(_line(case, len(bxyz), name, contender.name, row))
            figures |= {f"{case}.{name}.{contender.name}.{key}": value for key, value in row.items()}
    return figures


def _batches(
    config: EngineBenchConfig, cache: Path | str | None, device: torch.device
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield name, voxels int32 [N, 4] and features float32 [N, 4] of each batch to measure on."""
    for size in (None,) if cache is None else config.voxel_sizes:
        for sweeps in config.batch_sizes:
            if size is None or cache is None:
                name, bxyz = "synthetic", synthetic_voxels(sweeps, config.voxels_per_sweep)
            else:
                name, bxyz = f"{size:g}m", _sweeps(Cache(cache), size, sweeps)
            bxyz = bxyz[sort_order(bxyz)].to(device)
            feats = torch.randn((len(bxyz), INPUT_CHANNELS), generator=torch.Generator().manual_seed(0)).to(device)
            yield f"{name}.b{sweeps}", bxyz, feats


def _sweeps(cache: Cache, voxel_size: float, sweeps: int) -> Tensor:
    config = resolve_pretrain()
    config = replace(config, model=replace(config.model, voxel_size=voxel_size))
    dataset = PairDataset(cache, config)
    samples = [dataset[key] for key in keys_of_step(0, len(dataset), config.train.seed, sweeps)]
    return collate(samples).view2.coords  # the first view lacks the masked balls


def _ceilings(device: torch.device, half: torch.dtype | None, repeats: int) -> time_engine.Ceilings:
    return time_engine.measure_ceilings(device, half or torch.float32, repeats)


@contextmanager
def _no_tf32() -> Iterator[None]:
    matmul: Any = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


_HEAD: Final = (
    f"{'batch':<16}{'voxels':>9}  {'':<6}{'engine':<13}{'forward':>9}{'training':>10}{'peak':>8}"
    f"{'matmul':>9}{'bandwidth':>11}{'differs by':>12}\n"
    f"{'':<46}{'ms':>9}{'ms':>10}{'GB':>8}{'share of training':>20}"
)


def _line(case: str, voxels: int, precision: str, engine: str, row: dict[str, float]) -> str:
    peak = f"{row['peak_gb']:.2f}" if "peak_gb" in row else "-"
    times = f"{row['forward_ms']:>9.2f}{row['training_ms']:>10.2f}{peak:>8}"
    parts = f"{row['training_matmul_share']:>9.1%}{row['training_bandwidth_share']:>11.1%}{row['difference']:>12.1e}"
    return f"{case:<16}{voxels:>9,}  {precision:<6}{engine:<13}{times}{parts}"
