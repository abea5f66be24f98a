"""Weights as safetensors, for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import nn

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

ENCODER_FILE: Final = "encoder.safetensors"
_HEADER: Final = "iscc_lidar"


def write_weights(path: Path, weights: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write named tensors in one step, with plain values about them in the file's header."""
    files.write_bytes(path, to_bytes(weights, header))


def to_bytes(weights: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> bytes:
    """Return the content of a weight file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    # One entry only: safetensors writes several in no fixed order, and equal runs should give equal files.
    return safetensors.torch.save(plain, metadata={_HEADER: json.dumps(header)})


def load_weights(out: Path, module: nn.Module, *names: str) -> None:
    """Load weight files of ``out`` into a module that they fit, strictly. Raises UserError otherwise."""
    weights: dict[str, torch.Tensor] = {}
    for name in names:
        try:
            weights |= safetensors.torch.load_file(out / name)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(f"{out / name}: no readable weights ({error}); has the run reached a checkpoint?") from None
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{out}: its weights do not fit the network of its config.json: {error}") from None


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and header of a weight file. Raises UserError where it was not written by this program."""
    header = read_header(path)
    return safetensors.torch.load_file(path), header


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a weight file. Raises UserError where it was not written by this program."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: no weights written by this program ({type(error).__name__}: {error})") from None
    return dict(header)
