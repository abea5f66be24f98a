"""Find a dataset adapter by name: each module of this package but this one and those with a leading underscore."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from iscc_lidar.preprocess import datasets
from iscc_lidar.shared.base.config import resolve, to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.base.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.data_schemas.sweep import Sweep


@dataclass(frozen=True)
class DataProblem:
    """What would stop preprocessing a sequence, or spoil its result.

    Attributes:
        message: names the file, what was expected and found, and what to do.
        sweeps: positions of the sweeps that have it, which ``read`` refuses: the sequence can be used without them.
            Empty where no sweep needs what is damaged; None where the sequence cannot be used.
    """

    message: str
    sweeps: tuple[int, ...] | None = None


class Dataset(Protocol):
    """Interface of an adapter. It is pickled to worker processes, so it contains paths, not data."""

    @property
    def name(self) -> str:
        """Name of the dataset, as on the command line."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the semantic classes by index; 0 is unlabelled."""

    def sequences(self) -> tuple[str, ...]:
        """List the names of the sequences, sorted. The sweeps of a sequence can be stacked by their poses."""

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the official splits (train, val, ...): names of their sequences, as far as they are there."""

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the names of a sequence's sweeps, in order of time."""

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files that a sweep depends on, as far as they exist."""

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find problems that would stop preprocessing or spoil its result, each with the sweeps that have it.

        Cheap: checks names, sizes, tables and file headers, never all points.
        """

    def read(self, sequence: str, index: int) -> Sweep:
        """Read one sweep by its position in the sequence."""


@runtime_checkable
class HasRawLabels(Protocol):
    """An adapter whose point labels are numbers of which the dataset lists the valid ones."""

    def unknown_labels(self, sequence: str, index: int) -> Mapping[int, int]:
        """Count the points of a sweep by each number that the dataset does not list; empty without labels."""


@runtime_checkable
class HasWarnings(Protocol):
    """An adapter that knows of data which can be processed, but with a loss."""

    def warnings(self, sequence: str) -> Iterator[str]:
        """Describe what is lost, and why. Raises UserError where files are missing or damaged."""


@runtime_checkable
class HasFindings(Protocol):
    """An adapter that finds what its options leave open in the data."""

    def settled(self) -> tuple[Dataset, Sequence[str]]:
        """Return the dataset with all options set, and notes on what was found for the user."""


@runtime_checkable
class MayLackPoses(Protocol):
    """An adapter whose sweeps may have no poses; those that are computed are in the axes of its files."""

    def has_poses(self, sequence: str) -> bool:
        """Return whether there are poses of a sequence."""

    def with_poses(self, poses: Path) -> Dataset:
        """Return the dataset with poses from a file, or from a folder with SEQUENCE.tum or .txt of each sequence."""

    def read_unposed(self, sequence: str, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, int]:
        """Read valid points [M, 3], metres, seconds of each after the sweep's time or None, and that time, ns."""


@runtime_checkable
class HasOptionalPoses(Protocol):
    """An adapter that can read its sweeps without the files of their poses."""

    def without_poses(self) -> Dataset | None:
        """Return the dataset with every pose the identity, and no file of poses read; None where points need them."""


def data_options(dataset: Dataset) -> dict[str, Any]:
    """Return the dataset's own options: those of its field ``options``, if it has one."""
    return to_dict(dataset.options) if hasattr(dataset, "options") else {}


def watched_files(dataset: Dataset, sequence: str) -> tuple[Path, ...]:
    """Return the files too large to digest that a sequence depends on: the dataset's ``watched_files``, if any."""
    found: tuple[Path, ...] = dataset.watched_files(sequence) if hasattr(dataset, "watched_files") else ()
    return found


def absolute(dataset: Dataset) -> Dataset:
    """Return a dataset whose paths are absolute, for processes with other working folders."""
    paths = {name: value.absolute() for name, value in vars(dataset).items() if isinstance(value, Path)}
    inner = {"dataset": absolute(dataset.dataset)} if hasattr(dataset, "dataset") else {}
    found: Dataset = dataclasses.replace(cast(Any, dataset), **paths, **inner)
    return found


def with_options(dataset: Dataset, items: Sequence[str]) -> Dataset:
    """Set ``key=value`` items in a dataset's own options. Raises UserError for options that it does not have."""
    if not items:
        return dataset
    if not hasattr(dataset, "options"):
        raise UserError(f"--data {items[0]}: {dataset.name} has no options of its own")
    changed: Dataset = dataclasses.replace(
        cast(Any, dataset), options=resolve(type(dataset.options), None, items, flag="--data")
    )
    return changed


def names() -> tuple[str, ...]:
    """List the names of all datasets that can be read."""
    found = (m.name for m in pkgutil.iter_modules(datasets.__path__))
    return tuple(sorted(name for name in found if name != "registry" and not name.startswith("_")))


def open_dataset(name: str, root: Path) -> Dataset:
    """Open a dataset by name.

    Raises UserError for an unknown name, where it is not at ``root``, or where a sequence's name cannot be a folder's.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"unknown dataset {name!r}{hint} (known: {', '.join(names())})")
    dataset: Dataset = importlib.import_module(f"{datasets.__name__}.{name}").open_dataset(root)
    for sequence in dataset.sequences():
        if fault := name_fault(sequence):
            raise UserError(f"{root}: the name of sequence '{one_line(sequence)}' {fault}; rename it")
    return dataset
