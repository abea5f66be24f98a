"""The file of an evaluation's figures in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.files import read_json

EVALUATION_FILE: Final = "evaluation.json"


def read_evaluation(run: Path) -> dict[str, Any]:
    """What ``iscc-train evaluate`` left in a run's folder; empty where it has not run. Raises UserError for damage."""
    path = run / EVALUATION_FILE
    return read_json(path) if path.exists() else {}
