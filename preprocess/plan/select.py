"""Find the dataset and the sequences that the command line names, and check their data."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.datasets.registry import DataProblem, Dataset
from iscc_lidar.preprocess.plan.plausibility import Level, describe_error, judge
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import printable
from iscc_lidar.shared.layouts.layout import find_layout

_SHOWN_PROBLEMS = 20
_ACCEPTABLE = "[--accept-content]"


def root_variable(name: str) -> str:
    """Return the name of the environment variable for the folder of a dataset."""
    return f"ISCC_{name.upper()}_ROOT"


def find_dataset(name: str, root: Path | None = None) -> Dataset:
    """Open a dataset at ``root``, else at the folder in its environment variable, else at data/NAME.

    Raises UserError for an unknown dataset, and where it is not found there: the message describes where to get it.
    """
    if name not in registry.names():
        return registry.open_dataset(name, Path())  # raises, with the nearest name
    variable = root_variable(name)
    folder, why = root, ""
    if folder is None and os.environ.get(variable):
        folder, why = Path(os.environ[variable]), f" (the folder is from {variable})"
    elif folder is None:
        folder, why = Path("data") / name, f" (no --root, and {variable} is not set)"
    try:
        return registry.open_dataset(name, folder)
    except UserError as error:
        where = f"Pass its folder as --root (ROOT= with make) or in {variable}"
        raise UserError(f"{error}{why}\n{where}.\n{find_layout(name).how_to_get}") from None


def select_sequences(dataset: Dataset, named: Sequence[str] | None = None, split: str | None = None) -> tuple[str, ...]:
    """Return names of a dataset's sequences: the given ones, or those of an official split, by default all.

    Raises UserError for a sequence or split that is not there, or where both are given.
    """
    available = dataset.sequences()
    if named is not None and split:
        raise UserError("--sequences and --split: pass only one of them")
    if split is not None:
        return _of_split(dataset, split)
    if named is None:
        return available
    if not named:
        raise UserError("--sequences: names no sequence; leave the option out to take all")
    for name in named:
        if name not in available:
            raise UserError(f"--sequences: {dataset.name} has no sequence {name!r} here{_nearest(name, available)}")
    return tuple(sorted(set(named)))


def splits_of(dataset: Dataset, sequences: Collection[str]) -> list[str]:
    """List the official splits, in the dataset's order, that any of the sequences belongs to."""
    return [split for split, names in dataset.splits().items() if not set(sequences).isdisjoint(names)]


@dataclass(frozen=True)
class Checked:
    """What a check found: by sequence what stops preprocessing and what spoils its result, and warnings."""

    problems: dict[str, list[DataProblem]]
    spoiling: dict[str, list[str]]
    warnings: list[str]


def check_data(
    dataset: Dataset,
    sequences: Iterable[str],
    *,
    accept: Collection[Level] = (),
    every: bool = False,
    poses: bool = True,
) -> Checked:
    """Check sequences by file names, sizes and headers, and judge the content of some sweeps, or of every one.

    Findings of the levels to ``accept`` are warnings. Without ``poses`` they are not judged.
    """
    from tqdm import tqdm  # here, as listing the datasets starts faster without it

    names = list(sequences)
    found = {name: _problems(dataset, name) for name in tqdm(names, desc="checking", unit="sequence", leave=False)}
    here = set(dataset.sequences())
    available = [name for name in names if name in here]
    bad = {name: {index for p in problems for index in p.sweeps or ()} for name, problems in found.items()}
    findings_of = judge(dataset, available, bad, every=every, poses=poses)
    judged = tqdm(findings_of, "judging", len(available), leave=False, unit="sequence")
    spoiling: dict[str, list[str]] = {}
    warnings: dict[str, None] = {}  # several sequences may give the same one
    for name, findings in judged:
        known = tuple(p.message for p in found[name] if p.sweeps is None)  # any sweep that is read has it again
        new = [finding for finding in findings if not (known and finding.message.startswith(known))]
        found[name] += [DataProblem(f.message, f.sweeps) for f in new if f.level == "unreadable"]
        judged_wrong = [f for f in new if f.level in ("error", "empty") and f.level not in accept]
        spoiling[name] = [f.message for f in judged_wrong]
        warnings |= {f.message: None for f in new if f.level == "warning" or f.level in accept}
    return Checked({n: p for n, p in found.items() if p}, {n: p for n, p in spoiling.items() if p}, list(warnings))


def find_problems(
    dataset: Dataset,
    sequences: Iterable[str],
    *,
    skip: bool = False,
    accept_content: bool = False,
    poses: bool = True,
) -> dict[str, list[DataProblem]]:
    """Check sequences as ``check_data`` does; returns the problems of each sequence that has any, prints warnings.

    With ``skip`` a sweep without points is no problem; with ``accept_content`` nothing is that only spoils the result.
    """
    accept: tuple[Level, ...] = ("empty", "error") if accept_content else ("empty",) if skip else ()
    checked = check_data(dataset, sequences, accept=accept, poses=poses)
    print_warnings(checked.warnings)
    found = {name: [*problems] for name, problems in checked.problems.items()}
    for name, spoiling in checked.spoiling.items():
        found.setdefault(name, []).extend(DataProblem(f"{message} {_ACCEPTABLE}") for message in spoiling)
    return found


def print_warnings(warnings: Sequence[str]) -> None:
    """Print the first warnings, and how many more there are."""
    for warning in warnings[:_SHOWN_PROBLEMS]:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    if len(warnings) > _SHOWN_PROBLEMS:
        print(f"... and {len(warnings) - _SHOWN_PROBLEMS} more warnings", file=sys.stderr)


def _problems(dataset: Dataset, sequence: str) -> list[DataProblem]:
    found: list[DataProblem] = []
    try:
        found.extend(dataset.problems(sequence))
    except Exception as error:  # whatever a damaged file makes a reader raise, the others are still checked
        found.append(DataProblem(describe_error(error, f"sequence {sequence}")))
    return found


def refuse_problems(broken: Mapping[str, Sequence[DataProblem]], *, can_skip: bool) -> NoReturn:
    """Raise UserError with the problems found; ``can_skip``: mention that the data that have them could be skipped."""
    problems = [problem.message for several in broken.values() for problem in several]
    shown = "\n".join(f"- {problem}" for problem in problems[:_SHOWN_PROBLEMS])
    rest = f"\n... and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    how = ", or leave those sweeps or sequences out with --on-error skip" if can_skip else ""
    how += f", or process what ends in {_ACCEPTABLE} with that option" if _ACCEPTABLE in shown else ""
    raise UserError(
        f"{len(problems)} problem(s) in the data, nothing was done:\n{shown}{rest}\nFix them{how}; "
        "iscc-preprocess check lists all"
    )


def _of_split(dataset: Dataset, split: str) -> tuple[str, ...]:
    splits = dataset.splits()
    if split not in splits:
        known = ", ".join(splits) or "none; use --sequences"
        advice = "choose one of them (make: SPLIT=NAME), or take all sequences without --split (make: SPLIT=)"
        raise UserError(f"--split {split}: {dataset.name} has no such split here (it has: {known}); {advice}")
    if not splits[split]:
        found = ", ".join(dataset.sequences()[:8])
        advice = "To take all of them, leave out --split (make: SPLIT=)"
        raise UserError(f"--split {split}: none of its sequences are here; found {found}. {advice}")
    return splits[split]


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; the nearest is {near[0]}" if near else f"; it has {', '.join(known[:8])}"
