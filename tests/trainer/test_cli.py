import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain

runner = CliRunner()


def test_pretrain_then_evaluate(cache_path: Path, other_cache_path: Path, tiny_recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    done = runner.invoke(app, ["pretrain", "--cache", str(cache_path), "--out", str(out), "--recipe", str(tiny_recipe)])
    assert done.exit_code == 0, done.output
    assert str(out / "encoder.safetensors") in done.output
    again = runner.invoke(
        app, ["pretrain", "--cache", str(cache_path), "--out", str(out), "--recipe", str(tiny_recipe)]
    )
    assert "finished already" in again.output
    evaluate = ["evaluate", "--run", str(out), "--train-cache", str(cache_path), "--val-cache", str(other_cache_path)]
    done = runner.invoke(app, evaluate)
    assert done.exit_code == 0, done.output
    written = json.loads((out / "evaluation.json").read_text())
    for probe in ("linear_probe", "neighbour_probe"):
        assert set(written[probe]) == {"untrained", "pre-trained"}
        assert set(written[probe]["untrained"]["iou"]) == {"car", "wall", "pole", "ground"}
    clusterings = ["prototypes", "k-means, pre-trained", "k-means, untrained", "k-means, geometry"]
    assert list(written["grouping"]) == clusterings
    assert {row["clusters"] for row in written["grouping"].values()} == {10}
    assert set(written["occupancy"]) == {
        "decoder",
        "commoner class",
        "distance threshold",
        "distance logistic",
        "line-of-sight logistic",
    }
    for said in ("linear pre-trained", "kNN untrained", "wall", "mIoU", *clusterings, "line-of-sight"):
        assert said in done.output
    drawn = [line for line in (out / "labelled.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(drawn) == 6
    mine = tmp_path / "mine.txt"
    mine.write_text("\n".join(drawn[:2]))
    for weights in ("encoder.safetensors", "heads.safetensors", "resume.pt"):
        (out / weights).unlink()  # the control needs none of them
    control = ["--untrained", "--labelled", str(mine), "--out", str(tmp_path / "mine.json"), "--set", "val_sweeps=2"]
    done = runner.invoke(app, [*evaluate, *control, "--set", "neighbours.k=3"])
    assert done.exit_code == 0, done.output
    alone = json.loads((tmp_path / "mine.json").read_text())
    assert (alone["options"]["labelled_sweeps"], alone["about"]["val_sweeps"]) == (2, 2)
    assert (tmp_path / "labelled.txt").read_text().splitlines()[1:] == drawn[:2]
    assert set(alone["linear_probe"]) == {"untrained"}
    assert list(alone["grouping"]) == clusterings[2:]
    assert "occupancy" not in alone
    assert runner.invoke(app, [*evaluate, "--out", str(tmp_path / "more.json")]).exit_code == 1


def test_resume_takes_the_options_of_the_run(cache_path: Path, tiny_recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    start = ["pretrain", "--cache", str(cache_path), "--out", str(out)]
    assert runner.invoke(app, [*start, "--recipe", str(tiny_recipe), "--set", "train.steps=3"]).exit_code == 0
    again = runner.invoke(app, [*start, "--resume"])
    assert again.exit_code == 0, again.output
    assert "finished already" in again.output
    other = runner.invoke(app, [*start, "--resume", "--set", "train.seed=5"])
    assert other.exit_code == 1
    assert "train.seed is 0 there, 5 here" in other.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cache", "nowhere", "--out", "x"], "no finished cache here"),
        (["--cache", "nowhere", "--out", "x", "--recipe", "nothing_8"], "occ_only_8"),
        (["--cache", "nowhere", "--out", "x", "--set", "train.stepss=3"], "train.steps"),
        (["--cache", "nowhere", "--out", "x", "--set", "train.steps=0"], "at least 1"),
        (
            ["--cache", "nowhere", "--out", "x", "--set", "occupancy.per_group=0"],
            "occupancy.per_group must be at least 1",
        ),
        (["--cache", "nowhere", "--out", "x", "--set", "method.name=moco"], "no such method; there are depthcontrast,"),
        (["--cache", "nowhere", "--out", "x", "--recipe", "segcontrast", "--recipe", "local_only"], "option loss"),
        (["--cache", "nowhere", "--out", "x", "--set", "iscc=1"], "iscc is a method; choose it by method.name"),
        (["--cache", "nowhere", "--out", "x", "--set", "iscc.loss=1"], "loss is a section; set one of its keys"),
        (["--cache", "nowhere", "--out", "x", "--recipe", "local_only", "--set", "loss.local_weight=0"], "be learnt"),
        (
            ["--cache", "nowhere", "--out", "x", "--recipe", "pointcontrast", "--set", "data.partner=window"],
            "data.partner=same",
        ),
    ],
)
def test_mistakes_get_one_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]):
    result = runner.invoke(app, ["pretrain", *arguments])
    assert result.exit_code == 1
    assert said in result.output + capfd.readouterr().err
    assert "Traceback" not in result.output


def test_show_config_is_a_recipe_that_gives_the_same_configuration(tmp_path: Path):
    shown = runner.invoke(app, ["pretrain", "--recipe", "occ_only_8", "--set", "train.steps=7", "--show-config"])
    path = tmp_path / "shown.toml"
    path.write_text(shown.output, encoding="utf-8")
    config = resolve_pretrain([path])
    assert config.occupancy.per_group == 8
    assert config.train.steps == 7
    assert config.loss.global_weight == config.loss.local_weight == 0
