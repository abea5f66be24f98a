"""Which data set, where it lies, and which of its sequences: what the command line says, resolved and checked."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.layout import find_layout

_SHOWN_PROBLEMS = 20


def root_variable(name: str) -> str:
    """Environment variable that holds the folder of a data set."""
    return f"ISCC_{name.upper()}_ROOT"


def find_dataset(name: str, root: Path | None = None) -> Dataset:
    """Open a data set at ``root``, else where its environment variable says, else at data/NAME.

    Raises:
        UserError: unknown data set; or nothing of it there, with a word on where to get it.
    """
    if name not in registry.names():
        return registry.open_dataset(name, Path())  # raises, with the nearest name
    variable = root_variable(name)
    folder, why = root, ""
    if folder is None and os.environ.get(variable):
        folder, why = Path(os.environ[variable]), f" (the folder is {variable}'s)"
    elif folder is None:
        folder, why = Path("data") / name, f" (no root was given and {variable} is not set)"
    try:
        return registry.open_dataset(name, folder)
    except UserError as error:
        where = f"Pass its folder as --root (ROOT= with make) or in {variable}"
        raise UserError(f"{error}{why}\n{where}.\n{find_layout(name).how_to_get}") from None


def select_sequences(dataset: Dataset, named: Sequence[str] | None = None, split: str | None = None) -> tuple[str, ...]:
    """Names of a data set's sequences: those named, or those of an official split, or all without either.

    Raises:
        UserError: a sequence or split that is not there, or both given.
    """
    every = dataset.sequences()
    if named is not None and split:
        raise UserError("--sequences and --split: give one of them, not both")
    if split is not None:
        return _of_split(dataset, split)
    if named is None:
        return every
    if not named:
        raise UserError("--sequences: names no sequence; leave the option out to take all")
    for name in named:
        if name not in every:
            raise UserError(f"--sequences: {dataset.name} has no sequence {name!r} here{_nearest(name, every)}")
    return tuple(sorted(set(named)))


def find_problems(dataset: Dataset, sequences: Iterable[str]) -> dict[str, list[str]]:
    """What would stop or spoil the work, by sequence, from names, sizes and headers alone; sound ones are left out."""
    bar = tqdm(list(sequences), desc="looking for problems", unit="sequence", leave=False)
    found = ((sequence, list(dataset.problems(sequence))) for sequence in bar)
    return {sequence: problems for sequence, problems in found if problems}


def refuse_problems(broken: Mapping[str, Sequence[str]], *, can_skip: bool) -> NoReturn:
    """Raise UserError that lists problems by sequence, and says whether the rest could be done without those."""
    problems = [problem for several in broken.values() for problem in several]
    shown = "\n".join(f"- {problem}" for problem in problems[:_SHOWN_PROBLEMS])
    rest = f"\n... and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    how = ", or leave those sequences out by --on-error skip" if can_skip else ""
    raise UserError(
        f"{len(problems)} problem(s) in the data, nothing was done:\n{shown}{rest}\nMend them{how}; "
        "iscc-preprocess check lists all"
    )


def _of_split(dataset: Dataset, split: str) -> tuple[str, ...]:
    splits = dataset.splits()
    if split not in splits:
        known = ", ".join(splits) or "none; use --sequences"
        raise UserError(f"--split {split}: {dataset.name} has no such split here (it has: {known})")
    if not splits[split]:
        raise UserError(f"--split {split}: none of its sequences is here; found {', '.join(dataset.sequences()[:8])}")
    return splits[split]


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; the nearest is {near[0]}" if near else f"; it has {', '.join(known[:8])}"
