"""The synthetic scenes: SemanticKITTI's layout, classes and scoring rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from iscc_lidar.shared.layouts import semantickitti

LAYOUT: Final = replace(
    semantickitti.LAYOUT,
    name="synthetic",
    description="procedural scenes made by: iscc-preprocess synth ROOT",
    how_to_get="iscc-preprocess synth ROOT makes them",
    published=None,
)
