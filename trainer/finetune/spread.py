"""Spread labels as training data: which sweeps have them, and which of these must not be trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.trainer.data.places import Place, listed_places

AllLabelled = Callable[[Cache], list[Place]]
"""Lists the sweeps with labels of a task. Raises UserError where none has."""
Fingerprint = tuple[int, int, int]
"""Number of a sweep's points, checksums of their positions and intensities."""


@dataclass(frozen=True)
class SpreadTraining:
    """Spread labels and sweeps.

    Attributes:
        labels: the spread labels.
        labelled: sweeps that they were spread from.
        places: sweeps to train on.
        available: number of sweeps that have labels in the cache; all sweeps where none has.
    """

    labels: SpreadLabels
    labelled: list[Place]
    places: list[Place]
    available: int


def open_spread(
    cache: Cache,
    where: Path | str,
    scored: tuple[str, Path | None] | None,
    all_labelled: AllLabelled,
    among: Path | None = None,
) -> SpreadTraining:
    """Open spread labels of a cache, and leave out the sweeps that are scored; see ``FinetuneLearner.of_spread``."""
    labels = SpreadLabels(where, cache)
    entries = labels.manifest.sequences
    labelled = [(entry.name, index) for entry in entries for index in entry.labelled]
    if not labelled:
        raise UserError(f"{labels.path}: has no labelled sweep; make it again: iscc-cache spread")
    kept_out = _fingerprints(*scored, all_labelled) if scored is not None else set()
    wanted = None if among is None else set(listed_places(cache, among))
    places = []
    for entry in entries:
        prints = sweep_fingerprints(cache, entry.name)
        places += [
            (entry.name, index)
            for index in range(entry.sweeps)
            if index in entry.labelled
            or (prints[index] not in kept_out and (wanted is None or (entry.name, index) in wanted))
        ]
    return SpreadTraining(labels, labelled, places, _available(cache, all_labelled))


def balanced(places: Sequence[Place], labelled: Sequence[Place]) -> list[Place]:
    """Repeat sweeps so that about half of them are of sequences with a labelled sweep, if fewer are.

    Labels of other sequences are a network's own: learning from them alone adds little.
    """
    own = {sequence for sequence, _ in labelled}
    of_people = [place for place in places if place[0] in own]
    of_network = [place for place in places if place[0] not in own]
    return of_people * max(1, round(len(of_network) / len(of_people))) + of_network


def _available(cache: Cache, all_labelled: AllLabelled) -> int:
    """Count the sweeps that have labels in the cache; all sweeps where none has."""
    try:
        return len(all_labelled(cache))
    except UserError:
        return sum(cache.sequence(sequence).sweeps for sequence in cache.sequence_names)


def _fingerprints(cache_path: str, listed: Path | None, all_labelled: AllLabelled) -> set[Fingerprint]:
    """Return the fingerprints of the sweeps that are scored: those of a list, or all that have labels."""
    cache = Cache(cache_path)
    places: Sequence[Place] = listed_places(cache, listed) if listed is not None else all_labelled(cache)
    prints = {sequence: sweep_fingerprints(cache, sequence) for sequence in dict.fromkeys(s for s, _ in places)}
    return {prints[sequence][index] for sequence, index in places}


def sweep_fingerprints(cache: Cache, sequence: str) -> list[Fingerprint]:
    """Return what tells a sequence's sweeps from others, whatever their names and the cache's options."""
    found: list[Fingerprint] = []
    for block in cache.blocks(sequence):
        rows = zip(block.sweeps["points"].to_pylist(), block.sweeps["crc32"].to_pylist(), strict=True)
        found += [(points, checksums["xyz"], checksums["intensity"]) for points, checksums in rows]
    return found
