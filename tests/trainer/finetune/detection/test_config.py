"""The recipes of detection are what their names and the documentation say."""

from iscc_lidar.shared.base.config import find_shipped, resolve
from iscc_lidar.trainer.finetune.detection.config import RECIPES, DetectionConfig


def recipe(name: str) -> DetectionConfig:
    return resolve(DetectionConfig, find_shipped(RECIPES, name))


def test_every_shipped_recipe_is_tested_here():
    assert {path.stem for path in RECIPES.glob("*.toml")} == {"kitti", "waymo", "quick", "quick_long"}


def test_kitti_and_waymo_look_as_far_as_detectors_do_there():
    kitti, waymo = recipe("kitti").grid, recipe("waymo").grid
    assert (kitti.x_min_m, kitti.x_max_m, kitti.y_min_m, kitti.y_max_m) == (0.0, 70.4, -40.0, 40.0)
    assert (waymo.x_min_m, waymo.x_max_m, waymo.y_min_m, waymo.y_max_m) == (-75.2, 75.2, -75.2, 75.2)
    assert recipe("waymo").classes.names == ("Vehicle", "Pedestrian", "Cyclist")
