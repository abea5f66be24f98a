"""Copy-paste augmentation: objects of other labelled sweeps, at their own x and y where free, on the local ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from iscc_lidar.data_schemas.boxes import Boxes, footprints, points_in_box
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.evaluation.detection.objects import join
from iscc_lidar.trainer.finetune.detection.augment import Scene

_TRIES: Final = 4
"""Candidates per wanted object: some overlap others, or have no ground nearby."""
_GROUND_POINTS: Final = 10
_GROUND_NEAR_M: Final = 5.0


@dataclass(frozen=True)
class PasteConfig:
    """Pasted objects. They come only from the labelled sweeps in use."""

    fill_to: tuple[int, ...] = option(
        (10, 6, 6),
        "paste until a sweep has this number of objects of each class; all 0: no pasting",
        at_least=0,
        at_most=10_000,
    )
    min_points: int = option(8, "objects with fewer points are not copied", at_least=1)
    leak_all_labels: bool = option(
        False,
        "LEAKS LABELS: take objects from all sweeps that have labels, also outside the fraction in use, as some papers "
        "did; scores are not comparable with those without",
    )

    def __post_init__(self) -> None:
        check_ranges(self, "paste")


@dataclass(frozen=True)
class PastedObject:
    """One object: its box, points float32 [N, 3] in the sensor frame, and their intensity float32 [N]."""

    box: Boxes
    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]

    def raised(self, by_m: float) -> Self:
        """Move the object up by some metres."""
        up = np.array([0.0, 0.0, by_m])
        box = replace(self.box, centre=self.box.centre + up)
        return replace(self, box=box, xyz=(self.xyz + up).astype(np.float32))


ObjectBank = tuple[tuple[PastedObject, ...], ...]
"""Objects by class, in the order of the classes' names."""


def cut_objects(scenes: Sequence[Scene], names: Sequence[str], config: PasteConfig) -> ObjectBank:
    """Cut the objects of some classes out of scenes that are not augmented."""
    found: dict[str, list[PastedObject]] = {name: [] for name in names}
    for scene in scenes:
        for k, name in enumerate(scene.boxes.kind.tolist()):
            inside = inside_box(scene, k)
            if name in found and len(inside) >= config.min_points:
                box = scene.boxes.take(np.array([k]))
                found[name].append(PastedObject(box, scene.xyz[inside], scene.intensity[inside]))
    return tuple(tuple(found[name]) for name in names)


def inside_box(scene: Scene, k: int) -> NDArray[np.int64]:
    """Return the rows of the points in a scene's k-th box."""
    boxes = scene.boxes
    return np.flatnonzero(points_in_box(scene.xyz, boxes.centre[k], boxes.size[k], float(boxes.heading[k])))


def paste(scene: Scene, bank: ObjectBank, names: Sequence[str], config: PasteConfig, rng: np.random.Generator) -> Scene:
    """Paste objects from a bank onto the ground of a scene; the scene's points within a pasted box are removed.

    An object without ground points nearby is left out. Without any ground label in the scene (the ground was not
    segmented) objects keep their height.
    """
    taken = list(_footprints(scene.boxes))
    ground = _Ground.of(scene)
    pasted: list[PastedObject] = []
    for name, objects, target in zip(names, bank, config.fill_to, strict=True):
        room = target - int((scene.boxes.kind == name).sum())
        if room <= 0 or not objects:
            continue
        tried = [objects[k] for k in rng.permutation(len(objects))[: _TRIES * room].tolist()]
        for one in ground.place_on_ground(tried) if ground else tried:
            if room == 0:
                break
            (place,) = _footprints(one.box)
            if not any(place.intersects(other) for other in taken):
                taken.append(place)
                pasted.append(one)
                room -= 1
    if not pasted:
        return scene
    free = np.ones(len(scene.xyz), dtype=np.bool_)
    for one in pasted:
        free &= ~points_in_box(scene.xyz, one.box.centre[0], one.box.size[0], float(one.box.heading[0]))
    kept = scene.take(np.flatnonzero(free))
    xyz = np.concatenate([kept.xyz, *(one.xyz for one in pasted)])
    return Scene(
        xyz,
        np.concatenate([kept.intensity, *(one.intensity for one in pasted)]),
        np.concatenate([kept.ground, np.zeros(len(xyz) - len(kept.xyz), np.bool_)]),
        join([scene.boxes, *(one.box for one in pasted)]),
    )


@dataclass(frozen=True)
class _Ground:
    """Ground points: z float32 [G], metres, and a search tree over x and y."""

    z: NDArray[np.float32]
    tree: KDTree

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """Index the ground of a scene; None without ground points."""
        xyz = scene.xyz[scene.ground]
        return cls(xyz[:, 2], KDTree(xyz[:, :2], balanced_tree=False, compact_nodes=False)) if len(xyz) else None

    def place_on_ground(self, objects: Sequence[PastedObject]) -> list[PastedObject]:
        """Raise or lower objects to the ground; those without ground points nearby are left out."""
        xy = np.concatenate([one.box.centre[:, :2] for one in objects])
        nearest = np.arange(1, _GROUND_POINTS + 1)
        _, near = self.tree.query(xy, k=nearest, distance_upper_bound=_GROUND_NEAR_M)
        placed: list[PastedObject] = []
        for one, rows in zip(objects, near, strict=True):
            z = self.z[rows[rows < len(self.z)]]  # missing neighbours have row len(z)
            if len(z):
                placed.append(one.raised(float(np.median(z) - one.box.bottom[0])))
        return placed


def _footprints(boxes: Boxes) -> NDArray[np.object_]:
    """Return the polygons of boxes from above."""
    return np.asarray(shapely.polygons(footprints(boxes.centre[:, :2], boxes.size[:, :2], boxes.heading)))
