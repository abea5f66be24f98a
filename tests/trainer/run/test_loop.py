"""Runs of the training loop: what they leave, interrupted and resumed, refused, spoilt by NaN."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import config_of
from iscc_lidar.trainer.run import loop
from iscc_lidar.trainer.run.checkpoint import checkpoint_step
from iscc_lidar.trainer.run.run import open_run

import runs
from steps import KilledError, die_in_step, spoil_gradient


def with_train(config: IsccConfig, **changes) -> IsccConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


@pytest.fixture(scope="module")
def whole(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert pretrain([cache_path], out, tiny)
    return out


def test_a_run_leaves_what_scripts_rely_on(whole: Path, tiny: IsccConfig):
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6))
    for name in (
        "loss",
        "loss_global",
        "loss_local",
        "loss_occupancy",
        "prototypes_used",
        "agreement",
        "occupancy_accuracy_occupied",
        "occupancy_accuracy_free",
        "occupancy_accuracy_balanced",
    ):
        assert all(isinstance(line[name], float) for line in lines), name
    stored = json.loads((whole / "config.json").read_text())
    assert stored["train"]["steps"] == 6
    assert stored["model"]["encoder_widths"] == [8, 8]
    assert config_of(open_run(whole)) == tiny
    assert (open_run(whole).task, open_run(whole).steps) == ("pretrain", 6)
    with safetensors.safe_open(whole / "encoder.safetensors", framework="pt") as weights:
        assert json.loads(weights.metadata()["iscc_lidar"])["model"]["voxel_size"] == 0.5
    encoder = SparseUNet(tiny.model)
    encoder.load_state_dict(safetensors.torch.load_file(whole / "encoder.safetensors"))
    assert not list(whole.glob(".*.tmp"))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_and_resumed_run_ends_bit_for_bit_the_same(
    cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        die_in_step(patch, 5)  # the last checkpoint holds step 3
        with pytest.raises(KilledError):
            pretrain([cache_path], out, tiny)
    assert checkpoint_step(out) == 3
    assert pretrain([cache_path], out, with_train(tiny, loader_workers=workers), resume=True)
    for name in ("encoder.safetensors", "heads.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert (out / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    resumed, straight = (torch.load(run / "resume.pt", weights_only=True) for run in (out, whole))
    torch.testing.assert_close(resumed, straight, rtol=0, atol=0)


def test_another_seed_gives_other_weights(cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path):
    pretrain([cache_path], tmp_path / "run", with_train(tiny, seed=1))
    assert (tmp_path / "run/encoder.safetensors").read_bytes() != (whole / "encoder.safetensors").read_bytes()


def test_a_finished_run_is_left_alone(cache_path: Path, tiny: IsccConfig, whole: Path):
    before = {p: p.stat().st_mtime_ns for p in whole.iterdir()}
    assert not pretrain([cache_path], whole, tiny)
    assert not pretrain([cache_path], whole, tiny, resume=True)
    assert {p: p.stat().st_mtime_ns for p in whole.iterdir()} == before


def test_other_options_another_cache_or_an_unfinished_run_are_refused(
    cache_path: Path, other_cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path, monkeypatch
):
    with pytest.raises(UserError, match=r"train.learning_rate is 0.004 there, 0.5 here"):
        pretrain([cache_path], whole, with_train(tiny, learning_rate=0.5), resume=True)
    with pytest.raises(UserError, match="another cache"):
        pretrain([other_cache_path], whole, tiny, resume=True)
    die_in_step(monkeypatch, 4)
    with pytest.raises(KilledError):
        pretrain([cache_path], tmp_path / "run", tiny)
    with pytest.raises(UserError, match=r"unfinished run \(checkpoint at step 3 of 6\).*--resume"):
        pretrain([cache_path], tmp_path / "run", tiny)


def test_overwrite_starts_anew_but_spares_what_is_not_a_run(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    short = with_train(tiny, steps=1)
    pretrain([cache_path], tmp_path / "run", tiny)
    assert pretrain([cache_path], tmp_path / "run", short, overwrite=True)
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/only_copy.tex").write_text("...")
    with pytest.raises(UserError, match="not a run of this program"):
        pretrain([cache_path], tmp_path / "thesis", short, overwrite=True)
    assert (tmp_path / "thesis/only_copy.tex").exists()


def test_a_run_that_left_no_checkpoint_begins_anew(cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    for name in ("config.json", "config.toml"):
        shutil.copy(whole / name, tmp_path / "run")
    assert pretrain([cache_path], tmp_path / "run", tiny)
    assert (tmp_path / "run/encoder.safetensors").read_bytes() == (whole / "encoder.safetensors").read_bytes()


def test_a_damaged_checkpoint_is_named(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    pretrain([cache_path], tmp_path / "run", with_train(tiny, steps=1))
    path = tmp_path / "run/resume.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"resume.pt: not a readable checkpoint.*--overwrite"):
        pretrain([cache_path], tmp_path / "run", with_train(tiny, steps=1), resume=True)


def test_nan_stops_the_run_and_names_the_sweeps(cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch):
    real, seen = loop.take_step, []

    def poisoned(learner, state, network, batches, device):
        seen.extend(batch.names for batch in batches)
        if len(seen) == 5:
            batches[0].view1.feats[3, 0] = float("nan")
        return real(learner, state, network, batches, device)

    monkeypatch.setattr(loop, "take_step", poisoned)
    with pytest.raises(UserError, match=r"step 4: loss nan") as caught:
        pretrain([cache_path], tmp_path / "run", tiny)
    for pair in seen[-1]:
        assert pair in str(caught.value)
    weights = safetensors.torch.load_file(tmp_path / "run/encoder.safetensors")
    assert all(bool(torch.isfinite(w).all()) for w in weights.values())


def test_a_nan_gradient_at_a_checkpoints_step_leaves_the_last_checkpoint_as_it_was(
    cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The loss is finite: only the gradient tells. The next checkpoint is due right after this step."""
    out, names = tmp_path / "run", []
    with monkeypatch.context() as patch:
        spoil_gradient(patch, 5, names)
        with pytest.raises(UserError, match=r"step 5: loss \d.*, gradient norm nan: not finite") as caught:
            pretrain([cache_path], out, tiny)
    assert len(names) == 2
    assert all(name in str(caught.value) for name in names)
    assert "The last checkpoint is intact" in str(caught.value)
    assert checkpoint_step(out) == 3
    with monkeypatch.context() as patch:
        die_in_step(patch, 3)
        with pytest.raises(KilledError):
            pretrain([cache_path], tmp_path / "three", tiny)
    assert set(runs.differences(out, tmp_path / "three")) == {"metrics.jsonl"}  # two more steps were taken
    assert pretrain([cache_path], out, tiny, resume=True)
    assert runs.differences(out, whole) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_cache_is_named_without_a_stack_trace(cache_path: Path, tiny: IsccConfig, tmp_path: Path, workers):
    broken = tmp_path / "cache"
    shutil.copytree(cache_path, broken)
    shutil.rmtree(broken / "01/arrays.zarr/label")
    with pytest.raises(UserError) as caught:
        pretrain([broken], tmp_path / "run", with_train(tiny, loader_workers=workers))
    assert "01/arrays.zarr/label/zarr.json: damaged" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_tensorboard_on_request(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    pytest.importorskip("tensorboard")
    pretrain([cache_path], tmp_path / "run", with_train(tiny, steps=1, tensorboard=True))
    assert list((tmp_path / "run/tensorboard").glob("events*"))
