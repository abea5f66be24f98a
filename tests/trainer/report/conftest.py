from __future__ import annotations

from pathlib import Path

import pytest

from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig


@pytest.fixture(scope="session")
def run(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps; to be left as it is."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    pretrain([cache_path], out, tiny)
    return out
