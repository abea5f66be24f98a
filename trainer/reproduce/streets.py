"""Streets: sweeps to learn from and others to score on, all of one cache, written as ``NAME: SWEEPS -> SWEEPS``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.cache.label_fractions import SweepName, write_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.layout import find_layout
from iscc_lidar.trainer.evaluation.scores import score

Confusion = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Numbers of points by sequence, true class and predicted class."""
_STREET: Final = re.compile(r"(?P<name>[^:]+):(?P<learn>.+)->(?P<score>.+)")
_PART: Final = re.compile(r"(?P<sequence>[^\[\]]+?)(\[(?P<first>\d{1,9})-(?P<last>\d{1,9})\])?")
_MERGE: Final = re.compile(r"(?P<name>[^:]+):(?P<pairs>.+)")
FORM: Final = "NAME: SEQUENCE[FIRST-LAST] + ... -> SEQUENCE[FIRST-LAST] + ..."


@dataclass(frozen=True)
class Part:
    """The sweeps ``first`` to ``last`` of a sequence, both included; all if ``last`` is None."""

    sequence: str
    first: int = 0
    last: int | None = None

    def __str__(self) -> str:
        return self.sequence if self.last is None else f"{self.sequence}[{self.first}-{self.last}]"

    def indices(self, sweeps: int) -> range:
        """Return the indices of its sweeps in a sequence of so many."""
        return range(self.first, sweeps if self.last is None else self.last + 1)


@dataclass(frozen=True)
class Street:
    """A street of the table.

    Attributes:
        name: for files and tables.
        learn: sweeps of which some are labelled.
        score: sweeps that are scored.
        merged: name of the class that a class counts as, where labels of the scored street do not tell them apart.
    """

    name: str
    learn: tuple[Part, ...]
    score: tuple[Part, ...]
    merged: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """Its name, and the sweeps."""
        return f"{self.name}: {join(self.learn)} -> {join(self.score)}"


def join(parts: Iterable[Part]) -> str:
    """Write sweeps as in the options."""
    return " + ".join(map(str, parts))


def read_streets(texts: Sequence[str], merges: Sequence[str] = ()) -> tuple[Street, ...]:
    """Read the options ``streets`` and ``merge_classes``. Raises ValueError for what is none, and for a name twice."""
    merged: dict[str, tuple[tuple[str, str], ...]] = {}
    for name, pairs in map(_read_merge, merges):
        merged[name] = merged.get(name, ()) + pairs
    streets = []
    for text in texts:
        found = _STREET.fullmatch(text)
        if found is None:
            raise ValueError(f"streets: expected {FORM}, not {text!r}")
        name = found["name"].strip()
        if fault := name_fault(name):
            raise ValueError(f"streets: {name!r} cannot name a street: {fault}")
        streets.append(Street(name, _read_parts(found["learn"]), _read_parts(found["score"]), merged.pop(name, ())))
    names = [street.name for street in streets]
    if len(set(names)) < len(names):
        raise ValueError(f"streets: expected no name twice, not {', '.join(names)}")
    if merged:
        raise ValueError(f"merge_classes: no street {', '.join(merged)}")
    for street in streets:
        scored = [p.sequence for other in streets if other.learn == street.learn for p in other.score]
        if len(set(scored)) < len(scored):
            raise ValueError(f"streets: what learns from {join(street.learn)} scores a sequence twice")
    return tuple(streets)


def _read_parts(text: str) -> tuple[Part, ...]:
    parts = []
    for word in text.split("+"):
        found = _PART.fullmatch(word.strip())
        if found is None or (found["last"] is not None and int(found["first"]) > int(found["last"])):
            raise ValueError(f"streets: expected {FORM}, not {word.strip()!r}")
        whole = found["last"] is None
        parts.append(Part(found["sequence"], *(() if whole else (int(found["first"]), int(found["last"])))))
    return tuple(parts)


def _read_merge(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    found = _MERGE.fullmatch(text)
    pairs = [tuple(word.strip() for word in pair.split("=")) for pair in found["pairs"].split(",")] if found else []
    if found is None or any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ValueError(f"merge_classes: expected STREET: CLASS=CLASS, ..., not {text!r}")
    return found["name"].strip(), tuple((pair[0], pair[1]) for pair in pairs)


def names_in(cache: Cache, parts: Iterable[Part]) -> list[SweepName]:
    """Return the names of the sweeps that have labels. Raises UserError where a sequence or sweep is not there."""
    found: list[SweepName] = []
    for part in parts:
        names = cache.sweep_names(part.sequence)
        indices = part.indices(len(names))
        if indices.stop > len(names):
            raise UserError(f"streets: {part}: {cache.path} has {len(names)} sweeps of this sequence")
        found += [(part.sequence, names[index]) for index in cache.labelled_sweeps(part.sequence) if index in indices]
    if not found:
        raise UserError(f"streets: no sweep of {join(parts)} has labels in {cache.path}")
    return found


def list_file(out: Path, parts: Iterable[Part]) -> Path:
    """Return the file of a list of sweeps below OUT."""
    return out / "lists" / f"{file_name(parts)}.txt"


def file_name(parts: Iterable[Part]) -> str:
    """Return a name for files and folders that are about sweeps."""
    words = (f"{p.sequence}" if p.last is None else f"{p.sequence}_{p.first}-{p.last}" for p in parts)
    return "+".join(words).replace("/", "_")


def write_lists(cache: Cache, streets: Iterable[Street], out: Path) -> None:
    """Write the lists of the sweeps to learn from, and to score for each of these."""
    streets = list(streets)
    for street in streets:
        write_list(list_file(out, street.learn), names_in(cache, street.learn))
        scored = scored_with(street.learn, streets)
        write_list(list_file(out, scored), names_in(cache, scored))


def scored_with(learn: tuple[Part, ...], streets: Iterable[Street]) -> tuple[Part, ...]:
    """Return all sweeps that are scored after learning from some."""
    return tuple(part for street in streets if street.learn == learn for part in street.score)


def classes_in(cache: Cache, parts: Iterable[Part]) -> set[str]:
    """Return the names of the classes that the labels of sweeps have."""
    found: set[int] = set()
    for part in parts:
        names = cache.sweep_names(part.sequence)
        for index in set(part.indices(len(names))) & set(cache.labelled_sweeps(part.sequence)):
            found |= set(np.unique(cache.classes(part.sequence, index)).tolist())
    return {cache.manifest.class_names[each] for each in found if each}


def score_street(
    street: Street, counts: Confusion, learnt: Collection[str], names: Sequence[str], dataset: str
) -> dict[str, Any]:
    """Score a street on the classes that occur in its labels and among those learnt; points of others do not count.

    Args:
        street: what is scored.
        counts: ``confusion_by_sequence`` of ``segmentation.json``.
        learnt: classes in the labels of the sweeps that are learnt from.
        names: of the classes of the cache, the first for unlabelled.
        dataset: of the cache.

    Returns:
        miou, miou_objects and accuracy, and iou of each class, None for those that do not count; 0..1.

    Raises:
        UserError: a class that is merged is none, or no class is left.
    """
    into = dict(street.merged)
    if unknown := sorted({name for pair in street.merged for name in pair} - set(names)):
        raise UserError(f"merge_classes: {dataset} has no class {', '.join(unknown)}")
    place = {name: names.index(into.get(name, name)) for name in names}
    matrix: NDArray[np.int64] = np.zeros((len(names), len(names)), np.int64)
    for part in street.score:
        for truth, predicted in counts.get(part.sequence, {}).items():
            for name, number in predicted.items():
                matrix[place[truth], place[name]] += number
    common = {place[name] for name in learnt} - {0}
    rows = [row for row in sorted(common) if matrix[row].any()]
    if not rows:
        raise UserError(f"street {street.title}: no class that is scored is learnt")
    matrix[[row for row in range(len(names)) if row not in rows]] = 0
    found = score(matrix, names, dataset)
    iou = {name: found.iou[name] if row in rows else None for row, name in enumerate(names) if row}
    objects = [v for n, v in iou.items() if v is not None and n not in find_layout(dataset).ground_classes]
    means = {"miou": found.miou_occurring, "miou_objects": float(np.mean(objects)) if objects else math.nan}
    return {**means, "accuracy": found.accuracy, "iou": iou}
