"""The input files of a block, and whether they are still those that its results were made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from iscc_lidar.preprocess.datasets.registry import data_options
from iscc_lidar.preprocess.plan.sequence_job import SequenceJob, digest_of, file_state, names_digest
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

_SHORT: Final = 16


@dataclass(frozen=True)
class Inputs:
    """The input files of the sweeps in a block's windows, as they were at one time.

    Attributes:
        sha256: of the content of all of them, and of the sweeps' names.
        files: what identifies the content of each, by its path.
    """

    sha256: str
    files: Mapping[str, str]


def read_inputs(job: SequenceJob, block: int) -> Inputs:
    """Compute the digests of a block's input files.

    Raises UserError where a file was removed since it was listed, or the sequence has other sweeps than planned.
    """
    sweeps = job.window_sweeps(block)
    names = job.dataset.sweep_names(job.sequence)
    if names_digest(names) != job.names_sha256:
        raise UserError(
            f"sequence {job.sequence}: sweeps were added, removed or renamed during the run; wait until the data are "
            "complete, then run the same command again"
        )
    found = dict.fromkeys(f for index in sweeps for f in job.dataset.input_files(job.sequence, index))
    try:
        sha256 = {file: files.sha256(file) for file in found}
        changed = [state.path for state in job.watched if file_state(state.path) != state]
    except FileNotFoundError as error:
        _refuse(str(error.filename), job)
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
    if changed:
        _refuse(str(changed[0]), job)
    contents = [f"{file.name} {digest}" for file, digest in sha256.items()]
    contents += [f"{state.path.name} {state.size} {state.mtime_ns}" for state in job.watched]
    options = data_options(job.dataset)
    digest = digest_of(
        [job.dataset.name, options, job.sequence, sweeps.start, sweeps.stop, names[sweeps.start : sweeps.stop]],
        *contents,
    )
    return Inputs(digest, {str(file): sha256[file][:_SHORT] for file in found})


@contextmanager
def unchanged(job: SequenceJob, block: int, inputs: Inputs) -> Iterator[None]:
    """Raise UserError at the end where one of a block's input files is not as it was, was removed, or was added.

    Also in place of another error, which the change may have caused: the points may not be those that were labelled.
    """
    try:
        yield
    except Exception:
        _refuse_changed(job, inputs, read_inputs(job, block))
        raise
    _refuse_changed(job, inputs, read_inputs(job, block))


def refuse_different(job: SequenceJob, one: Inputs, other: Inputs) -> None:
    """Raise UserError with the name of a file that two blocks share and that differed when each was segmented."""
    for path in one.files.keys() & other.files.keys():
        if one.files[path] != other.files[path]:
            _refuse(path, job)


def _refuse_changed(job: SequenceJob, before: Inputs, after: Inputs) -> None:
    for path in {**before.files, **after.files}:
        if before.files.get(path) != after.files.get(path):
            _refuse(path, job)


def _refuse(path: str, job: SequenceJob) -> NoReturn:
    state = "changed" if Path(path).exists() else "was removed"
    raise UserError(
        f"{path}: {state} while sequence {job.sequence} was processed, and results of it were not stored; wait until "
        "the data are complete, then run the same command again"
    )
