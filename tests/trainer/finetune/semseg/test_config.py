"""The recipes that come with fine-tuning say what their names and the documentation say."""

import pytest

from iscc_lidar.shared.base.config import find_shipped, resolve
from iscc_lidar.trainer.finetune.semseg.config import RECIPES, SemsegConfig


def recipe(name: str) -> SemsegConfig:
    return resolve(SemsegConfig, find_shipped(RECIPES, name))


def test_every_shipped_recipe_is_tested_here():
    shipped = {"long", "short", "quick", "quick_long", "flat", "linear", "decoder"}
    assert {path.stem for path in RECIPES.glob("*.toml")} == shipped


@pytest.mark.parametrize(("name", "transfer"), [("linear", "all"), ("decoder", "down")])
def test_probes_train_new_layers_alone(name: str, transfer: str):
    train = recipe(name).train
    assert train.freeze_fraction == 1
    assert train.transfer == transfer


@pytest.mark.parametrize(("sweeps", "epochs"), [(191, 500), (1913, 100), (9565, 50), (19130, 30)])
def test_long_is_the_peers_schedule_at_their_fractions(sweeps: int, epochs: int):
    config = recipe("long")
    assert config.train.steps_for(sweeps, 19130) == pytest.approx(epochs * sweeps / config.train.batch_size, rel=0.01)


@pytest.mark.parametrize(("sweeps", "epochs"), [(191, 50), (19130, 30)])
def test_short_has_tens_of_epochs_whatever_the_fraction(sweeps: int, epochs: int):
    config = recipe("short")
    assert config.train.steps_for(sweeps, 19130) == pytest.approx(epochs * sweeps / config.train.batch_size, rel=0.01)
