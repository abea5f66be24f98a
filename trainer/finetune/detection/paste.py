"""Copy and paste: objects of other labelled sweeps, put where they stood where there is room, on the ground there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from iscc_lidar.data_schemas.boxes import Boxes, footprints, points_in_box
from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.evaluation.detection.objects import join
from iscc_lidar.trainer.finetune.detection.augment import Scene

_TRIES: Final = 4
"""So many objects are looked at for each that is wanted: some stand in others' way, or where no ground is seen."""
_GROUND_POINTS: Final = 10
_GROUND_NEAR_M: Final = 5.0


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

    def raised(self, by_m: float) -> Self:
        """The same object higher up."""
        up = np.array([0.0, 0.0, by_m])
        box = replace(self.box, centre=self.box.centre + up)
        return replace(self, box=box, xyz=(self.xyz + up).astype(np.float32))


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
    """Fill a scene up with objects from a bank, each put on the ground; points within a pasted box give way.

    An object is left out where no ground is seen. Where a sweep has none at all, its ground was not looked for, and
    objects keep their height.
    """
    taken = list(_footprints(scene.boxes))
    ground = _Ground.of(scene)
    pasted: list[PastedObject] = []
    for name, objects, target in zip(names, bank.objects, config.fill_to, strict=True):
        room = target - int((scene.boxes.kind == name).sum())
        if room <= 0 or not objects:
            continue
        tried = [objects[k] for k in rng.permutation(len(objects))[: _TRIES * room].tolist()]
        for one in ground.put_down(tried) if ground else tried:
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
    """The ground's points: z float32 [G], metres, and where they lie from above."""

    z: NDArray[np.float32]
    from_above: KDTree

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """The ground of a scene; None where none is known."""
        xyz = scene.xyz[scene.ground]
        return cls(xyz[:, 2], KDTree(xyz[:, :2], balanced_tree=False, compact_nodes=False)) if len(xyz) else None

    def put_down(self, objects: Sequence[PastedObject]) -> list[PastedObject]:
        """Objects raised or lowered until they stand on the ground, of those near which it is seen."""
        xy = np.concatenate([one.box.centre[:, :2] for one in objects])
        nearest = np.arange(1, _GROUND_POINTS + 1)
        _, near = self.from_above.query(xy, k=nearest, distance_upper_bound=_GROUND_NEAR_M)
        put: list[PastedObject] = []
        for one, rows in zip(objects, near, strict=True):
            z = self.z[rows[rows < len(self.z)]]  # what is not found has the row behind the last
            if len(z):
                put.append(one.raised(float(np.median(z) - one.box.bottom[0])))
        return put


def _footprints(boxes: Boxes) -> NDArray[np.object_]:
    """Boxes from above, as polygons."""
    return np.asarray(shapely.polygons(footprints(boxes.centre[:, :2], boxes.size[:, :2], boxes.heading)))
