"""Argoverse 2: points have no labels and no benchmark; predictions are written as labels of own recordings."""

from __future__ import annotations

from typing import Final

from iscc_lidar.shared.layouts.layout import Layout

LAYOUT: Final = Layout(
    name="argoverse2",
    description="Argoverse 2 sensor logs: ROOT/sensor/{train,val,test}/LOG/sensors/lidar/*.feather and poses",
    how_to_get="Argoverse 2's Sensor dataset is at argoverse.org (CC BY-NC-SA 4.0). Of each log only sensors/lidar, "
    "city_SE3_egovehicle.feather and calibration are needed: leave sensors/cameras, most of its size, out",
)
