from __future__ import annotations

import shlex

import pytest

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.trainer.pretrain.config import RECIPES, PretrainConfig, find_recipe, find_recipes
from iscc_lidar.trainer.report.options import nearest_recipe, repeat_command


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_a_recipe_is_recognised(name: str):
    found, options = nearest_recipe(resolve(PretrainConfig, find_recipe(name)))
    assert len(found) == 1
    assert resolve(PretrainConfig, find_recipes(found)) == resolve(PretrainConfig, find_recipe(name))
    assert not any(option.differs for option in options)


def test_a_short_run_of_another_recipe_is_recognised():
    config = resolve(PretrainConfig, find_recipes(["quick", "segcontrast"]), ["train.steps=90"])
    found, options = nearest_recipe(config)
    assert found == ("quick", "segcontrast")
    words = repeat_command(found, options, "cache")
    assert "--recipe quick --recipe segcontrast" in words
    assert words.endswith("--set train.steps=90")


def test_the_command_repeats_the_run():
    changes = ["train.steps=70", "model.encoder_widths=[8, 16]", "model.decoder_widths=[16, 8]", "augment.flip=false",
               "local.negatives=batch", "train.learning_rate=0.0015", "train.loader_workers=0"]  # fmt: skip
    config = resolve(PretrainConfig, find_recipe("quick"), changes)
    names, options = nearest_recipe(config)
    assert names == ("quick",)
    words = shlex.split(repeat_command(names, options, "a cache").replace("\\\n", " "))
    assert words[:4] == ["iscc-train", "pretrain", "--cache", "a cache"]
    sets = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    again = resolve(PretrainConfig, find_recipe(words[words.index("--recipe") + 1]), sets)
    _, differences = nearest_recipe(again)
    wanted = {o.key: o.value for o in options if o.differs and o.matters}
    assert {o.key: o.value for o in differences if o.differs} == wanted
    assert "train.loader_workers" not in wanted  # changes nothing that is learnt
