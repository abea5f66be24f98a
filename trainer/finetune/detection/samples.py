"""Sweeps with boxes as training samples: filled up, augmented, in voxels, with what the head shall answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from iscc_lidar.data_schemas.boxes import Boxes, Camera, no_boxes
from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.pairs import SampleKey, sample_rng
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.sweep_cache import SweepCache
from iscc_lidar.trainer.data.voxelize import Voxels, join_voxels, voxelize
from iscc_lidar.trainer.evaluation.detection.objects import join
from iscc_lidar.trainer.finetune.detection.augment import Scene, augment_scene
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.grid import GridConfig
from iscc_lidar.trainer.finetune.detection.paste import ObjectBank, inside_box, paste
from iscc_lidar.trainer.finetune.detection.targets import Targets, make_targets

WITHOUT: Final = ("semantic", "queries", "pixel")
"""What of a sweep detection does not look at."""


@dataclass(frozen=True)
class BoxSample:
    """One augmented sweep and its name."""

    name: str
    voxels: Voxels
    cell: NDArray[np.int64]
    offset: NDArray[np.float32]
    targets: Targets


@dataclass(frozen=True)
class BoxBatch:
    """Input of one step; see DetectionNetwork, heat_loss and box_loss. ``names`` are the sweeps', for messages."""

    names: tuple[str, ...]
    coords: Tensor
    feats: Tensor
    cell: Tensor
    offset: Tensor
    heat: Tensor
    ignored: Tensor
    at: Tensor
    code: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> BoxBatch:
        """Return the same batch with every tensor changed."""
        return BoxBatch(
            self.names,
            *(change(t) for t in (self.coords, self.feats, self.cell, self.offset)),
            *(change(t) for t in (self.heat, self.ignored, self.at, self.code)),
        )


class BoxDataset(Dataset[BoxSample]):
    """Samples by key: the same key gives the same sample, in every process."""

    def __init__(self, cache: Cache, places: Sequence[Place], all_places: Sequence[Place], config: DetectionConfig):
        self.cache, self.places, self.config = cache, tuple(places), config
        self._copied_from = tuple(all_places if config.paste.leak_all_labels else places)
        self._scene = SweepCache(partial(read_scene, cache, config), config.train.keep_sweeps)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: SampleKey) -> BoxSample:
        """Make the sample of a key."""
        config, rng = self.config, sample_rng(self.config.train.seed, key)
        names = config.classes.names
        sequence, index = self.places[key.place]
        scene = paste(self._scene(sequence, index), self._bank, names, config.paste, rng)
        scene = within(augment_scene(scene, config.augment, rng), config.grid)
        points = np.array([len(inside_box(scene, k)) for k in range(len(scene.boxes))], dtype=np.int64)
        learnt = (points >= config.classes.min_points) & np.isin(scene.boxes.kind, names)
        targets = make_targets(scene.boxes, learnt, names, config.grid)
        voxels, cell, offset = to_grid(scene, config.model.voxel_size, config.grid)
        return BoxSample(f"{sequence}/{index}", voxels, cell, offset, targets)

    def boxes(self) -> Boxes:
        """All boxes of the sweeps that are learnt from."""
        return join([self.cache.boxes(*place) or no_boxes() for place in self.places])

    @cached_property
    def _bank(self) -> ObjectBank:
        """The objects to paste, read when first needed, in each process."""
        config = self.config
        scenes = [self._scene(*place) for place in self._copied_from] if any(config.paste.fill_to) else []
        return ObjectBank.of(scenes, config.classes.names, config.paste)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_bank"}


def read_scene(cache: Cache, config: DetectionConfig, sequence: str, index: int) -> Scene:
    """Read what of a sweep is considered, see ``scene_of``."""
    sweep = cache.sweep(sequence, index, without=WITHOUT)
    return scene_of(sweep, cache.boxes(sequence, index), cache.camera(sequence, index), config)


def scene_of(sweep: CachedSweep, boxes: Boxes | None, camera: Camera | None, config: DetectionConfig) -> Scene:
    """What of a sweep is considered: points that exist, in the grid and in the image, boxes learnt from or ignored."""
    keep = sweep.xyz.any(axis=1) & config.grid.holds(sweep.xyz)
    if camera is not None and config.grid.in_image:
        keep &= camera.sees(sweep.xyz)
    rows = np.flatnonzero(keep)
    kinds = (*config.classes.names, *config.classes.ignored)
    known = no_boxes() if boxes is None else boxes.take(np.isin(boxes.kind, kinds))
    return Scene(sweep.xyz[rows], sweep.intensity[rows], sweep.label[rows] == GROUND, known)


def within(scene: Scene, grid: GridConfig) -> Scene:
    """What of a scene lies in the grid; a scene without any point there stays as it is."""
    rows = np.flatnonzero(grid.holds(scene.xyz))
    return scene.take(rows) if len(rows) else scene


def to_grid(scene: Scene, voxel_size: float, grid: GridConfig) -> tuple[Voxels, NDArray[np.int64], NDArray[np.float32]]:
    """A scene's voxels, the cell x * Y + y of each, int64 [V], and where in it that lies, see DetectionNetwork."""
    voxels = voxelize(scene.xyz, scene.intensity, voxel_size)
    place = (voxels.xyz[:, :2] - grid.corner) / grid.cell_m
    at = np.clip(np.floor(place).astype(np.int64), 0, np.array(grid.shape) - 1)
    offset = np.concatenate([place - (at + 0.5), voxels.xyz[:, 2:]], axis=1).astype(np.float32)
    return voxels, at[:, 0] * grid.shape[1] + at[:, 1], offset


def collate(samples: list[BoxSample]) -> BoxBatch:
    """Join samples."""
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
    )


def all_boxed(cache: Cache) -> list[Place]:
    """Places of all sweeps whose boxes are known, be they none. Raises UserError where there is no such sweep."""
    places = [
        (sequence, index)
        for sequence in cache.sequence_names
        for block in cache.blocks(sequence)
        if block.has_boxes
        for index in range(block.entry.start, block.entry.stop)
    ]
    if not places:
        raise UserError(f"{cache.path}: no sweep has boxes; preprocess again with the box labels in place")
    return places
