"""metrics.jsonl: one JSON object per logged step; TensorBoard on request."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

METRICS_FILE: Final = "metrics.jsonl"
MOST_STEPS: Final = 10**12
"""No run has more."""
_MOST_FIGURES: Final = 200


@dataclass(frozen=True)
class LoggedStep:
    """One line of metrics.jsonl: its step, its figures (None where NaN), and the line itself."""

    step: int
    figures: Mapping[str, float | None]
    line: str


def read_metrics(path: Path) -> tuple[list[LoggedStep], bool]:
    """Read metrics.jsonl, empty where it is missing, and whether its last line was torn.

    A run that is going on, or was killed, may leave a torn last line, which is left out. Raises UserError for any
    other line that is not a logged step.
    """
    content = files.regular(path).read_bytes() if path.exists() else b""
    lines = content.decode("utf-8", errors="replace").splitlines()
    rows: list[LoggedStep] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_parse(line, after=rows[-1].step if rows else -1))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if number < len(lines):
                raise UserError(
                    f"{path}: line {number} is not a logged step ({error}); delete it, or restore the file"
                ) from None
            return rows, True
    return rows, False


class MetricsLog:
    """Append figures to metrics.jsonl; what an interrupted run wrote beyond its checkpoint is cut off first.

    Without a folder, on all ranks but 0, nothing is written.
    """

    def __init__(self, out: Path | None, first_step: int, tensorboard: bool) -> None:
        self._file: FileIO | None = None
        self._board: Any = None
        if out is None:
            return
        self._path = out / METRICS_FILE
        kept = [row.line + "\n" for row in read_metrics(self._path)[0] if row.step < first_step] if first_step else []
        files.write_text(self._path, "".join(kept))
        with files.naming(self._path):
            self._file = self._path.open("ab", buffering=0)  # a line is on its way to the disk once written
        self._board = _tensorboard(out, first_step) if tensorboard else None

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write one line. NaN, a mean over nothing, is written as null.

        Raises OSError, naming the file, where it cannot be written.
        """
        if self._file is None:
            return
        row: dict[str, Any] = {"step": step} | {k: v if math.isfinite(v) else None for k, v in figures.items()}
        line = (json.dumps(row) + "\n").encode("utf-8")
        with files.naming(self._path):
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)

    def sync(self) -> None:
        """Wait until all lines are on the disk, so that no checkpoint is there without them."""
        if self._file is not None:
            with files.naming(self._path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def _parse(line: str, after: int) -> LoggedStep:
    row = json.loads(line)
    step = row.pop("step")
    if type(step) is not int or not after < step <= MOST_STEPS:
        raise ValueError(f"its step is {step!r:.40}, expected a number above {after}")
    if len(row) > _MOST_FIGURES:
        raise ValueError(f"it has {len(row)} figures")
    return LoggedStep(step, {name: _figure(value) for name, value in row.items()}, line)


def _figure(value: Any) -> float | None:
    if type(value) is int and abs(value) > MOST_STEPS:
        return None  # it may be too large for a floating-point number
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _tensorboard(out: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("train.tensorboard needs TensorBoard: pip install tensorboard") from None
    if (out / "tensorboard").is_symlink():
        raise UserError(f"{out / 'tensorboard'}: a link; remove it, or set train.tensorboard=false")
    return SummaryWriter(str(out / "tensorboard"), purge_step=first_step)
