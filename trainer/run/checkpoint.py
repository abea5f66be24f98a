"""The file that a run resumes from: tensors and plain values, no code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

CHECKPOINT_FILE: Final = "resume.pt"


def write_checkpoint(out: Path, content: Mapping[str, Any]) -> None:
    """Write the checkpoint in one step. ``content`` has the key "step"."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    files.write_bytes(out / CHECKPOINT_FILE, buffer.getvalue())


def read_checkpoint(out: Path) -> dict[str, Any]:
    """Read the checkpoint in ``out``; no code in it is run. Raises UserError where it is missing or damaged."""
    path = out / CHECKPOINT_FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged files
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}: {error}); start anew with --overwrite"
        ) from None
    return cast(dict[str, Any], content)


def checkpoint_step(out: Path) -> int:
    """Return the number of steps of the checkpoint in ``out``. Raises UserError as read_checkpoint."""
    return int(read_checkpoint(out)["step"])
