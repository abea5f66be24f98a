"""Fine-tuning configurations whose steps are short, a pre-trained run to start from, and a cache with boxes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.encoder import Encoder
from iscc_lidar.trainer.finetune.learner import FinetuneLearner
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig


@dataclass(frozen=True)
class Job:
    """A task with labelled sweeps and options: steps are short, checkpoints are made every three."""

    task: type[FinetuneLearner]
    cache: Path
    config: Any

    @property
    def name(self) -> str:
        """The name of its command."""
        return self.task.task

    def learner(self, encoder: Encoder | None = None) -> FinetuneLearner:
        """Make its learner."""
        return self.task.of(self.cache, self.config, encoder)


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
    pretrain([cache_path], out, tiny)
    return out


@pytest.fixture(scope="session")
def detecting() -> DetectionConfig:
    """Options of detection with steps of tenths of a second."""
    return resolve(
        DetectionConfig,
        None,
        [
            *("grid.x_max_m=64.0", "grid.y_min_m=-25.6", "grid.y_max_m=25.6", "head.width=16", "head.deep_width=16"),
            *("model.encoder_widths=[16,16]", "model.decoder_widths=[16,16]", "model.stem_width=8", "head.layers=1"),
            *("train.steps=4", "train.batch_size=2", "train.loader_workers=0", "train.device=cpu"),
            *(
                "train.checkpoint_every=2",
                "train.log_every=1",
                "train.head_learning_rate=5e-3",
                "train.weight_decay=0.01",
            ),
        ],
    )


@pytest.fixture(scope="session")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The cache of two synthetic streets of three sweeps with boxes."""
    root = tmp_path_factory.mktemp("boxed")
    generate(root / "streets", SynthConfig(sequences=2, sweeps=3, columns=512), workers=0)
    config = PreprocessConfig(window=WindowConfig(sweeps=2, stride=1))
    preprocess(open_dataset("synthetic", root / "streets"), open_store(root / "cache"), config)
    return Cache(root / "cache")


@pytest.fixture(scope="session", params=["semseg", "detection"])
def job(request: pytest.FixtureRequest) -> Job:
    """Each task of fine-tuning."""
    if request.param == "semseg":
        return Job(SemsegLearner, request.getfixturevalue("cache_path"), request.getfixturevalue("tuning"))
    config: DetectionConfig = request.getfixturevalue("detecting")
    train = replace(config.train, steps=8, checkpoint_every=3)
    return Job(DetectionLearner, Path(request.getfixturevalue("boxed").path), replace(config, train=train))
