from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import resolve, to_toml
from iscc_lidar.trainer.pretrain.config import PretrainConfig, find_recipe


@pytest.fixture(scope="session")
def tiny_run_of(tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., PretrainConfig]:
    """Makes the configuration of a method's recipe on networks whose steps take milliseconds."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(to_toml(tiny), encoding="utf-8")

    def config(name: str, *changes: str) -> PretrainConfig:
        recipes: list[Path] = [path, find_recipe(name)]
        return resolve(PretrainConfig, recipes, ["method.queue=64", "method.matches=200", *changes])

    return config
