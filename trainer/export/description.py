"""``config.json`` of an export: architecture, layout and input of the weights, machine-readable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.export.source import INPUT_SCALE, TrainedRun

DESCRIPTION_FILE: Final = "config.json"
FORMAT: Final = "iscc-lidar-export"

ARCHITECTURE: Final = (
    "Sparse residual U-Net after MinkUNet. stem: two convolutions of kernel 3. encoder, a stage for each of "
    "encoder_widths: a convolution of kernel 2, stride 2 that keeps the width, then `blocks` residual blocks, the "
    "first of which changes it. decoder, a stage for each of decoder_widths: the transposed convolution of kernel 2, "
    "stride 2 to the stage's width, the features of stem or encoder at that resolution appended behind its own, then "
    "`blocks` residual blocks. Residual block: relu(norm2(conv2(relu(norm1(conv1(x))))) + skip(x)), kernels 3; skip "
    "is the identity, or convolution of kernel 1 and batch norm where the width changes. Every other convolution is "
    "followed by batch norm and ReLU. Convolutions of kernel 3 give outputs at their input's voxels only. The result "
    "is the features of the last decoder stage, one row a voxel; behind them those of the `out_levels` - 1 stages "
    "before, each of the cell that contains the voxel."
)


@dataclass(frozen=True)
class Export:
    """A run's weights for one code base.

    Attributes:
        layout: how tensors are laid out.
        scaling: where the scale of the input features is applied.
        files: by name.
        how_to_load: Markdown that explains how to use them.
    """

    layout: str
    scaling: str
    files: dict[str, bytes]
    how_to_load: str


def describe(run: TrainedRun, target: str, export: Export) -> str:
    """Return the content of config.json."""
    content = {
        "format": FORMAT,
        "version": "1.0",
        "target": target,
        "model": to_dict(run.config.model),
        "architecture": ARCHITECTURE,
        "weights_layout": export.layout,
        "batch_norm": {"eps": 1e-5, "momentum": 0.1},
        "input": input_of(run) | {"scaling": export.scaling},
        "files": sorted(export.files),
        "trained": {"steps": run.step, "of": run.run.steps, "seed": run.config.train.seed},
    }
    return json.dumps(content, indent=1) + "\n"


def input_of(run: TrainedRun) -> dict[str, Any]:
    """Describe the features and coordinates of a voxel; see data/voxelize."""
    what = ("mean x of the voxel's points, metres", "mean y, metres", "mean z, metres", "mean intensity, 0 to 1")
    names = ("x", "y", "z", "intensity")
    return {
        "points": f"one sweep's, {_range(run)}, ground included",
        "frame": "the sensor's, z up",
        "intensity": "brought to 0 to 1 by the dataset's rule, in steps of 1/255",
        "voxel_size_m": run.config.model.voxel_size,
        "coordinates": "floor(xyz / voxel_size_m), less the sweep's smallest along each axis",
        "features": [
            {"name": name, "what": text, "times": times}
            for name, text, times in zip(names, what, INPUT_SCALE, strict=True)
        ],
    }


def _range(run: TrainedRun) -> str:
    if run.run.task == "detection":
        grid = run.config.grid
        return f"x {grid.x_min_m:g} to {grid.x_max_m:g} m and y {grid.y_min_m:g} to {grid.y_max_m:g} m from the sensor"
    return f"up to {run.config.data.max_range_m:g} m from the sensor"


def is_export(folder: Path) -> bool:
    """Check whether a folder contains an export."""
    path = folder / DESCRIPTION_FILE
    if not path.exists():
        return False
    try:
        return read_json(path).get("format") == FORMAT
    except UserError:
        return False
