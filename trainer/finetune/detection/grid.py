"""Bird's-eye-view grid for detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option

_MOST_CELLS: Final = 2**24


@dataclass(frozen=True)
class GridConfig:
    """Extent and cells, in the sensor frame."""

    x_min_m: float = option(0.0, "lower end along x, metres; KITTI's camera looks along x", at_least=-1e4, at_most=1e4)
    x_max_m: float = option(70.4, "upper end, metres", at_least=-1e4, at_most=1e4)
    y_min_m: float = option(-40.0, "lower end along y, metres", at_least=-1e4, at_most=1e4)
    y_max_m: float = option(40.0, "upper end, metres", at_least=-1e4, at_most=1e4)
    z_min_m: float = option(-4.0, "points below are left out, metres", at_least=-1e4, at_most=1e4)
    z_max_m: float = option(1.0, "points above are left out, metres", at_least=-1e4, at_most=1e4)
    cell_m: float = option(0.4, "edge of a cell, metres", at_least=0.01, at_most=100)
    in_image: bool = option(
        True, "leave out points outside the camera image, in datasets whose boxes are labelled in it"
    )

    def __post_init__(self) -> None:
        check_ranges(self, "grid")
        for low, high in (("x_min_m", "x_max_m"), ("y_min_m", "y_max_m"), ("z_min_m", "z_max_m")):
            if not getattr(self, low) < getattr(self, high):
                raise ValueError(f"grid.{low} must be below grid.{high}")
        if self.shape[0] * self.shape[1] > _MOST_CELLS:
            raise ValueError(f"grid: {self.shape[0]} x {self.shape[1]} cells, {_MOST_CELLS} at most; raise grid.cell_m")

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along x and y; even, for one downsampling by 2."""
        cells = ((self.x_max_m - self.x_min_m) / self.cell_m, (self.y_max_m - self.y_min_m) / self.cell_m)
        rows, columns = (2 * max(1, round(n / 2)) for n in cells)
        return rows, columns

    @property
    def corner(self) -> NDArray[np.float64]:
        """X and y of the lower corner, metres."""
        return np.array([self.x_min_m, self.y_min_m])

    def contains(self, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Test which points [N, 3] lie in the grid, bool [N]."""
        rows, columns = self.shape
        low = np.array([self.x_min_m, self.y_min_m, self.z_min_m])
        high = np.array([self.x_min_m + rows * self.cell_m, self.y_min_m + columns * self.cell_m, self.z_max_m])
        inside: NDArray[np.bool_] = np.all((xyz >= low) & (xyz < high), axis=1)
        return inside
