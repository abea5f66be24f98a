"""``.pth`` files as other code bases read them; nothing but containers and tensors, so weights_only suffices."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import torch

from iscc_lidar.shared.base.errors import UserError


def to_bytes(content: dict[str, Any]) -> bytes:
    """Content of a file that ``torch.load`` reads."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def read(path: Path) -> dict[str, Any]:
    """Read such a file, running none of its code. Raises UserError where it is missing or damaged."""
    try:
        return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for damaged files
        raise UserError(f"{path}: not a readable checkpoint ({type(error).__name__}: {error}); export again") from None
