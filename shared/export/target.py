"""The record of a program, or of a layout of files, that group labels are written for; found by its name.

Every module of this package but this one, ``write`` and ``view`` holds the record ``TARGET`` of the target with the
module's name, underscores as hyphens. The modules import what takes long, or is in an extra, only inside functions.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import iscc_lidar.shared.export as package
from iscc_lidar.shared.base.confidence import LEAST_CONFIDENCE
from iscc_lidar.shared.base.errors import UserError

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache

_OTHERS: Final = {"target", "write", "view"}


@dataclass(frozen=True)
class ExportOptions:
    """What the command line gives to a target.

    Attributes:
        root: folder of the dataset, for targets that need more of it than the cache has.
        classes: names that a person may give to groups, one per line; by default those of the cache.
        min_confidence: boxes of the groups of less confidence are left out.
    """

    root: Path | None = None
    classes: Path | None = None
    min_confidence: float = LEAST_CONFIDENCE


@dataclass(frozen=True)
class Target:
    """How group labels are written for a program.

    Attributes:
        name: on the command line.
        description: one line: files that are written, and who reads them.
        write_sequence: writes the files of a sequence, given by name. It reads one sweep after the other, so that
            memory does not grow with the sequence. Returns the number of files.
        finish: writes what is of all sequences, such as an index, after these. Returns the number of files.
        refuse: raises UserError where a cache cannot be written so, before the first file.
    """

    name: str
    description: str
    write_sequence: Callable[[Cache, str, OwnFolder, ExportOptions], int]
    finish: Callable[[Cache, OwnFolder, ExportOptions], int] | None = None
    refuse: Callable[[Cache, ExportOptions], None] | None = None


def refuse_without_boxes(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError for a cache without boxes of the groups: ``refuse`` of targets that need them."""
    for entry in cache.manifest.sequences:
        if entry.sweeps:
            cache.require_group_boxes(entry.name, 0)


def all_targets() -> tuple[Target, ...]:
    """Return all targets, by name."""
    modules = {found.name for found in pkgutil.iter_modules(package.__path__) if not found.ispkg} - _OTHERS
    found = (importlib.import_module(f"{package.__name__}.{module}").TARGET for module in sorted(modules))
    return tuple(found)


def find_target(name: str) -> Target:
    """Return the target of a name. Raises UserError where there is none."""
    targets = {target.name: target for target in all_targets()}
    if name not in targets:
        raise UserError(f"--to {name}: expected one of {', '.join(targets)}")
    return targets[name]
