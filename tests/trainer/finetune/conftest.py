"""A fine-tuning configuration whose steps take milliseconds, and a pre-trained run to start from."""

from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig

TINY = """
[train]
steps = 8
log_every = 1
checkpoint_every = 3
loader_workers = 0
device = "cpu"
"""


@pytest.fixture(scope="session")
def tuning(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> SemsegConfig:
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    recipe.write_text(tiny_model + TINY, encoding="utf-8")
    return resolve(SemsegConfig, recipe)


@pytest.fixture(scope="session")
def pretrained(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    pretrain(cache_path, out, tiny)
    return out
