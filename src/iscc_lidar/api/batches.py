"""One sweep or a list of them, as arrays or tensors: checked, voxelised, and given back in the same form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iscc_lidar.api.checks import check_list, check_points
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize

RowsOfVoxels = Callable[[Tensor, Tensor], Tensor]
"""Takes coordinates int32 [V, 4] and features float32 [V, 4] of voxels; returns a row for each, [V, D]."""


@dataclass(frozen=True)
class Batch:
    """Checked points of sweeps.

    Attributes:
        sweeps: float32 [N, 4] each.
        devices: of each sweep's tensor; None for a NumPy array.
        single: whether a sweep was given instead of a list.
    """

    sweeps: Sequence[NDArray[np.float32]]
    devices: Sequence[torch.device | None]
    single: bool

    @property
    def needs_no_gradient(self) -> bool:
        """Whether there are only arrays, through which no gradient flows."""
        return all(device is None for device in self.devices)

    def give_back(self, results: Sequence[Any], to_array: Callable[[Any], Any], to_device: Callable[..., Any]) -> Any:
        """Convert a result per sweep to the form of its input; only one where a sweep was given."""
        found = [
            to_array(result) if device is None else to_device(result, device)
            for result, device in zip(results, self.devices, strict=True)
        ]
        return found[0] if self.single else found

    def give_back_rows(self, rows: Sequence[Tensor]) -> Any:
        """Convert rows per point, [N, ...], to the form of the input."""
        return self.give_back(rows, lambda found: found.detach().cpu().numpy(), Tensor.to)


def read_batch(points: object) -> Batch:
    """Check the points of a sweep, or of a list of sweeps. Raises UserError as ``checks.check_points``."""
    single = not isinstance(points, list | tuple)
    items = [points] if single else check_list(points, "points")
    names = ["points"] if single else [f"points[{index}]" for index in range(len(items))]
    read = [_as_array(found, name) for found, name in zip(items, names, strict=True)]
    return Batch([sweep for sweep, _ in read], [device for _, device in read], single)


def _as_array(found: object, name: str) -> tuple[NDArray[np.float32], torch.device | None]:
    if not isinstance(found, Tensor):
        return check_points(found, name), None
    if found.dtype != torch.float32:
        raise UserError(f"{name}: its dtype is {found.dtype}, expected torch.float32 [N, 4]; convert it by .float()")
    return check_points(found.detach().cpu().numpy(), name), found.device


def is_valid(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which points are valid, that is, not exactly at 0, 0, 0: bool [N]."""
    return np.asarray(points[:, :3].any(axis=1))


def rows_of_points(
    network: RowsOfVoxels, batch: Batch, voxel_size_m: float, channels: int, device: torch.device
) -> list[Tensor]:
    """Apply a network to the voxels of all sweeps at once; return the row of each point's voxel, [N, channels].

    Invalid points are in no voxel, and their rows are 0.
    """
    valid = [np.flatnonzero(is_valid(sweep)) for sweep in batch.sweeps]
    voxels = [
        voxelize(sweep[rows, :3], sweep[rows, 3], voxel_size_m) for sweep, rows in zip(batch.sweeps, valid, strict=True)
    ]
    coords, feats = (tensor.to(device) for tensor in join_voxels(voxels))
    found = network(coords, feats) if len(coords) else feats.new_zeros(0, channels)
    results, start = [], 0
    for sweep, rows, of_sweep in zip(batch.sweeps, valid, voxels, strict=True):
        of_point = found[torch.from_numpy(start + of_sweep.of_point).to(device)]
        result = found.new_zeros(len(sweep), channels)
        result[torch.from_numpy(rows).to(device)] = of_point
        results.append(result)
        start += len(of_sweep.coords)
    return results
