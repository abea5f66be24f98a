"""Groups from Python are those of the cache, without one, and without torch and dask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import iscc_lidar
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.base.errors import UserError

TINY = {"window.sweeps": 3, "window.stride": 1, "window.block_sweeps": 2}
"""The options of ``tiny_config``."""
WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(["torch", "safetensors", "dask", "distributed"]))
import iscc_lidar
sequence = iscc_lidar.open_cache(sys.argv[1])["00"]
labels = iscc_lidar.group([sweep.points for sweep in sequence], [sweep.pose for sweep in sequence])
print(max(label.max() for label in labels))
"""


def test_labels_are_those_of_the_cache(tiny_streets: Path, tiny_cache: Path) -> None:
    dataset, cache = registry.open_dataset("synthetic", tiny_streets), iscc_lidar.open_cache(tiny_cache)
    for name in cache:
        read = [dataset.read(name, index) for index in range(len(cache[name]))]
        sweeps = [np.column_stack([sweep.xyz, sweep.intensity]) for sweep in read]
        labels = iscc_lidar.group(sweeps, [sweep.world_SE3_sensor for sweep in read], options=TINY)
        assert [label.dtype for label in labels] == [np.int32] * 6
        assert max(label.max() for label in labels) > 3
        for sweep, label in zip(cache[name], labels, strict=True):
            np.testing.assert_array_equal(label, sweep.label)


def test_it_needs_neither_torch_nor_dask(tiny_cache: Path) -> None:
    call = [sys.executable, "-c", WITHOUT_TORCH, str(tiny_cache)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3


def test_one_sweep_and_no_point_are_groups_too() -> None:
    assert iscc_lidar.group([np.zeros((0, 4), np.float32)], [np.eye(4)])[0].shape == (0,)
    assert iscc_lidar.group([np.zeros((3, 4), np.float32)], [np.eye(4)])[0].tolist() == [-3, -3, -3]


def test_wrong_arguments_are_one_line() -> None:
    points, far = np.full((5, 4), 0.5, np.float32), np.eye(4)
    far[0, 3] = 1e6
    for words, sweeps, poses, options in (
        ("sweeps: is a ndarray, expected a list", points, [np.eye(4)], {}),
        ("sweeps: the list is empty", [], [], {}),
        (r"sweeps\[0\]: its shape is", [points[:, :3]], [np.eye(4)], {}),
        ("poses: has 2 poses for 1 sweep,", [points], [np.eye(4)] * 2, {}),
        ("its pose is 1000 km from that of sweep 0", [points, points], [np.eye(4), far], {}),
        ("unknown option window.sweep; the nearest is window.sweeps", [points], [np.eye(4)], {"window.sweep": 3}),
        ("window.sweeps must be int, not 'many'", [points], [np.eye(4)], {"window.sweeps": "many"}),
        ("options: is a list, expected a dictionary", [points], [np.eye(4)], ["window.sweeps=3"]),
    ):
        with pytest.raises(UserError, match=words) as raised:
            iscc_lidar.group(sweeps, poses, options=options)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
