"""Sweeps with boxes as training samples: with pasted objects, augmented, voxelised, with the targets of the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iscc_lidar.data_schemas.boxes import Boxes, Camera, no_boxes
from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.data_schemas.spread import UNKNOWN_KIND
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.dataset import SweepDataset, SweepSample
from iscc_lidar.trainer.data.pack import TensorSet
from iscc_lidar.trainer.data.pairs import SampleKey, sample_rng
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import Voxels, enough_to_train, join_voxels, voxelize
from iscc_lidar.trainer.evaluation.detection.objects import join
from iscc_lidar.trainer.finetune.detection.augment import Scene, augment_scene
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.grid import GridConfig
from iscc_lidar.trainer.finetune.detection.paste import ObjectBank, cut_objects, inside_box, paste
from iscc_lidar.trainer.finetune.detection.targets import Targets, make_targets

NOT_READ: Final = ("semantic", "queries", "pixel")
"""Parts of a sweep that detection does not use."""


@dataclass(frozen=True)
class BoxSample(SweepSample):
    """One augmented sweep and its name; ``cell`` and ``offset`` as in DetectionNetwork.grid_features."""

    name: str
    voxels: Voxels
    cell: NDArray[np.int64]
    offset: NDArray[np.float32]
    targets: Targets


@dataclass(frozen=True)
class BoxBatch(TensorSet):
    """A micro-batch, see DetectionNetwork, heat_loss and box_loss. ``names`` are the sweeps', for messages.

    ``left_out`` names sweeps with too few points, for which others were taken.
    """

    names: tuple[str, ...]
    coords: Tensor
    feats: Tensor
    cell: Tensor
    offset: Tensor
    heat: Tensor
    ignored: Tensor
    at: Tensor
    code: Tensor
    left_out: tuple[str, ...] = ()

    def describe(self) -> str:
        """Describe its size."""
        return f"{len(self.coords):,} voxels"


class BoxDataset(SweepDataset[BoxSample, Scene]):
    """Samples as a pure function of their key; with ``spread`` their boxes are spread ones."""

    def __init__(
        self,
        cache: Cache,
        places: Sequence[Place],
        all_places: Sequence[Place],
        config: DetectionConfig,
        spread: SpreadLabels | None = None,
    ):
        super().__init__(cache, places, partial(read_scene, cache, config, spread), config.train.keep_sweeps)
        self.cache, self.config, self.spread = cache, config, spread
        self._pasted_from = tuple(all_places if config.paste.leak_all_labels else places)

    def make(self, key: SampleKey) -> BoxSample | None:
        """See ``SweepDataset``."""
        config, rng = self.config, sample_rng(self.config.train.seed, key)
        names = config.classes.names
        sequence, index = self.places[key.place]
        scene = paste(self.read_sweep(sequence, index), self._bank, names, config.paste, rng)
        scene = crop(augment_scene(scene, config.augment, rng), config.grid)
        points = np.array([len(inside_box(scene, k)) for k in range(len(scene.boxes))], dtype=np.int64)
        used = (points >= config.classes.min_points) & np.isin(scene.boxes.kind, names)
        targets = make_targets(scene.boxes, used, names, config.grid)
        voxels, cell, offset = to_grid(scene, config.model.voxel_size, config.grid)
        if not enough_to_train(voxels, len(config.model.encoder_widths)):
            return None
        return BoxSample(f"{sequence}/{index}", voxels, cell, offset, targets)

    def boxes(self) -> Boxes:
        """Return all boxes of the training sweeps."""
        return join([read_boxes(self.cache, self.spread, *place) for place in self.places])

    @cached_property
    def _bank(self) -> ObjectBank:
        """Objects to paste, read when first needed, in each process."""
        config = self.config
        scenes = [self.read_sweep(*place) for place in self._pasted_from] if any(config.paste.fill_to) else []
        return cut_objects(scenes, config.classes.names, config.paste)


def read_scene(cache: Cache, config: DetectionConfig, spread: SpreadLabels | None, sequence: str, index: int) -> Scene:
    """Read a sweep as a scene, see ``scene_of``."""
    sweep, boxes = cache.sweep(sequence, index, without=NOT_READ), read_boxes(cache, spread, sequence, index)
    return scene_of(sweep, boxes, cache.camera(sequence, index), config)


def read_boxes(cache: Cache, spread: SpreadLabels | None, sequence: str, index: int) -> Boxes:
    """Read the labelled boxes of a sweep, or those that were spread to it."""
    if spread is not None:
        return spread.boxes(sequence, index).boxes
    return cache.boxes(sequence, index) or no_boxes()


def scene_of(sweep: CachedSweep, boxes: Boxes, camera: Camera | None, config: DetectionConfig) -> Scene:
    """Select the valid points in the grid and in the image, and the boxes of the detected and the ignored classes.

    Areas of spread labels of which nothing is known are ignored, too.
    """
    keep = sweep.xyz.any(axis=1) & config.grid.contains(sweep.xyz)
    if camera is not None and config.grid.in_image:
        keep &= camera.sees(sweep.xyz)
    rows = np.flatnonzero(keep)
    known = boxes.take(np.isin(boxes.kind, (*config.classes.names, *config.classes.ignored, UNKNOWN_KIND)))
    return Scene(sweep.xyz[rows], sweep.intensity[rows], sweep.label[rows] == GROUND, known)


def crop(scene: Scene, grid: GridConfig) -> Scene:
    """Keep the points in the grid; a scene without any there is returned unchanged."""
    rows = np.flatnonzero(grid.contains(scene.xyz))
    return scene.take(rows) if len(rows) else scene


def to_grid(scene: Scene, voxel_size: float, grid: GridConfig) -> tuple[Voxels, NDArray[np.int64], NDArray[np.float32]]:
    """Voxelise a scene; return the cell x * Y + y of each voxel too, int64 [V], and its offset in the cell [V, 3]."""
    voxels = voxelize(scene.xyz, scene.intensity, voxel_size)
    xy = (voxels.xyz[:, :2] - grid.corner) / grid.cell_m
    at = np.clip(np.floor(xy).astype(np.int64), 0, np.array(grid.shape) - 1)
    offset = np.concatenate([xy - (at + 0.5), voxels.xyz[:, 2:]], axis=1).astype(np.float32)
    return voxels, at[:, 0] * grid.shape[1] + at[:, 1], offset


def collate(samples: list[BoxSample]) -> BoxBatch:
    """Join samples to a batch."""
    coords, feats = join_voxels([s.voxels for s in samples])
    cells = samples[0].targets.ignored.size
    return BoxBatch(
        tuple(s.name for s in samples),
        coords,
        feats,
        torch.from_numpy(np.concatenate([s.cell + k * cells for k, s in enumerate(samples)])),
        torch.from_numpy(np.concatenate([s.offset for s in samples])),
        torch.from_numpy(np.stack([s.targets.heat for s in samples])),
        torch.from_numpy(np.stack([s.targets.ignored for s in samples])),
        torch.from_numpy(np.concatenate([s.targets.at + k * s.targets.heat.size for k, s in enumerate(samples)])),
        torch.from_numpy(np.concatenate([s.targets.code for s in samples])),
        tuple(name for s in samples for name in s.left_out),
    )


def all_boxed(cache: Cache) -> list[Place]:
    """List all sweeps with box labels, which may be empty. Raises UserError where there is none."""
    places = [(sequence, index) for sequence in cache.sequence_names for index in cache.boxed_sweeps(sequence)]
    if not places:
        raise UserError(f"{cache.path}: no sweep has boxes; preprocess again with the box labels in place")
    return places
