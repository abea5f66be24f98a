"""Two synthetic streets of three sweeps with boxes, as a cache."""

from __future__ import annotations

import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store


@pytest.fixture(scope="session")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The cache."""
    root = tmp_path_factory.mktemp("boxed")
    generate(root / "streets", SynthConfig(sequences=2, sweeps=3, columns=512), workers=0)
    config = PreprocessConfig(window=WindowConfig(sweeps=2, stride=1))
    preprocess(open_dataset("synthetic", root / "streets"), open_store(root / "cache"), config)
    return Cache(root / "cache")
