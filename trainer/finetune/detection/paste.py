"""Copy and paste: objects of other labelled sweeps, put where they stood into a sweep where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, footprints, points_in_box
from iscc_lidar.shared.config import option
from iscc_lidar.trainer.evaluation.detection.objects import join
from iscc_lidar.trainer.finetune.detection.augment import Scene


@dataclass(frozen=True)
class PasteConfig:
    """What is pasted. Objects come from the labelled sweeps in use alone."""

    fill_to: tuple[int, ...] = option(
        (10, 6, 6), "objects of each class that a sweep is filled up to; all 0: no pasting"
    )
    min_points: int = option(8, "points that an object needs to be worth copying")
    leak_all_labels: bool = option(
        False,
        "LEAKS: take objects from all sweeps that have labels, also those outside the fraction in use, as some papers "
        "did; their numbers cannot be compared with honest ones",
    )

    def __post_init__(self) -> None:
        if min(self.fill_to, default=0) < 0 or self.min_points < 1:
            raise ValueError("paste.fill_to must be 0 or more for each class, and paste.min_points at least 1")


@dataclass(frozen=True)
class PastedObject:
    """One object: its box, a set of one, its points float32 [N, 3] in the sensor frame, and their intensity."""

    box: Boxes
    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]


@dataclass(frozen=True)
class ObjectBank:
    """Objects by class, in the order of the classes' names."""

    objects: tuple[tuple[PastedObject, ...], ...]

    @classmethod
    def of(cls, scenes: Sequence[Scene], names: Sequence[str], config: PasteConfig) -> Self:
        """Cut the objects out of scenes, which are not augmented."""
        found: dict[str, list[PastedObject]] = {name: [] for name in names}
        if any(config.fill_to):
            for scene in scenes:
                for k, kind in enumerate(scene.boxes.kind.tolist()):
                    inside = inside_box(scene, k)
                    if kind in found and len(inside) >= config.min_points:
                        one = scene.boxes.take(np.array([k]))
                        found[kind].append(PastedObject(one, scene.xyz[inside], scene.intensity[inside]))
        return cls(tuple(tuple(found[name]) for name in names))


def inside_box(scene: Scene, k: int) -> NDArray[np.int64]:
    """Rows of the points in a scene's k-th box."""
    boxes = scene.boxes
    return np.flatnonzero(points_in_box(scene.xyz, boxes.centre[k], boxes.size[k], float(boxes.heading[k])))


def paste(scene: Scene, bank: ObjectBank, names: Sequence[str], config: PasteConfig, rng: np.random.Generator) -> Scene:
    """Fill a scene up with objects from a bank; points of the scene within a pasted box give way."""
    taken = list(_footprints(scene.boxes))
    pasted: list[PastedObject] = []
    for name, objects, target in zip(names, bank.objects, config.fill_to, strict=True):
        room = target - int((scene.boxes.kind == name).sum())
        if room <= 0 or not objects:
            continue
        for k in rng.permutation(len(objects))[:room].tolist():
            (place,) = _footprints(objects[k].box)
            if not any(place.intersects(other) for other in taken):
                taken.append(place)
                pasted.append(objects[k])
    if not pasted:
        return scene
    free = np.ones(len(scene.xyz), dtype=np.bool_)
    for one in pasted:
        free &= ~points_in_box(scene.xyz, one.box.centre[0], one.box.size[0], float(one.box.heading[0]))
    return Scene(
        np.concatenate([scene.xyz[free], *(one.xyz for one in pasted)]),
        np.concatenate([scene.intensity[free], *(one.intensity for one in pasted)]),
        join([scene.boxes, *(one.box for one in pasted)]),
    )


def _footprints(boxes: Boxes) -> NDArray[np.object_]:
    """Boxes from above, as polygons."""
    return np.asarray(shapely.polygons(footprints(boxes.centre[:, :2], boxes.size[:, :2], boxes.heading)))
