"""Encoders that come with the package: a file in this folder and a row in this table for each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

SHA256: Final[dict[str, str]] = {
    "small": "67c7271ca641ba6a5c46691cd991eff3085bdac89682014902fa164a19addae6",
}
"""SHA-256 of NAME.safetensors, hexadecimal, by name."""


def shipped_weights(name: str) -> Path:
    """Return the file of an encoder that comes with the package. Raises UserError where it is missing or damaged."""
    path = Path(__file__).parent / f"{name}.safetensors"
    if not path.exists():
        raise UserError(
            f"the encoder {name!r} does not come with this version ({path} is missing); pass the folder of a run, "
            "which make pretrain or iscc-train pretrain makes"
        )
    if files.sha256(path) != SHA256[name]:
        raise UserError(f"{path}: its SHA-256 is not the expected {SHA256[name] or 'one'}; install the package again")
    return path
