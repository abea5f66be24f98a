"""Fixtures over real files: tiny synthetic streets, a cache of them, and the real data where it is present."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.run import preprocess
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.preprocess.windows import WindowConfig
from iscc_lidar.shared.store.local import LocalStore

# How long an example takes depends on what else the machine does.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# A shell's background jobs are started deaf to Ctrl-C; what is tested, and its child processes, must not be.
signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def tiny_config() -> PreprocessConfig:
    """Small windows and blocks, so that six sweeps have two windows in each of two blocks."""
    return PreprocessConfig(window=WindowConfig(sweeps=3, stride=1, block_sweeps=2))


@pytest.fixture(scope="session")
def tiny_streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of six coarse sweeps in SemanticKITTI's layout. Read only."""
    root = tmp_path_factory.mktemp("streets")
    generate(root, SynthConfig(sequences=2, sweeps=6, beams=32, columns=256), workers=0)
    return root


@pytest.fixture(scope="session")
def tiny_cache(tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the tiny streets, made in this process. Read only."""
    cache = tmp_path_factory.mktemp("caches") / "tiny"
    preprocess(registry.open_dataset("synthetic", tiny_streets), LocalStore(cache), tiny_config)
    return cache


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real LiDAR data beside the checkout."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real LiDAR data beside the checkout (shared/data)")
    return REAL_DATA
