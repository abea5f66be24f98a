"""What holds for the shipped recipes of every task."""

from dataclasses import replace
from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import find_shipped, resolve
from iscc_lidar.trainer.finetune.detection import config as detection
from iscc_lidar.trainer.finetune.semseg import config as semseg


@pytest.mark.parametrize(
    ("config", "recipes", "sweeps", "quick_steps", "long_steps"),
    [
        (semseg.SemsegConfig, semseg.RECIPES, (6, 64), [150, 480], [600, 1280]),
        (detection.DetectionConfig, detection.RECIPES, (32, 128), [400, 768], [800, 1536]),
    ],
)
def test_the_quick_ones_are_short_and_differ_in_nothing_but_length(
    config: type[semseg.SemsegConfig] | type[detection.DetectionConfig],
    recipes: Path,
    sweeps: tuple[int, ...],
    quick_steps: list[int],
    long_steps: list[int],
):
    quick, longer = (resolve(config, find_shipped(recipes, name)) for name in ("quick", "quick_long"))
    assert [quick.train.steps_for(n, 640) for n in sweeps] == pytest.approx(quick_steps, rel=0.02)
    assert [longer.train.steps_for(n, 640) for n in sweeps] == pytest.approx(long_steps, rel=0.02)
    if config is semseg.SemsegConfig:
        flat = resolve(config, find_shipped(recipes, "flat"))
        assert [flat.train.steps_for(n, 640) for n in sweeps] == pytest.approx([2400, 9600], rel=0.02)
        assert replace(flat, train=replace(flat.train, epochs=quick.train.epochs)) == quick
    same_length = replace(longer.train, epochs=quick.train.epochs)
    assert replace(longer, train=same_length) == quick
