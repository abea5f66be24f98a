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
from iscc_lidar.trainer.run.tensors import check_tensors

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
        weights |= read_weights(out / name, "; has the run reached a checkpoint?")[0]
    refuse_other_weights(out / names[0] if len(names) == 1 else out, weights, module.state_dict())
    module.load_state_dict(weights)


def refuse_other_weights(path: Path, weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Raise UserError where weights are not those of a network: other names, shapes or dtypes, or not finite."""
    try:
        check_tensors(weights, expected)
    except ValueError as error:
        why = "the run has diverged, or the file is damaged" if "finite" in str(error) else "it is of another network"
        raise UserError(f"{path}: does not fit the network of its options: {error}; {why}") from None


def read_weights(path: Path, hint: str = "") -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and header of a weight file. Raises UserError where it was not written by this program."""
    header = read_header(path, hint)
    return safetensors.torch.load_file(path), header


def read_header(path: Path, hint: str = "") -> dict[str, Any]:
    """Read the header of a weight file. Raises UserError where it was not written by this program."""
    try:
        # safetensors compares the sizes in a file's header with the file's own before anything is read.
        with safetensors.safe_open(files.regular(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            if not isinstance(header, dict):
                raise ValueError("its header is no object")
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: no weights written by this program ({type(error).__name__}: {error}){hint}") from None
    return header
