"""What a person changed in boxes that were exported for CVAT, as corrections.

A box that lies where a group's box was written is that group's on that sweep, whatever track it is in now: tracks that
were cut are different objects, tracks that were joined are one. A box that a person moved or resized is still its
group's: labels are of points, not of boxes. A new box makes the points in it, but for the ground, an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.data_schemas.boxes import points_in_box
from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import GroupBoxes
from iscc_lidar.shared.corrections.table import Correction, Runs, as_runs
from iscc_lidar.shared.export.cvat import UNNAMED, group_tag
from iscc_lidar.shared.layouts.formats.sly_point_cloud import KEYS_FILE, META_FILE, Figure, read_figures

_SAME_PLACE_M: Final = 0.02
_TAG: Final = re.compile(r"([0-9]{1,9}) of [0-9a-f]{12}")


@dataclass
class _Track:
    """An object of CVAT.

    Attributes:
        class_name: as CVAT has it.
        home: group that its boxes carry; None of a new one.
        sweeps: by group, the sweeps on which it has that group's box.
        points: by sweep, points in a new box.
    """

    class_name: str
    home: int | None
    sweeps: dict[int, list[int]] = field(default_factory=dict)
    points: dict[int, Runs] = field(default_factory=dict)


def is_cvat(folder: Path) -> bool:
    """Return whether the folder of a sequence looks like an export of CVAT in Supervisely's format."""
    return (folder / META_FILE).is_file() and (folder / KEYS_FILE).is_file()


def read_changes(cache: Cache, sequence: str, folder: Path, class_names: Sequence[str]) -> list[Correction]:
    """Find what was changed in ``folder/SEQUENCE``.

    Raises UserError for files that are damaged, or of another cache.
    """
    tracks = _tracks(cache, sequence, folder / sequence, {UNNAMED, *class_names})
    owners: dict[int, dict[str, list[int]]] = {}
    for key, track in tracks.items():
        for group, sweeps in track.sweeps.items():
            owners.setdefault(group, {})[key] = sweeps
    objects = _objects(tracks)
    rows: list[Correction] = []
    for group, by_track in sorted(owners.items()):
        for key, sweeps in by_track.items():
            stated = None if objects[key] == group else objects[key]
            name = None if tracks[key].class_name == UNNAMED else tracks[key].class_name
            if stated is None and len(by_track) > 1 and name is not None:
                stated = group  # named as an object, of which this part is
            if stated is not None or name is not None:
                runs = None if len(by_track) == 1 else as_runs(np.array(sorted(sweeps)))
                rows.append(Correction(sequence, group, stated, name, runs))
    for key, track in tracks.items():
        name = None if track.class_name == UNNAMED else track.class_name
        for index, points in sorted(track.points.items()):
            rows.append(Correction(sequence, None, objects[key], name, ((index, index + 1),), points))
    return rows


def _tracks(cache: Cache, sequence: str, folder: Path, known: set[str]) -> dict[str, _Track]:
    """Read all boxes, by the keys of their objects, in order of their first sweep."""
    found: dict[str, _Track] = {}
    groups = set(cache.group_ids(sequence).tolist())
    for index, file, figures in read_figures(folder, cache.sequence(sequence).sweeps):
        boxes, taken = cache.require_group_boxes(sequence, index), set[int]()
        for figure, place in _placed(figures, boxes):
            if figure.class_name not in known:
                raise UserError(f"{file}: no class {one_line(figure.class_name)!r:.80} is known here")
            home = _home(figure, cache, sequence, groups, file)
            track = found.setdefault(figure.object, _Track(figure.class_name, home))
            if (track.class_name, track.home) != (figure.class_name, home):
                raise UserError(f"{file}: object {one_line(figure.object):.80} has several classes or groups")
            group = home if place is None else place
            if group is not None and group not in taken and (place is not None or group in boxes.group):
                taken.add(group)
                track.sweeps.setdefault(group, []).append(index)
            elif points := _inside(cache, sequence, index, figure):
                track.points[index] = points
    return found


def _placed(figures: Sequence[Figure], boxes: GroupBoxes) -> Iterator[tuple[Figure, int | None]]:
    """Yield each box and the group whose box was written there, those that lie at such a place first."""
    matched: list[tuple[Figure, int | None]] = []
    for figure in figures:
        off = np.abs(np.concatenate([boxes.centre - figure.centre, boxes.size - figure.size], axis=1)).max(axis=1)
        near = boxes.group[off <= _SAME_PLACE_M].tolist() if len(off) else []
        own = [group for group in near if figure.group.startswith(f"{group} of ")]
        matched.append((figure, (own or near or [None])[0]))
    yield from sorted(matched, key=lambda item: item[1] is None)


def _home(figure: Figure, cache: Cache, sequence: str, groups: set[int], file: str) -> int | None:
    if not figure.group:
        return None
    tag = _TAG.fullmatch(figure.group)
    group = int(tag[1]) if tag else -1
    if group not in groups or figure.group != group_tag(cache, sequence, group):
        raise UserError(
            f"{file}: a box is of group {one_line(figure.group)!r:.60}, which {cache.path} does not have in sequence "
            f"{sequence}: it was exported of another cache, or of an earlier state of it"
        )
    return group


def _inside(cache: Cache, sequence: str, index: int, figure: Figure) -> Runs:
    """Return the points in a new box; not the ground."""
    sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
    inside = points_in_box(sweep.xyz, figure.centre, figure.size, figure.heading)
    return as_runs(np.flatnonzero(inside & (sweep.label >= NOISE)))


def _objects(tracks: dict[str, _Track]) -> dict[str, int | str]:
    """Return the object that each track is: a group for the first that has a box of its own group, else a new one."""
    found: dict[str, int | str] = {}
    taken: set[int] = set()
    for number, (key, track) in enumerate(tracks.items()):
        is_first = track.home is not None and track.home in track.sweeps and track.home not in taken
        found[key] = track.home if is_first and track.home is not None else f"track-{number}"
        taken |= {track.home} if is_first and track.home is not None else set()
    return found
