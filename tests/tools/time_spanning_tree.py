"""Time the spanning tree of one window's voxels; write them, so that other programs can be timed on the same points.

python tests/tools/time_spanning_tree.py semantickitti ../shared/data/semantickitti_from_pandaset 40 --out v.npy
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.segment.ground import heights
from iscc_lidar.preprocess.segment.native import library
from iscc_lidar.preprocess.segment.sweeps import considered_mask
from iscc_lidar.preprocess.segment.voxels import voxelize
from iscc_lidar.shared.base.geometry import inverse, transform

REPEATS = 5


def main() -> None:
    """Print the CPU seconds of some repeats, and the length of the tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("root", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given, config = parser.parse_args(), PreprocessConfig()
    dataset = open_dataset(given.dataset, given.root)
    sweeps = [dataset.read(given.sequence, given.start + k) for k in range(config.window.sweeps)]
    middle = inverse(sweeps[len(sweeps) // 2].world_SE3_sensor)
    stack = [transform(middle @ s.world_SE3_sensor, s.xyz[considered_mask(s, config.range)]) for s in sweeps]
    xyz = np.concatenate(stack)
    voxels, _ = voxelize(xyz[heights(xyz, config.ground) > config.ground.feet_m], config.clustering.voxel_size_m)
    if given.out is not None:
        np.save(given.out, voxels)
    for _ in range(REPEATS):
        began = time.process_time()
        _, _, length = library.spanning_tree(voxels, config.clustering.min_samples)
        print(f"{len(voxels)} voxels: {time.process_time() - began:.3f} CPU s, length {length.sum():.3f} m")


if __name__ == "__main__":
    main()
