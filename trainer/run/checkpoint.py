"""The file that a run resumes from: tensors and plain values, no code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

CHECKPOINT_FILE: Final = "resume.pt"


def write_checkpoint(out: Path, content: Mapping[str, Any]) -> None:
    """Write the checkpoint in one step. ``content`` has the key "step"."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    files.write_bytes(out / CHECKPOINT_FILE, buffer.getvalue())


def read_checkpoint(out: Path) -> dict[str, Any]:
    """Read the checkpoint in ``out``; no code in it is run. Raises UserError where it is missing or damaged.

    Its tensors are views of the file, whatever size they claim; see ``in_memory``.
    """
    path = files.regular(out / CHECKPOINT_FILE)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if type(content["step"]) is not int or content["step"] < 0:
            raise ValueError("its step is no count")
    except Exception as error:  # torch raises many types for damaged files
        why = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}: {why}); start anew with --overwrite"
        ) from None
    return cast(dict[str, Any], content)


def in_memory(value: Any) -> Any:
    """Copy the tensors of a checkpoint, or of a part of it, into memory: its file may be replaced at any time."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return type(value)((key, in_memory(each)) for key, each in value.items())
    return type(value)(map(in_memory, value)) if isinstance(value, (list, tuple)) else value


def checkpoint_step(out: Path) -> int:
    """Return the number of steps of the checkpoint in ``out``. Raises UserError as read_checkpoint."""
    return int(read_checkpoint(out)["step"])
