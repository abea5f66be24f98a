import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run.dry_run import dry_run


def test_a_dry_run_tells_what_the_run_would_be_and_writes_nothing(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(tiny))
    call = ["pretrain", "--cache", cache_path, "--out", tmp_path / "run", "--recipe", recipe, "--dry-run"]
    done = CliRunner().invoke(app, [str(word) for word in [*call, "--engine", "native"]])
    assert done.exit_code == 0, done.output
    assert "2 sequences, 12 sweeps with a partner; 6 steps of 2 are 1.0 epochs" in done.output
    assert "engine native, precision fp32, processes 1" in done.output
    for line in ("memory", "a step", "6 steps from 0"):
        assert line in done.output
    assert not (tmp_path / "run").exists()


def test_a_dry_run_stops_where_the_run_would(
    cache: Cache, tiny: IsccConfig, tiny_recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    call = ["pretrain", "--cache", tmp_path / "nothing", "--out", tmp_path / "run", "--recipe", tiny_recipe]
    done = CliRunner().invoke(app, [str(word) for word in [*call, "--dry-run"]])
    assert done.exit_code == 1
    assert "no finished cache" in done.output + capfd.readouterr().err
    assert not (tmp_path / "run").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/only_copy.tex").write_text("...")
    with pytest.raises(UserError, match="not a run of this program"):
        dry_run(PretrainLearner([cache], tiny), tmp_path / "thesis", overwrite=True)


def test_a_dry_run_leaves_a_run_alone_and_says_where_it_would_go_on(
    cache: Cache, cache_path: Path, tiny: IsccConfig, tmp_path: Path
):
    short = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, steps=1))
    pretrain([cache_path], tmp_path / "run", short)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert "0 steps from 1" in dry_run(PretrainLearner([cache], short), tmp_path / "run", resume=True)
    assert "1 steps from 0" in dry_run(PretrainLearner([cache], short), tmp_path / "run", overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
