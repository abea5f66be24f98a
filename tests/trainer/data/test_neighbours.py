import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.data.crops import Crops
from iscc_lidar.trainer.data.neighbours import NONE, nearest_voxels


@given(seed=st.integers(0, 1000), k=st.integers(1, 8), voxels=st.integers(0, 60), reach=st.floats(0.2, 2.0))
def test_agrees_with_comparing_every_query_with_every_voxel(seed, k, voxels, reach):
    rng = np.random.default_rng(seed)
    voxel_xyz = rng.uniform(-3, 3, (voxels, 3)).astype(np.float32)
    centre = rng.uniform(-2, 2, (3, 3)).astype(np.float32)
    crop = np.repeat(np.arange(3), [4, 0, 5])
    offset = rng.uniform(-0.4, 0.4, (9, 3)).astype(np.float32)  # inside a ball of radius 0.7
    crops = Crops(centre, np.full(3, 0.7, np.float32), np.ones(0, bool), centre[crop] + offset, np.zeros(9, bool), crop)
    found = nearest_voxels(crops, voxel_xyz, k, reach)
    for query, row in zip(crops.xyz, found, strict=True):
        distance = np.linalg.norm(voxel_xyz - query, axis=1)
        expected = [n for n in np.argsort(distance, kind="stable") if distance[n] <= reach][:k]
        assert row.tolist() == expected + [NONE] * (k - len(expected))
