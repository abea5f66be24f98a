"""Find a data set adapter by name: every module of this package is one.

This one and those with a leading underscore are not.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess import datasets
from iscc_lidar.shared.base.config import resolve, to_dict
from iscc_lidar.shared.base.errors import UserError


class Dataset(Protocol):
    """What an adapter provides. It is pickled to worker processes, so it holds paths, not data."""

    @property
    def name(self) -> str:
        """Name of the data set, as on the command line."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the semantic classes by index; 0 is unlabelled."""

    def sequences(self) -> tuple[str, ...]:
        """Names of the sequences, sorted. A sequence holds sweeps that may be stacked by their poses."""

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """The official splits (train, val, ...): names of those of their sequences that are there."""

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """Names of a sequence's sweeps, in order of time."""

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Files whose content a sweep depends on."""

    def problems(self, sequence: str) -> Iterator[str]:
        """What would stop or spoil the work on a sequence, each with the file and what to do.

        Cheap: looks at names, sizes, tables and file headers, never at all points.
        """

    def read(self, sequence: str, index: int) -> Sweep:
        """Read one sweep by its position in the sequence."""


def data_options(dataset: Dataset) -> dict[str, Any]:
    """The data set's own options: those of its field ``options``, where it has one."""
    return to_dict(dataset.options) if hasattr(dataset, "options") else {}


def with_options(dataset: Dataset, items: Sequence[str]) -> Dataset:
    """The data set with ``key=value`` items set in its options. Raises UserError for those that it has not."""
    if not items:
        return dataset
    if not hasattr(dataset, "options"):
        raise UserError(f"--data {items[0]}: {dataset.name} has no options of its own")
    changed: Dataset = dataclasses.replace(
        cast(Any, dataset), options=resolve(type(dataset.options), None, items, flag="--data")
    )
    return changed


def names() -> tuple[str, ...]:
    """Names of all data sets that can be read."""
    found = (m.name for m in pkgutil.iter_modules(datasets.__path__))
    return tuple(sorted(name for name in found if name != "registry" and not name.startswith("_")))


def open_dataset(name: str, root: Path) -> Dataset:
    """Open a data set by name. Raises UserError for an unknown name or where it is not at ``root``."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"unknown data set {name!r}{hint} (known: {', '.join(names())})")
    dataset: Dataset = importlib.import_module(f"{datasets.__name__}.{name}").open_dataset(root)
    return dataset
