"""The tasks of one sequence: count the classes of its groups, then spread to stretches of its sweeps.

A task reads the cache and writes its part in one step. A part that is there already, made of the same, is kept.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import boxes_in_space, no_boxes
from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.spread import FROM_LABEL, SpreadBoxes, SpreadPart, SpreadPoints, own_labels
from iscc_lidar.preprocess.plan.sequence_job import digest_of
from iscc_lidar.preprocess.spread.box_motion import SeenSweep, TrackedBox, directions
from iscc_lidar.preprocess.spread.boxes import (
    BoxEvidence,
    LabelledSweep,
    gather_boxes,
    spread_boxes,
    to_sensor,
    to_world,
)
from iscc_lidar.preprocess.spread.evidence import (
    GroupVotes,
    Places,
    count_votes,
    gather_places,
    ground_at_groups,
    standing_groups,
)
from iscc_lidar.preprocess.spread.rule import SpreadConfig, spread_to
from iscc_lidar.preprocess.tasks.progress import report_sweeps
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_folder import part_path
from iscc_lidar.shared.cache.spread_part import SpreadSweep, describe_part, encode, find_part
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.formats.label_files import LabelSource
from iscc_lidar.shared.store.store import Store

STRETCH: Final = 16
"""Sweeps of a task: its memory, and that of the part it writes, do not grow with the sequence."""
RULE: Final = 3
"""Number of the rule: parts that were made by another one are made again."""
_AROUND_M: Final = 120.0
_LOOK_AWAY: Final = (-20, -10, -5, 5, 10, 20)
"""Sweeps before and after a labelled one that tell whether what is seen on it stands."""
_MOST_LABELLED: Final = 16
"""Labelled sweeps that a stretch looks at: the nearest ones within ``_AROUND_M``."""
_LAST_PLACES: Final[dict[tuple[str, tuple[int, ...]], Places]] = {}
"""By what they are made of: the stretches of a sequence mostly look at the same labelled sweeps."""


@dataclass(frozen=True)
class SpreadJob:
    """A sequence to spread to.

    Attributes:
        labels: the cache with its points, groups and poses, and the labels.
        store: where the parts are written.
        config: options.
        sequence: its name.
        labelled: indices of its labelled sweeps, ascending.
    """

    labels: LabelSource
    store: Store
    config: SpreadConfig
    sequence: str
    labelled: tuple[int, ...]

    @property
    def cache(self) -> Cache:
        """Its points, groups and poses."""
        return self.labels.cache

    @property
    def classes(self) -> int:
        """Number of classes, unlabelled included."""
        return len(self.labels.class_names)

    def classes_of(self, index: int) -> NDArray[np.uint8]:
        """Read the classes of a labelled sweep's points, uint8 [N]; none where only its boxes are labelled.

        Raises UserError for a file of labels in which no point has a class.
        """
        files = self.labels.files
        if files is None and "semantic" not in self.cache.block(self.sequence, index).array_names:
            return np.zeros(self.cache.points(self.sequence, index), np.uint8)
        classes = self.labels.read(self.sequence, index)
        if files is not None and not classes.any():
            file = files.file(self.sequence, self.cache.sweep_name(self.sequence, index))
            raise UserError(f"{file}: no point has a class; label it, or leave the sweep out of the list")
        return classes

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Where each task begins and ends."""
        sweeps = self.cache.sequence(self.sequence).sweeps
        return [(start, min(start + STRETCH, sweeps)) for start in range(0, sweeps, STRETCH)]


@dataclass(frozen=True)
class SequenceEvidence:
    """What the tasks of a sequence share.

    Attributes:
        votes: the classes of its groups.
        standing: by labelled sweep, groups that move, but of which what is seen there stands.
        boxes: its labelled boxes; None where no labelled sweep has any.
        sensor: float64 [S, 3], where the sensor is, world.
        key: digest of all that the labels depend on.
    """

    votes: GroupVotes
    standing: Mapping[int, NDArray[np.int32]]
    boxes: BoxEvidence | None
    sensor: NDArray[np.float64]
    key: str


def count_task(job: SpreadJob) -> SequenceEvidence:
    """Count the classes of the groups of a sequence in its labelled sweeps, and find the groups of labelled boxes."""
    cache, entry = job.cache, job.cache.sequence(job.sequence)
    classes = [job.classes_of(index) for index in job.labelled]
    moving = cache.moving_groups(job.sequence)
    if job.config.rule == "position":  # which asks for no groups
        moving = moving[:0]
    standing = {index: _standing(job, index, moving) for index in job.labelled}
    labels = (_without(cache.label(job.sequence, index), standing[index]) for index in job.labelled)
    votes = count_votes(zip(labels, classes, strict=True), moving, job.classes)
    read = [hashlib.sha256(each.tobytes()).hexdigest() for each in classes]
    blocks = [block.digest for block in (*entry.blocks, *entry.tracks)]
    key = digest_of([RULE, to_dict(job.config), job.sequence, job.labelled, blocks, read, job.classes])
    return SequenceEvidence(votes, standing, _box_evidence(job), cache.poses(job.sequence)[:, :3, 3], key)


def _standing(job: SpreadJob, index: int, moving: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the groups that move, but of which what is seen on a sweep stands."""
    if not len(moving):
        return moving
    world, label = _world_and_label(job, index)
    sweeps = range(job.cache.sequence(job.sequence).sweeps)
    others = (_world_and_label(job, index + away) for away in _LOOK_AWAY if index + away in sweeps)
    return standing_groups((world, label), others, np.intersect1d(label, moving))


def _without(label: NDArray[np.int32], groups: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels in which points of some groups are of none."""
    return np.where(np.isin(label, groups), np.int32(NOISE), label)


def _box_evidence(job: SpreadJob) -> BoxEvidence | None:
    cache, boxed = job.cache, set(job.cache.boxed_sweeps(job.sequence))
    if job.config.rule != "both" or boxed.isdisjoint(job.labelled):
        return None
    evidence = gather_boxes(_labelled_sweep(job, index) for index in job.labelled if index in boxed)
    moving = np.intersect1d(cache.moving_groups(job.sequence), np.array(list(evidence.of_group), np.int32))
    tables = [block.group_rows for block in cache.blocks(job.sequence)]
    sweep, group = (np.concatenate([table[name].to_numpy() for table in tables]) for name in ("sweep", "group"))
    rows = np.flatnonzero(np.isin(group, moving))
    centroid = np.concatenate([np.reshape(table["centroid"].to_pylist(), (-1, 3)) for table in tables])
    direction = {}
    for of_group in moving.tolist():
        at = rows[group[rows] == of_group]
        found = directions(sweep[at].astype(np.int64), centroid[at])
        direction[of_group] = dict(zip(sweep[at].tolist(), found.tolist(), strict=True))
    return replace(evidence, moving=moving, direction=direction)


def _labelled_sweep(job: SpreadJob, index: int) -> LabelledSweep:
    seen, sweep = _seen(job, index)
    seen = _with_tracks(job, seen, sweep.world_SE3_sensor)
    boxes, camera = job.cache.boxes(job.sequence, index) or no_boxes(), job.cache.camera(job.sequence, index)
    in_sight = np.ones(len(seen.label), np.bool_) if camera is None else camera.sees(sweep.xyz)
    return LabelledSweep(seen, to_world(boxes, sweep.world_SE3_sensor), in_sight)


def spread_task(job: SpreadJob, stretch: tuple[int, int], evidence: SequenceEvidence) -> SpreadPart:
    """Spread labels to a stretch of sweeps, and write them."""
    path = part_path(job.sequence, stretch[0])
    content = find_part(job.store, path, stretch, job.classes, evidence.key)
    if content is None:
        content = encode(_spread_stretch(job, stretch, evidence), evidence.key)
        job.store.write(path, content)
    report_sweeps(stretch[1] - stretch[0])
    return describe_part(path, stretch, content)


def _spread_stretch(job: SpreadJob, stretch: tuple[int, int], evidence: SequenceEvidence) -> Iterator[SpreadSweep]:
    """Spread to all sweeps at once: most places are seen by several of them, and looked up once."""
    others = [index for index in range(*stretch) if index not in job.labelled]
    found: Iterator[SpreadSweep] = iter(())
    if others:
        seen, sweeps = zip(*(_seen(job, index) for index in others), strict=True)
        poses = [sweep.world_SE3_sensor for sweep in sweeps]
        objects = evidence.votes.objects
        feet = np.concatenate([ground_at_groups(each.xyz, each.label, objects) for each in seen])
        world, label = np.concatenate([each.xyz for each in seen]), np.concatenate([each.label for each in seen])
        world[feet] = np.nan  # neither what moves nor the ground below can be told there
        together = spread_to(world, label, evidence.votes, _places(job, stretch, evidence), job.config)
        points = _split(together, [len(each.label) for each in seen])
        boxes = (_spread_boxes(job, each, pose, evidence.boxes) for each, pose in zip(seen, poses, strict=True))
        found = map(SpreadSweep, others, points, boxes)
    for index in range(*stretch):
        yield _own(job, index, evidence.boxes) if index in job.labelled else next(found)


def _spread_boxes(
    job: SpreadJob, sweep: SeenSweep, world_SE3_sensor: NDArray[np.float64], evidence: BoxEvidence | None
) -> SpreadBoxes | None:
    if evidence is None:
        return None
    sweep = _with_tracks(job, sweep, world_SE3_sensor)
    found = spread_boxes(sweep, job.cache.groups(job.sequence, sweep.index), evidence)
    return replace(found, boxes=to_sensor(found.boxes, world_SE3_sensor))


def _own(job: SpreadJob, index: int, evidence: BoxEvidence | None) -> SpreadSweep:
    points = own_labels(job.classes_of(index))
    if evidence is None:
        return SpreadSweep(index, points, None)
    boxes = job.cache.boxes(job.sequence, index) or no_boxes()
    boxes = boxes.take(np.flatnonzero(np.isfinite(boxes.centre).all(axis=1)))
    return SpreadSweep(index, points, SpreadBoxes(boxes, np.full(len(boxes), FROM_LABEL, np.uint8)))


def _split(points: SpreadPoints, sizes: Sequence[int]) -> Iterator[SpreadPoints]:
    for stop, size in zip(itertools.accumulate(sizes), sizes, strict=True):
        at = slice(stop - size, stop)
        yield SpreadPoints(points.classes[at], points.confidence[at], points.source[at])


def _places(job: SpreadJob, stretch: tuple[int, int], evidence: SequenceEvidence) -> Places:
    """Gather the labelled points near a stretch; those of the last one of this process are kept."""
    near = _nearest_labelled(job, stretch, evidence.sensor)
    key = evidence.key, tuple(near)
    if key not in _LAST_PLACES:
        votes = None if job.config.rule == "position" else evidence.votes
        places = gather_places((_labelled_points(job, k, evidence) for k in near), votes)
        _LAST_PLACES.clear()
        _LAST_PLACES[key] = places
    return _LAST_PLACES[key]


def _labelled_points(
    job: SpreadJob, index: int, evidence: SequenceEvidence
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.uint8]]:
    """Read a labelled sweep: positions in the world, NaN for what is no evidence, labels and classes of its points."""
    world, label = _world_and_label(job, index)
    label = _without(label, evidence.standing[index])
    world[ground_at_groups(world, label, evidence.votes.objects)] = np.nan
    return world, label, job.classes_of(index)


def _nearest_labelled(job: SpreadJob, stretch: tuple[int, int], sensor: NDArray[np.float64]) -> list[int]:
    """Return the labelled sweeps nearest to a stretch, those of one place in order of time."""
    labelled = np.array(job.labelled)
    gap = np.linalg.norm(sensor[labelled][:, None] - sensor[None, slice(*stretch)], axis=2).min(axis=1)
    order = np.lexsort((np.abs(labelled - sum(stretch) / 2), np.round(gap)))[:_MOST_LABELLED]
    return sorted(labelled[order[gap[order] <= _AROUND_M]].tolist())


def _world_and_label(job: SpreadJob, index: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    seen, _ = _seen(job, index)
    return seen.xyz, seen.label


def _seen(job: SpreadJob, index: int) -> tuple[SeenSweep, CachedSweep]:
    """Read a sweep; returns it in the world, and as it is."""
    sweep = job.cache.sweep(job.sequence, index, without=("semantic", "queries", "pixel"))
    world = transform(sweep.world_SE3_sensor, sweep.xyz)
    world[~sweep.xyz.any(axis=1)] = np.nan  # not valid
    return SeenSweep(index, world, sweep.label, sweep.world_SE3_sensor[:3, 3]), sweep


def _with_tracks(job: SpreadJob, sweep: SeenSweep, world_SE3_sensor: NDArray[np.float64]) -> SeenSweep:
    """Add the boxes of groups, found without labels, where the cache has them."""
    found = job.cache.group_boxes(job.sequence, sweep.index)
    if found is None:
        return sweep
    boxes = to_world(
        boxes_in_space(np.full(len(found.group), ""), found.centre, found.size, found.heading), world_SE3_sensor
    )
    columns = zip(found.group.tolist(), boxes.centre, boxes.size, boxes.heading.tolist(), strict=True)
    return replace(sweep, tracked={group: TrackedBox(*box) for group, *box in columns})
