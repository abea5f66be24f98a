"""Sweeps of a cache by their place, and by the dataset's own names in lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import SweepName, read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.joined import JoinedCaches

Place = tuple[str, int]
"""A sweep of a cache: the name of its sequence and its index in it."""


def sweep_names(cache: Cache) -> dict[str, list[str]]:
    """Return the names of all sweeps of each sequence, in order."""
    return {sequence: cache.sweep_names(sequence) for sequence in cache.sequence_names}


def places_of(sweeps: Iterable[SweepName], names: Mapping[str, Sequence[str]]) -> list[Place]:
    """Return the places of sweeps given by name; ``names`` are those of ``sweep_names``."""
    index = {sequence: {name: i for i, name in enumerate(of_sequence)} for sequence, of_sequence in names.items()}
    return [(sequence, index[sequence][name]) for sequence, name in sweeps]


def all_labelled(cache: Cache) -> list[Place]:
    """Return the places of all sweeps with semantic labels (one in five in Waymo). Raises UserError if none."""
    places = [(sequence, index) for sequence in cache.sequence_names for index in cache.labelled_sweeps(sequence)]
    if not places:
        raise UserError(f"{cache.path}: no sweep has semantic labels; preprocess again with the label files present")
    return places


def listed_places(cache: Cache, listed: Path) -> list[Place]:
    """Return the places of a list's sweeps. Raises UserError if it is unreadable or names an unknown sweep."""
    names = sweep_names(cache)
    return places_of(read_list(listed, names), names)


def names_of(cache: Cache, places: Sequence[Place]) -> list[SweepName]:
    """Return the names of sweeps given by place."""
    names = {sequence: cache.sweep_names(sequence) for sequence in dict.fromkeys(s for s, _ in places)}
    return [(sequence, names[sequence][index]) for sequence, index in places]


def point_counts(cache: Cache | JoinedCaches, places: Sequence[Place]) -> list[int]:
    """Count the points of sweeps that are not ignored."""
    counts: dict[Place, int] = {}
    for sequence in dict.fromkeys(sequence for sequence, _ in places):
        for block in cache.blocks(sequence):
            columns = (block.sweeps[name].to_pylist() for name in ("sweep", "points", "not_considered"))
            counts |= {(sequence, index): points - ignored for index, points, ignored in zip(*columns, strict=True)}
    return [counts[place] for place in places]
