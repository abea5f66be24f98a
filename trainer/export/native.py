"""``--to native``: the run's own safetensors, for this package or any reader of config.json."""

from __future__ import annotations

from typing import Final

from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.run.weights import ENCODER_FILE, to_bytes

LAYOUT: Final = (
    "Convolutions have a tensor `kernel` [K, C_in, C_out] and no bias; kernel 1 is [C_in, C_out]. An output voxel sums "
    "kernel[k].T @ input over the offsets k whose input voxel, at output * stride + offset, is occupied. Kernel 3: "
    "k = (dx + 1) + 3 (dy + 1) + 9 (dz + 1), offsets -1 to 1. Kernel 2, stride 2: k = dz + 2 dy + 4 dx, offsets 0 "
    "and 1; its transpose swaps input and output under the same k, and returns to the voxels that the strided one came "
    "from. Batch norms have PyTorch's names."
)


def export(run: TrainedRun) -> Export:
    """Export for this package."""
    if run.run.task == "pretrain":
        weights = (run.run.folder / ENCODER_FILE).read_bytes()
    else:
        weights = to_bytes(run.weights, {"step": run.step, "model": to_dict(run.config.model)})
    scaling = "Multiply the features by `times` before the network."
    return Export(LAYOUT, scaling, {ENCODER_FILE: weights}, _how_to_load(run))


def _how_to_load(run: TrainedRun) -> str:
    return f"""\
With this package (`pip install 'iscc-lidar[train]'`), in this folder:

```python
import json

import numpy as np
import safetensors.torch
import torch
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

model = ModelConfig(**json.load(open("config.json"))["model"])
encoder = SparseUNet(model)
encoder.load_state_dict(safetensors.torch.load_file("{ENCODER_FILE}"))
encoder.eval()

points = np.fromfile("sweep.bin", np.float32).reshape(-1, 4)  # x, y, z in metres, intensity 0 to 1
points = points[{_in_range(run)}]
voxels = voxelize(points[:, :3], points[:, 3], model.voxel_size)  # scales the features itself
with torch.no_grad():
    features = encoder(*join_voxels([voxels]))  # [V, {run.config.model.out_channels}], one row per voxel
per_point = features[torch.from_numpy(voxels.of_point)]
```

Without it: `config.json` describes architecture, kernel layout and input.
"""


def _in_range(run: TrainedRun) -> str:
    """Return a Python expression for the points in the range that the network was trained on."""
    if run.run.task == "detection":
        grid = run.config.grid
        low, high = (grid.x_min_m, grid.y_min_m, grid.z_min_m), (grid.x_max_m, grid.y_max_m, grid.z_max_m)
        return f"np.all((points[:, :3] >= {list(low)}) & (points[:, :3] < {list(high)}), axis=1)"
    return f"np.linalg.norm(points[:, :3], axis=1) <= {run.config.data.max_range_m:g}"
