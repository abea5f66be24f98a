"""What all parts of an evaluation work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from iscc_lidar.shared.base.config import option, section
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.evaluation.neighbour_probe import NeighbourConfig
from iscc_lidar.trainer.pretrain.config import PretrainConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """How much is fitted and scored."""

    labelled_sweeps: int = option(6, "sweeps of the training cache whose labels the probes see; 1 % of 600")
    val_sweeps: int = option(0, "sweeps of the other cache that score, evenly spread; 0 takes all")
    occupancy_sweeps: int = option(48, "sweeps of each cache whose occupancy is predicted; 0 takes all")
    grouping_sweeps: int = option(
        160, "sweeps of the training cache whose groups k-means is fitted to, and clusters are named on; 0 takes all"
    )
    clusters: int = option(100, "clusters of k-means for a run without prototypes; else as many as it has")
    seed: int = option(0, "seed of the choice of sweeps, masks and neighbours, and of k-means")
    neighbours: NeighbourConfig = section(NeighbourConfig)


@dataclass(frozen=True)
class Job:
    """An evaluation: how much, of a run with which options, on which sweeps.

    Attributes:
        config: how much.
        made_with: options of the run.
        train: whose labels fit; val: whose sweeps score.
        labelled: sweeps of ``train`` that the probes learn from; scored: those of ``val`` that score.
    """

    config: EvaluationConfig
    made_with: PretrainConfig
    train: Cache
    val: Cache
    labelled: Sequence[Place]
    scored: Sequence[Place]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of both caches."""
        return self.val.manifest.class_names


def read_sweeps(cache: Cache, places: Sequence[Place], what: str) -> Iterator[CachedSweep]:
    """Sweeps with their points and labels, in turn, behind a progress bar."""
    for sequence, index in tqdm(places, desc=what, unit="sweep", leave=False):
        yield cache.sweep(sequence, index, ("queries", "pixel"))
