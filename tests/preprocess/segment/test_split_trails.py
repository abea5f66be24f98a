import numpy as np

from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window
from iscc_lidar.preprocess.segment.split_trails import split_trails


def follow(gap: float, sweeps: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two cars, 4 m long, one after the other at 1 m a sweep with ``gap`` between them."""
    rng = np.random.default_rng(0)
    xyz, sweep, truth = [], [], []
    for k in range(sweeps):
        for car, start in enumerate((k * 1.0, k * 1.0 + 4 + gap)):
            xyz.append(np.array([start, 0, 0]) + rng.random((200, 3)) * [4, 1.8, 1.5])
            sweep.append(np.full(200, k))
            truth.append(np.full(200, car))
    return np.concatenate(xyz), np.concatenate(sweep), np.concatenate(truth)


def test_cars_that_follow_each_other_are_two() -> None:
    xyz, sweep, truth = follow(4.0)
    one = np.zeros(len(xyz), dtype=np.int32)
    split = split_trails(xyz, sweep, one, 0.7)
    assert sorted(np.unique(split).tolist()) == [0, 1]
    assert len(np.unique(np.stack([split, truth]), axis=1).T) == 2


def test_clustering_uses_it() -> None:
    xyz, sweep, truth = follow(4.0)
    main = [
        [np.bincount(label[(truth == car) & (label >= 0)]).argmax() for car in (0, 1)]
        for label in (cluster_window(xyz, sweep, ClusteringConfig(trail_cell_m=cell)) for cell in (0.0, 0.7))
    ]
    assert main[0][0] == main[0][1]
    assert main[1][0] != main[1][1]


def test_a_lone_mover_a_parked_pair_and_noise_stay_as_they_are() -> None:
    xyz, sweep, truth = follow(4.0)
    mover = truth == 0
    assert (split_trails(xyz[mover], sweep[mover], np.zeros(mover.sum(), np.int32), 0.7) == 0).all()
    parked = xyz - np.outer(sweep, [1.0, 0, 0])
    group = np.where(truth == 0, 0, -1).astype(np.int32)
    np.testing.assert_array_equal(split_trails(parked, sweep, np.zeros(len(xyz), np.int32), 0.7), 0)
    np.testing.assert_array_equal(split_trails(parked, sweep, group, 0.7), group)


def test_ids_stay_dense_beside_other_groups() -> None:
    xyz, sweep, _ = follow(4.0)
    still = np.random.default_rng(1).random((600, 3)) + np.array([50.0, 0, 0])
    everything = np.concatenate([still, xyz])
    sweeps = np.concatenate([np.arange(600) % 12, sweep])
    group = np.concatenate([np.zeros(600, np.int32), np.ones(len(xyz), np.int32)])
    split = split_trails(everything, sweeps, group, 0.7)
    assert (split[:600] == 0).all()
    assert sorted(np.unique(split).tolist()) == [0, 1, 2]


def test_nothing_in_nothing_out() -> None:
    empty = np.zeros(0, dtype=np.int32)
    assert len(split_trails(np.zeros((0, 3)), empty, empty, 0.7)) == 0
