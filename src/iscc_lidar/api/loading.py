"""Load networks from runs, exports and weight files."""

from __future__ import annotations

from pathlib import Path

from iscc_lidar.api.checks import check_path
from iscc_lidar.api.networks import Detector, Encoder, Segmenter
from iscc_lidar.api.weights import SHA256, shipped_weights
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.trainer.export.description import DESCRIPTION_FILE, is_export
from iscc_lidar.trainer.finetune.encoder import find_encoder
from iscc_lidar.trainer.finetune.predict import open_tuned
from iscc_lidar.trainer.finetune.semseg.segment import class_names
from iscc_lidar.trainer.finetune.tasks import read_encoder, read_options
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.run.folder import RECIPE_FILE
from iscc_lidar.trainer.run.run import open_run
from iscc_lidar.trainer.run.weights import ENCODER_FILE


def encoder_from(source: str | Path) -> Encoder:
    """Load an encoder; see ``functions.load_encoder``."""
    path = check_path(source, "source")
    if str(source) in SHA256:
        return _from_file(shipped_weights(str(source)))
    if not path.exists():
        raise UserError(
            f"{one_line(path)}: no such file or folder, and no encoder of this name comes with the package "
            f"(there is {', '.join(SHA256)})"
        )
    if not path.is_dir():
        return _from_file(path)
    if (path / RECIPE_FILE).exists():
        run = open_run(path)
        options = read_options(run)
        network = SparseUNet(options.model)
        network.load_state_dict(read_encoder(run, options)[0])
        return _ready(network)
    if is_export(path) and (target := read_json(path / DESCRIPTION_FILE).get("target")) != "native":
        raise UserError(f"{path}: an export to {one_line(target)}; pass the run, or export it with --to native")
    if not (path / ENCODER_FILE).exists():
        raise UserError(f"{path}: neither a run nor a native export ({RECIPE_FILE} or {ENCODER_FILE} is missing)")
    return _from_file(path / ENCODER_FILE)


def model_from(run: str | Path) -> Segmenter | Detector:
    """Load a fine-tuned network; see ``functions.load_model``."""
    task, tuned = open_tuned(check_path(run, "run"), ON_CPU)
    if task.learner.task == "semseg":
        found: Segmenter | Detector = Segmenter(tuned.network, class_names(tuned.run))
    else:
        found = Detector(tuned.network, tuned.config)
    return found.eval()


def _from_file(path: Path) -> Encoder:
    found = find_encoder(path)
    network = SparseUNet(found.model)
    found.load_into(network, "all")
    return _ready(network)


def _ready(network: SparseUNet) -> Encoder:
    return Encoder(network).eval()
