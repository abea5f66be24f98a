"""Labels of points in files of a folder: SemanticKITTI's, or class indices next to ``classes.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines, regular
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.semantickitti import CLASS_OF_RAW, LAYOUT

CLASSES_FILE: Final = "classes.txt"
MAX_CLASSES: Final = 255


@dataclass(frozen=True)
class LabelFiles:
    """A folder of labels, one file per sweep: uint32 per point, the class in the low 16 bits.

    Attributes:
        folder: with ``classes.txt`` and ``SEQUENCE/NAME.label``, whose classes are lines of it, the first is 0; or with
            ``sequences/SEQUENCE/labels/NAME.label``, whose classes are SemanticKITTI's ids.
        class_names: names of the classes by index, the first for unlabelled.
        own: whether it has ``classes.txt``.
    """

    folder: Path
    class_names: tuple[str, ...]
    own: bool

    def has(self, sequence: str, name: str) -> bool:
        """Return whether there are labels of a sweep."""
        return any(file.is_file() for file in self._places(sequence, name))

    def _places(self, sequence: str, name: str) -> list[Path]:
        places = (f"{sequence}/{name}.label", f"{sequence}/labels/{name}.label")
        return [self.folder / place for place in (places if self.own else (f"sequences/{places[1]}",))]

    def file(self, sequence: str, name: str) -> Path:
        """Return the file with the labels of a sweep. Raises UserError where there is none."""
        files = self._places(sequence, name)
        for file in files:
            if file.is_file():
                return file
        raise UserError(f"{files[0]}: no such file; expected the labels of sweep {sequence}/{name}")

    def read(self, sequence: str, name: str, points: int) -> NDArray[np.uint8]:
        """Read the classes of a sweep, uint8 [N]. Raises UserError where they are missing, or not of ``points``."""
        file = self.file(sequence, name)
        if file.stat().st_size != 4 * points:
            raise UserError(f"{file}: {file.stat().st_size} bytes, expected 4 for each of the sweep's {points} points")
        raw = np.fromfile(regular(file), dtype="<u4") & 0xFFFF
        if not self.own:
            ids, at = np.unique(raw, return_inverse=True)
            return np.array([CLASS_OF_RAW.get(found, 0) for found in ids.tolist()], np.uint8)[at]
        if raw.max(initial=0) >= len(self.class_names):
            raise UserError(
                f"{file}: has the class {raw.max()}; {self.folder / CLASSES_FILE} names {len(self.class_names)}, from 0"
            )
        return raw.astype(np.uint8)


@dataclass(frozen=True)
class LabelSource:
    """The labels of a cache's sweeps.

    Attributes:
        cache: the sweeps, and the labels unless ``files`` has them.
        files: labels that are not in the cache.
    """

    cache: Cache
    files: LabelFiles | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by index."""
        return self.cache.manifest.class_names if self.files is None else self.files.class_names

    def sweeps(self, sequence: str) -> list[int]:
        """Return the indices of a sequence's labelled sweeps."""
        if self.files is None:
            return self.cache.labelled_sweeps(sequence)
        return [k for k, name in enumerate(self.cache.sweep_names(sequence)) if self.files.has(sequence, name)]

    def read(self, sequence: str, index: int) -> NDArray[np.uint8]:
        """Read the classes of a sweep's points, uint8 [N]. Raises UserError where they are missing or do not fit."""
        if self.files is None:
            return self.cache.classes(sequence, index)
        name, points = self.cache.sweep_name(sequence, index), self.cache.points(sequence, index)
        return self.files.read(sequence, name, points)


def open_label_files(folder: Path, class_names: tuple[str, ...]) -> LabelFiles:
    """Open a folder of labels for data with ``class_names``, at most one name where they have no classes.

    Raises UserError where there are no labels, or they are of other classes.
    """
    own = (folder / CLASSES_FILE).is_file()
    if not own and not (folder / "sequences").is_dir():
        raise UserError(
            f"{folder}: expected {CLASSES_FILE} and SEQUENCE/NAME.label, or sequences/SEQUENCE/labels/NAME.label as in "
            "SemanticKITTI"
        )
    names = read_class_names(folder / CLASSES_FILE) if own else LAYOUT.class_names
    if len(class_names) > 1 and names != class_names:
        raise UserError(
            f"{folder}: its classes are {', '.join(names):.200}; those of the cache {', '.join(class_names):.200}"
        )
    return LabelFiles(folder, names, own)


def class_names_for(names: tuple[str, ...], file: Path | None, where: str) -> tuple[str, ...]:
    """Return the names of classes that a person may give: those of a cache, else those in a file.

    Args:
        names: of the cache; at most one where its data have no classes.
        file: one name per line, the first for unlabelled; None without one.
        where: the cache, for messages.

    Raises:
        UserError: both have names, and others; or neither has.
    """
    if file is None and len(names) < 2:
        raise UserError(
            f"{where}: has no classes; pass --classes FILE with their names, one per line, the first for unlabelled"
        )
    if file is None:
        return names
    try:
        found = read_class_names(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    if len(names) > 1 and found != names:
        raise UserError(f"{file}: its classes are {', '.join(found):.200}; those of {where} {', '.join(names):.200}")
    return found


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read names of classes, one per line. Raises UserError where they are none, FileNotFoundError without a file."""
    names = tuple(line.strip() for line in read_lines(path))
    wrong = [name for name in names if name_fault(name)]
    if wrong or len(set(names)) != len(names) or not 2 <= len(names) <= MAX_CLASSES:
        raise UserError(
            f"{path}: expected 2 to {MAX_CLASSES} different names of classes, one per line, the first for unlabelled"
            + (f"; {one_line(wrong[0])!r:.40} is none" if wrong else "")
        )
    return names
