"""The embedded synthetic streets, which ``iscc-preprocess synth`` writes in SemanticKITTI's layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from iscc_lidar.preprocess.datasets import semantickitti
from iscc_lidar.shared.base.errors import UserError


def open_dataset(root: Path) -> semantickitti.SemanticKitti:
    """Open synthetic streets below ``root``. Raises UserError where there are none."""
    try:
        return dataclasses.replace(semantickitti.open_dataset(root), name="synthetic")
    except UserError as error:
        raise UserError(f"{error}. To make the synthetic streets there: iscc-preprocess synth {root}") from None
