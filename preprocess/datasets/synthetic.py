"""The embedded synthetic streets, which ``iscc-preprocess synth`` writes in SemanticKITTI's layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from iscc_lidar.preprocess.datasets import semantickitti

DESCRIPTION: Final = "procedural streets made by: iscc-preprocess synth ROOT"


def open_dataset(root: Path) -> semantickitti.SemanticKitti:
    """Open synthetic streets below ``root``. Raises UserError where there are none."""
    return dataclasses.replace(semantickitti.open_dataset(root), name="synthetic")
