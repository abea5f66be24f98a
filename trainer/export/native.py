"""``--to native``: the run's own safetensors, for this package or any reader of config.json."""

from __future__ import annotations

from typing import Final

from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.templates import fill
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
    how_to_load = fill("native_load.md", in_range=_in_range(run), out_channels=run.config.model.out_channels)
    return Export(LAYOUT, scaling, {ENCODER_FILE: weights}, how_to_load)


def _in_range(run: TrainedRun) -> str:
    """Return a Python expression for the points in the range that the network was trained on."""
    if run.run.task == "detection":
        grid = run.config.grid
        low, high = (grid.x_min_m, grid.y_min_m, grid.z_min_m), (grid.x_max_m, grid.y_max_m, grid.z_max_m)
        return f"np.all((points[:, :3] >= {list(low)}) & (points[:, :3] < {list(high)}), axis=1)"
    return f"np.linalg.norm(points[:, :3], axis=1) <= {run.config.data.max_range_m:g}"
