"""Make labels of whole sequences from a person's corrections."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_bytes
from iscc_lidar.shared.base.own import OwnFolder, own_folder
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.file_names import refuse_names
from iscc_lidar.shared.cache.label_fractions import SweepName, list_text
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.corrections import from_cvat, from_point_labeler
from iscc_lidar.shared.corrections.apply import apply
from iscc_lidar.shared.corrections.resolve import Resolved, resolve
from iscc_lidar.shared.corrections.table import Correction, parse_corrections, read_corrections, write_corrections
from iscc_lidar.shared.layouts.formats.label_files import CLASSES_FILE
from iscc_lidar.shared.layouts.formats.sly_point_cloud import META_FILE

TABLE_FILE: Final = "corrections.csv"
LIST_FILE: Final = "labelled.txt"
OBJECTS_FILE: Final = "objects.csv"
_MAX_INSTANCE: Final = 2**16 - 1


@dataclass(frozen=True)
class _Tool:
    """How the folders of a tool are known and read."""

    name: str
    is_sequence: Callable[[Path], bool]
    read_changes: Callable[[Cache, str, Path, Sequence[str]], list[Correction]]


_TOOLS: Final = (
    _Tool("point-labeler", from_point_labeler.is_point_labeler, from_point_labeler.read_changes),
    _Tool("cvat", from_cvat.is_cvat, from_cvat.read_changes),
)


@dataclass(frozen=True)
class Imported:
    """What was made: sequences, sweeps with a class, rows of corrections, points with a class and all points."""

    sequences: int
    labelled_sweeps: int
    corrections: int
    labelled_points: int
    points: int


def import_corrections(cache: Cache, source: Path, out: Path, class_names: Sequence[str]) -> Imported:
    """Write labels of all sweeps of the sequences that are corrected, as ``LabelFiles`` reads them.

    ``corrections.csv``: the table; ``SEQUENCE/NAME.label``, uint32 per point: the class in the low 16 bits, the
    instance in the high ones; ``SEQUENCE/objects.csv``: which object each instance is; ``labelled.txt``: the sweeps on
    which a point has a class; last ``classes.txt``, without which no reader takes the labels for complete.

    Args:
        cache: whose groups are corrected.
        source: a table of corrections, or a folder of a labelling tool with a folder per sequence.
        out: folder to write into.
        class_names: names by index, the first for unlabelled.

    Raises:
        UserError: corrections that are unreadable, unknown or contradictory, or a folder of others.
    """
    folder = own_folder(out, "corrected labels", f"a cache with settings {cache.manifest.config_key}")
    refuse_names(cache)
    corrections, sequences, where = _read(cache, source, folder, class_names)
    content = None if source.is_dir() else read_bytes(source, source.stat().st_size)
    plans = [_resolve(cache, sequence, corrections, class_names, where) for sequence in sequences]
    for sequence, plan in zip(sequences, plans, strict=True):
        for index in plan.points:  # before the first label is written
            apply(plan, cache.label(sequence, index), index)
    _refuse_others(out, cache, sequences)
    folder.remove_torn()
    folder.remove(CLASSES_FILE)  # by which readers know that the labels are complete
    if content is not None:
        folder.write(TABLE_FILE, content)
    labelled: list[SweepName] = []
    totals = np.zeros(2, np.int64)
    for sequence, plan in zip(sequences, plans, strict=True):
        totals += _write_sequence(cache, sequence, plan, class_names, folder, labelled)
    folder.write(LIST_FILE, list_text(labelled, "sweeps on which a point has a class").encode())
    folder.write(CLASSES_FILE, "".join(f"{name}\n" for name in class_names).encode())
    return Imported(len(sequences), len(labelled), len(corrections), int(totals[0]), int(totals[1]))


def _read(
    cache: Cache, source: Path, folder: OwnFolder, class_names: Sequence[str]
) -> tuple[list[Correction], list[str], str]:
    """Return corrections, the sequences that labels are made of, and the table for messages.

    The table of a tool's folder is written at once, since messages name its lines.
    """
    table = folder.path / TABLE_FILE
    if source.is_dir():
        found = _of_tool(cache, source, class_names)
        text = write_corrections([row for rows in found.values() for row in rows])
        folder.write(TABLE_FILE, text)
        return parse_corrections(text.decode(), str(table)), list(found), str(table)
    corrections = read_corrections(source)
    for row in corrections:
        if row.sequence not in cache.sequence_names:
            raise UserError(f"{source}, line {row.line}: {cache.path} has no sequence {one_line(row.sequence)!r:.80}")
    named = {row.sequence for row in corrections}
    return corrections, [name for name in cache.sequence_names if name in named], str(source)


def _of_tool(cache: Cache, source: Path, class_names: Sequence[str]) -> dict[str, list[Correction]]:
    """Read the changes of each sequence in a folder of a tool."""
    found: dict[str, list[Correction]] = {}
    for sequence in sorted(path.name for path in source.iterdir() if path.is_dir()):
        tools = [tool for tool in _TOOLS if tool.is_sequence(source / sequence)]
        if tools and sequence not in cache.sequence_names:
            raise UserError(f"{source}: {cache.path} has no sequence {one_line(sequence)!r:.80}")
        if tools:
            found[sequence] = tools[0].read_changes(cache, sequence, source, class_names)
    if not found:
        raise UserError(
            f"{source}: expected a folder for each sequence, as exported for {' or '.join(t.name for t in _TOOLS)}, "
            f"with {META_FILE} in that of CVAT; or a file of corrections"
        )
    return found


def _resolve(
    cache: Cache, sequence: str, corrections: Sequence[Correction], class_names: Sequence[str], where: str
) -> Resolved:
    rows = [row for row in corrections if row.sequence == sequence]
    return resolve(rows, cache.group_ids(sequence), cache.sequence(sequence).sweeps, class_names, where)


def _refuse_others(out: Path, cache: Cache, sequences: Sequence[str]) -> None:
    """Raise UserError where labels of other sequences lie, which would be taken for labels of these corrections."""
    for name in cache.sequence_names:
        if name not in sequences and (out / name / OBJECTS_FILE).exists():
            raise UserError(
                f"{out}: has labels of sequence {name}, of which these corrections say nothing; remove {out / name}, "
                "or choose another folder"
            )


def _write_sequence(
    cache: Cache,
    sequence: str,
    plan: Resolved,
    class_names: Sequence[str],
    folder: OwnFolder,
    labelled: list[SweepName],
) -> NDArray[np.int64]:
    """Write the labels of a sequence; returns the number of points with a class, and of all points."""
    objects = plan.objects()
    instance_of = np.zeros(max(objects, default=-1) + 1, np.uint32)
    numbered = objects[:_MAX_INSTANCE]
    instance_of[numbered] = np.arange(1, len(numbered) + 1)
    counts, totals = np.zeros(len(instance_of), np.int64), np.zeros(2, np.int64)
    names = cache.sweep_names(sequence)
    for index, name in enumerate(tqdm(names, desc=one_line(sequence), unit="sweep", dynamic_ncols=True, leave=False)):
        found, classes = apply(plan, cache.label(sequence, index), index)
        has = found >= 0
        instance = np.zeros(len(found), np.uint32)
        instance[has] = instance_of[found[has]]
        folder.write(f"{sequence}/{name}.label", (instance << 16 | classes).astype("<u4").tobytes())
        counts += np.bincount(found[has], minlength=len(counts))
        named = np.count_nonzero(classes)
        totals += np.array([named, len(classes)])
        labelled += [(sequence, name)] if named else []
    rows = io.StringIO(newline="")
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["instance", "object", "class", "points"])
    for instance_id, key in enumerate(numbered, start=1):
        index = plan.class_of.get(key, 0)
        writer.writerow([instance_id, plan.label_of(key), class_names[index] if index else "", int(counts[key])])
    folder.write(f"{sequence}/{OBJECTS_FILE}", rows.getvalue().encode())
    return totals
