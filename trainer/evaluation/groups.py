"""The groups of many sweeps: what describes them, and the classes of their points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.voxelize import considered, voxelize
from iscc_lidar.trainer.evaluation.frozen import see_groups
from iscc_lidar.trainer.evaluation.scores import semantic
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.samples.batch import GroupedView

# N points that the network sees, G groups of one sweep (of all sweeps in GroupSet), C classes of the manifest


@dataclass(frozen=True)
class SweepGroups:
    """The groups of one sweep, as far as the network sees their points.

    Attributes:
        xyz: float32 [N, 3], metres, sensor frame; intensity: float32 [N].
        slot: int64 [N], which of the groups 0..G-1 a point is of; -1 none.
        count: G.
        view: voxels and groups for the network.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    slot: NDArray[np.int64]
    count: int
    view: GroupedView


Describe = Callable[[SweepGroups], NDArray[np.float32]]
"""Features [G, D] of a sweep's groups."""


@dataclass(frozen=True)
class GroupSet:
    """The groups of many sweeps.

    Attributes:
        features: of each name float32 [G, D].
        classes: int64 [G, C], points of each group by true class.
        outside: int64 [C], points by true class that are in none of the groups.
    """

    features: Mapping[str, NDArray[np.float32]]
    classes: NDArray[np.int64]
    outside: NDArray[np.int64]

    def table(self, cluster: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
        """Points by cluster and true class, int64 [clusters + 1, C]; row 0 is of no cluster.

        ``cluster`` [G] gives each group one of 0..clusters-1.
        """
        table = np.zeros((clusters + 1, self.classes.shape[1]), np.int64)
        table[0] = self.outside
        np.add.at(table, cluster + 1, self.classes)
        return table


def gather_groups(
    sweeps: Iterable[CachedSweep], config: PretrainConfig, describe: Mapping[str, Describe], classes: int
) -> GroupSet:
    """Describe all groups of sweeps, however small: those with a point that the network sees."""
    features: dict[str, list[NDArray[np.float32]]] = {name: [] for name in describe}
    of_groups, outside = [], np.zeros(classes, np.int64)
    for sweep in sweeps:
        truth = semantic(sweep)
        keep = considered(sweep, config.data.max_range_m)
        groups = sweep_groups(sweep, keep, config.model.voxel_size)
        inside = np.zeros(len(truth), bool)
        inside[keep] = groups.slot >= 0
        pair = groups.slot[groups.slot >= 0] * classes + truth[inside]
        of_groups.append(np.bincount(pair, minlength=groups.count * classes).reshape(groups.count, classes))
        outside += np.bincount(truth[~inside], minlength=classes)
        for name, of_sweep in describe.items():
            features[name].append(of_sweep(groups))
    joined = {name: np.concatenate(parts) for name, parts in features.items()}
    return GroupSet(joined, np.concatenate(of_groups), outside)


def sweep_groups(sweep: CachedSweep, keep: NDArray[np.bool_], voxel_size: float) -> SweepGroups:
    """The groups among the points of a sweep that ``keep``, bool, says."""
    xyz, intensity, label = sweep.xyz[keep], sweep.intensity[keep], sweep.label[keep]
    ids = np.unique(label[label >= 0])
    slot = np.where(label >= 0, np.searchsorted(ids, label), -1)
    view = see_groups(voxelize(xyz, intensity, voxel_size), label, ids)
    return SweepGroups(xyz, intensity, slot, len(ids), view)
