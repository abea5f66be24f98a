"""A pre-trained encoder on disk, and how a network takes it over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.config import Transfer
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.run.folder import Input
from iscc_lidar.trainer.run.weights import ENCODER_FILE, load_weights, read_header


@dataclass(frozen=True)
class Encoder:
    """Weights of an encoder on disk: a file of this program, and the network they are for."""

    path: Path
    model: ModelConfig

    def load_into(self, unet: SparseUNet, transfer: Transfer) -> list[nn.Parameter]:
        """Load the weights, and list the parameters that are theirs now. Raises UserError where they do not fit."""
        own_way_up = {name: value.clone() for name, value in unet.decoder.state_dict().items()}
        load_weights(self.path.parent, unet, self.path.name)
        if transfer == "all":
            return list(unet.parameters())
        unet.decoder.load_state_dict(own_way_up)
        return [*unet.stem.parameters(), *unet.encoder.parameters()]

    def as_input(self) -> Input:
        """The encoder as a run's input."""
        return Input("encoder", str(self.path), "encoder_sha256", files.sha256(self.path))


def find_encoder(place: Path) -> Encoder:
    """Find an encoder by its file or by the folder of its run. Raises UserError where there is none."""
    path = place / ENCODER_FILE if place.is_dir() else place
    if not path.exists():
        raise UserError(f"{path}: no encoder there; give the OUT of a pre-training run, or its {ENCODER_FILE}")
    about = read_header(path)
    try:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["model"].items()}
        return Encoder(path, ModelConfig(**fields))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: its header describes no network of this version ({error})") from None
