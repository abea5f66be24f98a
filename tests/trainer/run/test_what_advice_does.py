"""What a message advises is what the program then does."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run import loop

from steps import KilledError, die_in_step, spoil_gradient


def with_train(config: IsccConfig, **changes: Any) -> IsccConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


@pytest.fixture
def interrupted(cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        die_in_step(patch, 4)
        with pytest.raises(KilledError):
            pretrain([cache_path], tmp_path / "run", tiny)
    return tmp_path / "run"


def test_each_differing_option_has_a_line_and_the_command_goes_on(
    cache_path: Path, tiny: IsccConfig, interrupted: Path
):
    with pytest.raises(UserError) as refused:
        pretrain([cache_path], interrupted, with_train(tiny, learning_rate=0.5, seed=7), resume=True)
    lines = str(refused.value).splitlines()
    assert lines[0].endswith("holds a run with other options:")
    assert "- train.learning_rate is 0.004 there, 0.5 here" in lines
    assert "- train.seed is 0 there, 7 here" in lines
    command = shlex.split(next(line for line in lines if line.startswith("To go on")).partition(": ")[2])
    assert command[:2] == ["iscc-train", "pretrain"]
    done = CliRunner().invoke(app, command[1:])
    assert done.exit_code == 0, done.output
    assert "finished: encoder" in done.output


def test_after_a_loss_that_is_not_finite_the_advice_is_a_new_run(
    cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        spoil_gradient(patch, 5, [])
        with pytest.raises(UserError, match=r"start a new run.*with --overwrite, with a lower train.learning_rate"):
            pretrain([cache_path], tmp_path / "run", tiny)
    assert pretrain([cache_path], tmp_path / "run", with_train(tiny, learning_rate=1e-3), overwrite=True)


def test_fine_tuning_goes_on_by_the_command_and_takes_the_options_of_its_run(
    cache_path: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    (tmp_path / "some.txt").write_text("00/000001\n00/000003\n01/000002\n")
    options = ["--set", "train.steps=4", "--set", "train.checkpoint_every=1", "--set", "train.loader_workers=0"]
    start = ["finetune", "semseg", "--train-cache", str(cache_path), "--out", str(tmp_path / "run")]
    start += ["--labelled", str(tmp_path / "some.txt"), "--set", "train.device=cpu", "--set", "model.voxel_size=0.5"]
    with monkeypatch.context() as patch:
        die_in_step(patch, 2)
        assert isinstance(CliRunner().invoke(app, [*start, *options]).exception, KilledError)
    other = CliRunner().invoke(app, [*start, *options, "--set", "train.weight_decay=0.1", "--resume"])
    assert other.exit_code == 1
    said = other.output + capfd.readouterr().err
    assert re.search(r"\n- train\.weight_decay is 0\.3 there, 0\.1 here\n", said)
    command = shlex.split(re.search(r"To go on with it: (.*)", said)[1])  # type: ignore[index]
    done = CliRunner().invoke(app, command[1:])
    assert done.exit_code == 0, done.output + capfd.readouterr().err
    assert CliRunner().invoke(app, [*start[:-4], "--resume"]).exit_code == 0  # its own options need not be repeated


def test_the_advice_on_micro_batches_needs_no_other_options(
    cache_path: Path, tiny: IsccConfig, interrupted: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop.distributed, "world_size", lambda: 3)
    with pytest.raises(UserError, match="start another number of processes, or a new run with a multiple of 3"):
        loop.share_of_this_process(tiny.train)


def test_the_recipe_of_a_run_is_readable_whatever_its_texts(tiny: IsccConfig, tmp_path: Path):
    from iscc_lidar.shared.base.config import resolve
    from iscc_lidar.trainer.finetune.detection.config import DetectionConfig

    odd = ("a\nb", 'c"d\\', "\x1b[31m", "e```", "\x7f")
    config = resolve(DetectionConfig)
    classes = dataclasses.replace(config.classes, names=odd)
    config = dataclasses.replace(config, classes=classes, paste=dataclasses.replace(config.paste, fill_to=(1,) * 5))
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    assert resolve(DetectionConfig, tmp_path / "config.toml") == config
