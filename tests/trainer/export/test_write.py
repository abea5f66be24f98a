"""The export as a command: what it writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.export import mmdetection3d, write
from iscc_lidar.trainer.export.mmdetection3d import to_minkunet
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.spconv_network import to_network
from iscc_lidar.trainer.export.write import TARGETS, export
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig


@pytest.mark.parametrize("target", TARGETS)
def test_equal_runs_give_equal_files(run_path: Path, exported: Callable[[str], Path], tmp_path: Path, target: str):
    again = export(run_path, target, tmp_path / "again")
    for path in exported(target).iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_command_after_pretraining(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(tiny), encoding="utf-8")
    out = tmp_path / "run"
    runner = CliRunner()
    trained = runner.invoke(app, ["pretrain", "--cache", str(cache_path), "--out", str(out), "--recipe", str(recipe)])
    assert trained.exit_code == 0, trained.output
    for target in TARGETS:
        done = runner.invoke(app, ["export", str(out), "--to", target])
        assert done.exit_code == 0, done.output
        card = out / "export" / target / "MODEL_CARD.md"
        assert str(card) in done.output.replace("\n", "")
        assert "Dataset `fake`; sequences: 2, sweeps: 12" in card.read_text(encoding="utf-8")
    weights = safetensors.torch.load_file(out / "export/native/encoder.safetensors")
    trained_weights = safetensors.torch.load_file(out / "encoder.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in trained_weights.items())


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def diverge(path: Path) -> None:
    weights = safetensors.torch.load_file(path)
    weights["stem.1.conv.kernel"][0, 0, 0] = float("nan")
    path.write_bytes(safetensors.torch.save(weights, {"iscc_lidar": '{"step": 6}'}))


def foreign(path: Path) -> None:
    path.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}, {"iscc_lidar": '{"step": 6}'}))


def nameless(path: Path) -> None:
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path)))


def stepless(path: Path) -> None:
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), {"iscc_lidar": "{}"}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Path.unlink, "no encoder.safetensors yet.*--resume"),
        (damage, "encoder.safetensors: no weights written by this program .SafetensorError"),
        (diverge, "stem.1.conv.kernel is not finite.*diverged"),
        (foreign, "does not fit the network"),
        (nameless, "no weights written by this program .KeyError"),
        (stepless, "has no step; it was not written by iscc-train"),
    ],
)
def test_runs_that_cannot_be_exported(
    make_run: Callable[[Path], Path], tmp_path: Path, harm: Callable[[Path], None], said: str
):
    path = make_run(tmp_path / "run")
    harm(path / "encoder.safetensors")
    with pytest.raises(UserError, match=said):
        export(path, "native")
    assert not (path / "export").exists()


def test_no_run_and_no_such_target(run_path: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no run here"):
        export(tmp_path, "native")
    with pytest.raises(UserError, match="native, pointcept, mmdetection3d, openpcdet"):
        export(run_path, "minkowski")


def test_an_encoder_of_another_shape_is_not_squeezed_in(run: TrainedRun):
    unknown = run.weights | {"attention.conv.kernel": torch.zeros(27, 2, 2)}
    with pytest.raises(UserError, match=r"attention\.conv\.kernel.*--to native"):
        to_minkunet(unknown, run.config.model, "spconv")
    large = run.weights | {"stem.0.conv.kernel": torch.zeros(125, 4, 8)}
    with pytest.raises(UserError, match=r"stem\.0\.conv\.kernel.*--to native"):
        to_network(large, "xyz", "")


def test_only_an_export_is_replaced_and_only_when_asked(run_path: Path, tmp_path: Path):
    out = export(run_path, "native", tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite"):
        export(run_path, "openpcdet", out)
    export(run_path, "openpcdet", out, overwrite=True)
    assert not (out / "encoder.safetensors").exists()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "precious.txt").write_text("mine")
    for other in (notes, run_path, notes / "precious.txt"):
        with pytest.raises(UserError, match="not an export of this program"):
            export(run_path, "native", other, overwrite=True)
    assert (notes / "precious.txt").read_text() == "mine"


def test_a_failing_export_leaves_the_earlier_one(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = export(run_path, "native", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    real = write.write_bytes

    def full_disk(path: Path, data: bytes) -> None:
        if path.name == "MODEL_CARD.md":
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(write, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export(run_path, "native", out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_cache_may_have_moved(
    make_run: Callable[[Path], Path], cache_path: Path, other_cache_path: Path, tmp_path: Path
):
    path = make_run(tmp_path / "run")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config["provenance"]["cache"] = str(tmp_path / "gone")
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    card = export(path, "native", tmp_path / "a") / "MODEL_CARD.md"
    assert "not found during the export" in card.read_text(encoding="utf-8")
    moved = shutil.copytree(cache_path, tmp_path / "moved")
    card = export(path, "native", tmp_path / "b", cache=moved) / "MODEL_CARD.md"
    assert "Dataset `fake`" in card.read_text(encoding="utf-8")
    with pytest.raises(UserError, match="not the cache that the run was trained on"):
        export(path, "native", tmp_path / "c", cache=other_cache_path)
    with pytest.raises(UserError, match="no finished cache here"):
        export(path, "native", tmp_path / "c", cache=tmp_path / "gone")


def test_config_fragment_gives_mmdetection3d_the_shape_of_the_run(exported: Callable[[str], Path]):
    fragment: dict[str, dict[str, dict[str, object]]] = {}
    exec((exported("mmdetection3d") / mmdetection3d.CONFIG_FILE).read_text(encoding="utf-8"), fragment)  # type: ignore[arg-type]
    backbone = fragment["model"]["backbone"]
    assert backbone["encoder_channels"] == [8, 16]
    assert backbone["encoder_blocks"] == [2, 2]
    assert backbone["decoder_channels"] == [16, 8]
    assert backbone["base_channels"] == 8
    template = (exported("mmdetection3d") / mmdetection3d.MODULE_FILE).read_text(encoding="utf-8")
    assert re.search(rf"class {backbone['type']}\(", template)
