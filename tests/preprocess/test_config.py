"""Options of preprocessing out of their ranges: an error that names section and key, before anything is read."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.synthetic.generate import SynthCommand
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError

MAY_BE_ZERO = {
    "seed", "range.min_m", "ground.max_slope", "ground.distance_m", "ground.feet_m",
    "clustering.max_width_m", "clustering.attach_m", "linking.min_iou", "motion.min_shift_m",
    "motion.edge_quantile", "motion.max_width_m", "motion.min_rigidity", "queries.per_point", "queries.per_group_max",
    "queries.group_points_min", "queries.group_width_max_m", "queries.box_margin_m", "queries.ray_tolerance_m",
    "synth.seed", "synth.beams", "synth.range_noise_m", "synth.dropout", "synth.intensity_noise",
}  # fmt: skip


def numbers(config: Any, prefix: str = "") -> list[tuple[str, float]]:
    """Key and default of every number among the options."""
    found: list[tuple[str, float]] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found += numbers(value, f"{prefix}{field.name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((prefix + field.name, value))
    return found


OPTIONS = [(config, *item) for config in (PreprocessConfig, SynthCommand) for item in numbers(config())]


@pytest.mark.parametrize(("config", "key", "default"), OPTIONS)
def test_every_number_has_a_range(config: type[Any], key: str, default: float) -> None:
    bad = ["-1", *(["9" * 30] if isinstance(default, int) else ["nan", "inf", "-inf", "1e300"])]
    if key.startswith(("motion.max", "motion.min_shift", "clustering.max_width", "queries.group_width")):
        bad.remove("1e300")  # in effect no limit
    for value in bad if key in MAY_BE_ZERO else [*bad, "0"]:
        with pytest.raises(UserError, match=rf"^--set {key}={value}: {key} must be "):
            resolve(config, None, [f"{key}={value}"])
    assert math.isfinite(default)
    resolve(config, None, [f"{key}={default}"])


def test_options_that_exclude_each_other() -> None:
    for items, key in (
        (["window.stride=13"], r"window\.stride must be"),
        (["range.min_m=130"], r"range\.min_m must be below range\.max_m"),
        (["ground.feet_m=0.05"], r"ground\.feet_m must be at least ground\.distance_m"),
    ):
        with pytest.raises(UserError, match=key):
            resolve(PreprocessConfig, None, items)
    with pytest.raises(UserError, match=r"synth\.min_range_m must be below"):
        resolve(SynthCommand, None, ["synth.min_range_m=90"])


def test_on_the_command_line(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "iscc_lidar.preprocess", "run", "synthetic", "--root", str(tmp_path)]
    found = subprocess.run([*call, "--set", "clustering.voxel_size_m=0"], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr == (
        "error: --set clustering.voxel_size_m=0: "
        "clustering.voxel_size_m must be at least 0.02 and at most 10, not 0.0\n"
    )
