"""Pre-trained backbones on disk, and their transfer to a network."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from torch import nn

from iscc_lidar.shared.base import config as configs
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.config import Transfer, check_inputs
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.run.folder import Input
from iscc_lidar.trainer.run.tensors import shapes_of
from iscc_lidar.trainer.run.weights import ENCODER_FILE, load_weights, read_header, read_weights, refuse_other_weights


@dataclass(frozen=True)
class Encoder:
    """Weight file of a backbone, and the network that it fits."""

    path: Path
    model: ModelConfig

    def load_into(self, unet: SparseUNet, transfer: Transfer) -> list[nn.Parameter]:
        """Load the weights and return the parameters they replaced. Raises UserError where they do not fit."""
        own_decoder = {name: value.clone() for name, value in unet.decoder.state_dict().items()}
        load_weights(self.path.parent, unet, self.path.name)
        if transfer == "all":
            return list(unet.parameters())
        unet.decoder.load_state_dict(own_decoder)
        return [*unet.stem.parameters(), *unet.encoder.parameters()]

    def describe_changes(self, model: ModelConfig) -> str:
        """Describe the options of a network that its own replace, such as another voxel size; empty if none."""
        pairs = [(field.name, getattr(self.model, field.name), getattr(model, field.name)) for field in fields(model)]
        changed = [f"model.{name}={configs.toml_value(own)}, not {other}" for name, own, other in pairs if own != other]
        return f"{self.path}: the network is that of the encoder: {'; '.join(changed)}" if changed else ""

    def as_input(self) -> Input:
        """Describe the backbone as a run's input."""
        return Input("encoder", str(self.path), "encoder_sha256", files.sha256(self.path))


def find_encoder(location: Path) -> Encoder:
    """Find a backbone by its file or by the folder of its run. Raises UserError where there is none, or damaged."""
    path = location / ENCODER_FILE if location.is_dir() else location
    if not path.exists():
        raise UserError(f"{path}: no encoder there; give the OUT of a pre-training run, or its {ENCODER_FILE}")
    header = read_header(path)
    if not isinstance(header.get("model"), dict):
        raise UserError(f"{path}: its header describes no network; give one that this version of iscc-train wrote")
    model = configs.from_dict(ModelConfig, header["model"], f"{path}: the network in its header")
    try:
        check_inputs(model)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    refuse_other_weights(path, read_weights(path)[0], shapes_of(lambda: SparseUNet(model)))
    return Encoder(path, model)
