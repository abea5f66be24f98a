"""The procedural sequences that ``iscc-preprocess synth`` writes in SemanticKITTI's layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from iscc_lidar.preprocess.datasets import semantickitti
from iscc_lidar.shared.base.errors import UserError


def open_dataset(root: Path) -> semantickitti.SemanticKitti:
    """Open synthetic sequences below ``root``. Raises UserError where there are none."""
    try:
        return dataclasses.replace(semantickitti.open_dataset(root), name="synthetic")
    except UserError as error:
        raise UserError(f"{error}. To write synthetic sequences there: iscc-preprocess synth {root}") from None
