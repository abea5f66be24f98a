from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain

SMALL = """
[segcontrast.queue]
size = 64

[depthcontrast.queue]
size = 64

[pointcontrast.contrast]
matches = 200

[sspl.contrast]
matches = 200
"""


@pytest.fixture(scope="session")
def tiny_run_of(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., PretrainConfig]:
    """Makes the configuration of a method's recipe on networks whose steps take milliseconds."""
    small = tmp_path_factory.mktemp("recipe") / "small.toml"
    small.write_text(SMALL, encoding="utf-8")

    def config(name: str, *changes: str) -> PretrainConfig:
        return resolve_pretrain([tiny_recipe, *find_recipes([name]), small], changes)

    return config
