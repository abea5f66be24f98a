import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import resolve, to_toml
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.config import RECIPES, PretrainConfig, find_recipe

runner = CliRunner()


@pytest.fixture(scope="module")
def recipe(tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(to_toml(tiny), encoding="utf-8")
    return path


def test_pretrain_then_evaluate(cache_path: Path, other_cache_path: Path, recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    done = runner.invoke(app, ["pretrain", "--cache", str(cache_path), "--out", str(out), "--recipe", str(recipe)])
    assert done.exit_code == 0, done.output
    assert str(out / "encoder.safetensors") in done.output
    again = runner.invoke(app, ["pretrain", "--cache", str(cache_path), "--out", str(out), "--recipe", str(recipe)])
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
    drawn = (out / "labelled.txt").read_text().splitlines()
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
    assert (tmp_path / "labelled.txt").read_text().splitlines() == drawn[:2]
    assert set(alone["linear_probe"]) == {"untrained"}
    assert list(alone["grouping"]) == clusterings[2:]
    assert "occupancy" not in alone
    assert runner.invoke(app, [*evaluate, "--out", str(tmp_path / "more.json")]).exit_code == 1


def test_resume_takes_the_options_of_the_run(cache_path: Path, recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    start = ["pretrain", "--cache", str(cache_path), "--out", str(out)]
    assert runner.invoke(app, [*start, "--recipe", str(recipe), "--set", "train.steps=3"]).exit_code == 0
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
        (["--cache", "nowhere", "--out", "x", "--set", "queries.per_group=0"], "at least 1"),
        (["--cache", "nowhere", "--out", "x", "--set", "method.name=sspl"], "one loss and regions of its own"),
        (["--cache", "nowhere", "--out", "x", "--recipe", "segcontrast", "--recipe", "quick"], "given last"),
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
    config = resolve(PretrainConfig, path)
    assert config.queries.per_group == 8
    assert config.train.steps == 7
    assert config.loss.global_weight == config.loss.local_weight == 0


@pytest.mark.parametrize(
    ("name", "losses", "extra"),
    [
        ("iscc", (True, True, True), {"augment.rotate_groups": 0.5, "ground.cells": 24}),
        ("occ_only_8", (False, False, True), {"queries.per_group": 8}),
        ("occ_only_16", (False, False, True), {"queries.per_group": 16}),
        ("occ_only_32", (False, False, True), {"queries.per_group": 32}),
        ("local_only", (False, True, False), {"crops.per_sweep": 0}),
        ("global_only", (True, False, False), {"crops.per_sweep": 0}),
        ("full_100", (True, True, False), {"clustering.prototypes": 100}),
        ("full_200", (True, True, False), {"clustering.prototypes": 200}),
    ],
)
def test_the_rows_of_the_deck_are_recipes_of_a_few_lines(name, losses, extra):
    path = find_recipe(name)
    config = resolve(PretrainConfig, path)
    loss = config.loss
    assert (loss.global_weight > 0, loss.local_weight > 0, loss.occupancy_weight > 0) == losses
    for key, value in extra.items():
        section, option = key.split(".")
        assert getattr(getattr(config, section), option) == value
    assert sum(len(v) for v in tomllib.loads(path.read_text()).values()) <= 4


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("same_sweep", "data.partner", "same"),
        ("no_removal", "crops.per_sweep", 0),
        ("unturned", "augment.rotate_groups", 0.0),
        ("groups_only", "ground.cells", 0),
        ("whole_groups", "parts.voxels", 0),
        ("assign_softmax", "clustering.assign", "softmax"),
        ("assign_argmax", "clustering.assign", "argmax"),
    ],
)
def test_an_ablation_changes_one_option(name, option, value):
    assert resolve(PretrainConfig, find_recipe(name)) == resolve(PretrainConfig, None, [f"{option}={value}".lower()])


@pytest.mark.parametrize("name", ["segcontrast", "pointcontrast", "depthcontrast", "sspl"])
def test_another_method_is_a_recipe_that_leaves_iscc_out(name):
    config = resolve(PretrainConfig, find_recipe(name))
    assert config.method.name == name
    assert config.data.partner == "same"
    assert not any((config.loss.global_weight, config.loss.local_weight, config.loss.occupancy_weight))
    assert config.crops.per_sweep == config.ground.cells == 0


@pytest.mark.parametrize(
    ("recipes", "expected"),
    [
        (["quick", "occ_only_8"], {"queries.per_group": 8, "crops.per_sweep": 0, "loss.global_weight": 0.0}),
        (["quick", "local_only"], {"crops.per_sweep": 0, "loss.local_weight": 1.0, "loss.global_weight": 0.0}),
        (["quick", "full_200"], {"clustering.prototypes": 200, "clustering.momentum": 0.9, "crops.per_sweep": 0}),
        (["iscc", "unturned"], {"augment.rotate_groups": 0.0, "ground.cells": 24}),
        (["quick", "groups_only"], {"augment.rotate_groups": 0.5, "ground.cells": 0}),
        (["minkunet", "no_removal"], {"crops.per_sweep": 0, "ground.cells": 24}),
        (["quick", "segcontrast"], {"method.name": "segcontrast", "crops.per_sweep": 0, "teacher.momentum_end": 0.999}),
        (["minkunet", "segcontrast"], {"model.blocks": 2, "method.name": "segcontrast", "augment.rotate_groups": 0.0}),
        (["segcontrast", "voxel_parts"], {"method.name": "segcontrast", "parts.voxels": 1}),
        (["quick", "pointcontrast"], {"method.temperature": 0.07, "loss.occupancy_weight": 0.0}),
        (["quick", "sspl"], {"augment.rotate_groups": 0.0, "augment.rotate_deg": 180.0}),
        (["occ_only_8", "quick"], {"queries.per_group": 128, "loss.global_weight": 0.2}),
    ],
)
def test_recipes_combine_later_over_earlier(recipes, expected, tmp_path: Path):
    given = [word for name in recipes for word in ("--recipe", name)]
    shown = runner.invoke(app, ["pretrain", *given, "--show-config"])
    assert shown.exit_code == 0, shown.output
    (tmp_path / "shown.toml").write_text(shown.output, encoding="utf-8")
    config = resolve(PretrainConfig, tmp_path / "shown.toml")
    assert {key: getattr(getattr(config, key.split(".")[0]), key.split(".")[1]) for key in expected} == expected
    if recipes[0] == "quick":
        assert config.train == resolve(PretrainConfig, find_recipe("quick")).train


def test_quick_is_the_whole_method_made_short():
    config = resolve(PretrainConfig, find_recipe("quick"))
    assert min(config.loss.global_weight, config.loss.local_weight, config.loss.occupancy_weight) > 0
    assert config.train.steps * config.train.batch_size <= 600


def test_every_shipped_recipe_is_tested_above():
    bases = ["iscc", "quick", "minkunet"]
    rows = ["occ_only_8", "occ_only_16", "occ_only_32", "local_only", "global_only", "full_100", "full_200"]
    ablations = ["same_sweep", "no_removal", "unturned", "groups_only", "whole_groups"]
    assignments = ["assign_softmax", "assign_argmax"]
    others = ["segcontrast", "pointcontrast", "depthcontrast", "sspl", "voxel_parts"]
    assert {p.stem for p in RECIPES.glob("*.toml")} == {*bases, *rows, *ablations, *assignments, *others}
