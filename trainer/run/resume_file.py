"""The file a run goes on from: everything that changes during training, as tensors and plain values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, cast

import torch

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

RESUME_FILE: Final = "resume.pt"


class Restorable(Protocol):
    """A module, an optimiser."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Take a state."""
        ...


def write(out: Path, content: Mapping[str, Any]) -> None:
    """Write the resume file in one step; it is a checkpoint's last file. ``content`` has the key "step"."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    files.write_bytes(out / RESUME_FILE, buffer.getvalue())


def read(out: Path) -> dict[str, Any]:
    """Read the resume file in ``out``; no code in it is run. Raises UserError where it is missing or damaged."""
    path = out / RESUME_FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}: {error}); start anew with --overwrite"
        ) from None
    return cast(dict[str, Any], content)


def saved_step(out: Path) -> int:
    """Step of the checkpoint in ``out``. Raises UserError where there is none, or a damaged one."""
    return int(read(out)["step"])


def restore(out: Path, parts: Mapping[str, Restorable], scaler: torch.amp.GradScaler) -> dict[str, Any]:
    """Bring parts of a run, by their names in the file, to where its checkpoint was taken; returns the whole content.

    Raises UserError where the file is missing, damaged or of another kind of run.
    """
    content = read(out)
    try:
        for name, part in parts.items():
            part.load_state_dict(content[name])
        if content["scaler"]:  # empty where the run computed so far without one, on a CPU say
            scaler.load_state_dict(content["scaler"])
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise does_not_fit(out, error) from None
    return content


def does_not_fit(out: Path, error: Exception) -> UserError:
    """The error to raise where a whole resume file is of another kind of run."""
    return UserError(f"{out / RESUME_FILE}: does not fit this run ({error}); start anew with --overwrite")
