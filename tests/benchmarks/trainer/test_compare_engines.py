from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.trainer.engine import NATIVE
from iscc_lidar.trainer.engine.native import layers

from benchmarks.cli import app
from benchmarks.trainer import compare_engines
from benchmarks.trainer.compare_engines import Contender, EngineBenchConfig

TINY = ("stem_width=4", "encoder_widths=[4]", "decoder_widths=[4]", "blocks=1", "repeats=1", "batch_sizes=[1, 2]")
CPU = torch.device("cpu")


class WithoutSigns:
    """The native engine with a fault."""

    sparse_tensor = staticmethod(layers.sparse_tensor)

    class SparseConv3d(layers.SparseConv3d):
        def forward(self, x: layers.SparseTensor) -> layers.SparseTensor:
            out = super().forward(x)
            return out.with_feats(out.feats.abs())


def test_the_command_measures_synthetic_voxels_on_this_machine(tmp_path: Path) -> None:
    sets = [word for item in (*TINY, "voxels_per_sweep=300") for word in ("--set", item)]
    done = CliRunner().invoke(app, ["engines", "--out", str(tmp_path), "--device", "cpu", *sets])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["engines.synthetic.b2.voxels"] == 600
    for precision in ("fp32", "fp16", "bf16"):
        assert figures[f"engines.{precision}.matmul_tflop_s"] > 0
        for name in ("forward_ms", "training_ms", "training_matmul_share", "forward_bandwidth_share"):
            assert figures[f"engines.synthetic.b1.{precision}.native.{name}"] > 0
    assert "all outputs in fp32 agree" in done.output


def test_sweeps_of_a_cache_are_voxelised_at_each_size(tiny_cache: Path, tmp_path: Path) -> None:
    config = resolve(EngineBenchConfig, None, (*TINY, 'precisions=["fp32"]', "voxel_sizes=[0.2, 0.4]"))
    assert compare_engines.bench_engines(tmp_path, config, tiny_cache, CPU)
    figures = json.loads((tmp_path / "bench.json").read_text())
    voxels = [figures[f"engines.{case}.voxels"] for case in ("0.4m.b1", "0.2m.b1", "0.2m.b2")]
    assert voxels == sorted(set(voxels))


def test_an_engine_that_differs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def contenders(_: torch.device) -> Iterator[Contender]:
        yield Contender("plain", NATIVE)
        yield Contender("same", NATIVE)
        yield Contender("faulty", WithoutSigns())
        yield Contender("picky", NATIVE, computes_in=lambda dtype: dtype is not torch.float32)

    monkeypatch.setattr(compare_engines, "_contenders", contenders)
    config = resolve(EngineBenchConfig, None, (*TINY, 'precisions=["fp32"]', "voxels_per_sweep=300", "batch_sizes=[1]"))
    assert not compare_engines.bench_engines(tmp_path, config, None, CPU)
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["engines.synthetic.b1.fp32.same.difference"] == 0
    assert figures["engines.synthetic.b1.fp32.faulty.difference"] > 1e-2
    assert not any("picky" in name for name in figures)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].endswith("synthetic.b1.fp32.faulty.difference")
    assert any("picky" in line and "cannot" in line for line in printed)


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match="fp32, fp16, bf16"):
        EngineBenchConfig(precisions=("tf32",))
