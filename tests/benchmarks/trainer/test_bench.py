import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain

from benchmarks.cli import app
from benchmarks.trainer.step import bench_step, covered


@pytest.mark.slow
def test_figures_are_printed_and_written_flat(tiny_cache: Path, tmp_path: Path) -> None:
    small = ["--set", "model.stem_width=4", "--set", "model.encoder_widths=[4]", "--set", "model.decoder_widths=[4]"]
    (tmp_path / "bench.json").write_text('{"groups.real.40.ours.w0.coverage": 0.9, "engine.old": 1}')
    call = ["train", "--cache", str(tiny_cache), "--out", str(tmp_path), "--steps", "1", *small]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["groups.real.40.ours.w0.coverage"] == 0.9
    assert "engine.old" not in figures
    assert figures["engine.ratio"] > 0
    assert figures["training.samples_per_s_step"] > 0
    assert "samples_per_s_step" in done.output
    for phase in ("load", "voxelise", "maps", "forward_student", "forward_teacher", "losses", "backward", "optimizer"):
        assert figures[f"training.{phase}_s"] > 0, phase
    assert figures["training.worker_peak_mb"] > 50
    assert figures["average_precision.frames"] == 3769
    assert figures["average_precision.space_s"] > 0


@pytest.mark.slow
def test_a_method_without_a_teacher_has_no_time_for_one(tiny_cache: Path, tmp_path: Path) -> None:
    small = ("model.stem_width=4", "model.encoder_widths=[4]", "model.decoder_widths=[4]", "contrast.matches=50")
    config = resolve_pretrain((), ["method.name=pointcontrast", *small, "train.loader_workers=0"])
    figures = bench_step(config, Cache(tiny_cache), steps=1)
    assert "forward_teacher_s" not in figures
    assert figures["forward_student_s"] > 0
    assert figures["optimizer_s"] > 0


def test_the_length_of_overlapping_spans() -> None:
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == 4.0
    assert covered([]) == 0.0
