"""A folder as a user of the API has it: streets, a cache, runs and an export, all tiny. Read only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import iscc_lidar
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.trainer.export.write import export
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.encoder import find_encoder
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner

from steps import finetune

TRAIN = {"train.loader_workers": 0, "train.device": "cpu", "train.log_every": 1, "train.checkpoint_every": 2}
MODEL = {"model.stem_width": 8, "model.encoder_widths": [8, 8], "model.decoder_widths": [8, 8]}
SMALL = {
    **{"heads.project_hidden": 8, "heads.project_channels": 8, "occupancy.decoder_hidden": 8},
    **{"prototypes.count": 10, "prototypes.buffer_size": 128, "train.steps": 2, "model.voxel_size": 0.5},
}
GRID = ["grid.x_max_m=64.0", "grid.y_min_m=-25.6", "grid.y_max_m=25.6", "head.width=16", "head.deep_width=16"]
HEAD = ["head.layers=1", "train.batch_size=2", "train.steps=2", "train.device=cpu", "train.loader_workers=0"]


@pytest.fixture(scope="session")
def user_folder(tiny_streets: Path, tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    for name, target in (("cache/kitti", tiny_cache), ("data/streets", tiny_streets)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    runs = folder / "runs"
    iscc_lidar.pretrain(tiny_cache, runs / "iscc", options={**SMALL, **MODEL, **TRAIN})
    segmentation = resolve(SemsegConfig, None, ["train.steps=2", "train.device=cpu", "train.loader_workers=0"])
    finetune(SemsegLearner, tiny_cache, runs / "tuned", segmentation, find_encoder(runs / "iscc"))
    model = [f"{key}={value}" for key, value in MODEL.items()]
    detection = resolve(DetectionConfig, None, [*GRID, *HEAD, *model])
    finetune(DetectionLearner, tiny_cache, runs / "boxes", detection)
    export(runs / "iscc", "native", folder / "weights/native")
    export(runs / "iscc", "pointcept", folder / "weights/pointcept")
    return folder


@pytest.fixture(scope="session")
def points(tiny_cache: Path) -> NDArray[np.float32]:
    """Points of a sweep."""
    return iscc_lidar.open_cache(tiny_cache)["00"][2].points
