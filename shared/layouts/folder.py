"""Any folder of sweeps: one's own recordings; classes are those that the folder names."""

from __future__ import annotations

from typing import Final

from iscc_lidar.shared.layouts.layout import Layout

LAYOUT: Final = Layout(
    name="folder",
    description="own recordings: ROOT/*.pcd or ROOT/SEQUENCE/*.pcd (also .bin .npy .npz .ply .las .laz), bags, MCAP",
    how_to_get="Any sweeps of one LiDAR, with poses.txt (KITTI) or NAME.tum next to them, or without poses; see "
    "docs/own-data.md",
)
