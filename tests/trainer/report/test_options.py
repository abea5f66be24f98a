from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from iscc_lidar.trainer.pretrain.config import RECIPES
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.report.options import nearest_recipe, repeat_command
from iscc_lidar.trainer.run.run import Run

RUN = Run(Path("runs/some"), "pretrain", 1500, {"cache": "a cache"})


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_a_recipe_is_recognised(name: str):
    config = resolve_pretrain(find_recipes([name]))
    found, options = nearest_recipe(RUN, config)
    assert len(found) == (0 if config == IsccConfig() else 1)
    assert resolve_pretrain(find_recipes(found)) == config
    assert not any(option.differs for option in options)


def test_a_short_run_of_another_recipe_is_recognised():
    config = resolve_pretrain(find_recipes(["quick", "segcontrast"]), ["train.steps=90"])
    found, options = nearest_recipe(RUN, config)
    assert found == ("quick", "segcontrast")
    words = repeat_command(RUN, found, options)
    assert "--recipe quick --recipe segcontrast" in words
    assert words.endswith("--set train.steps=90")


def test_the_command_repeats_the_run():
    changes = ["train.steps=70", "model.encoder_widths=[8, 16]", "model.decoder_widths=[16, 8]", "augment.flip=false",
               "local.negatives=batch", "train.learning_rate=0.0015", "train.loader_workers=0"]  # fmt: skip
    config = resolve_pretrain(find_recipes(["quick"]), changes)
    names, options = nearest_recipe(RUN, config)
    assert names == ("quick",)
    words = shlex.split(repeat_command(RUN, names, options).replace("\\\n", " "))
    assert words[:4] == ["iscc-train", "pretrain", "--cache", "a cache"]
    sets = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    again = resolve_pretrain(find_recipes([words[words.index("--recipe") + 1]]), sets)
    _, differences = nearest_recipe(RUN, again)
    wanted = {o.key: o.value for o in options if o.differs and o.matters}
    assert {o.key: o.value for o in differences if o.differs} == wanted
    assert "train.loader_workers" not in wanted  # changes nothing that is learnt
