"""metrics.jsonl: one JSON object a logged step; TensorBoard on request."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

METRICS_FILE: Final = "metrics.jsonl"


class MetricsLog:
    """Appends figures to metrics.jsonl; what an interrupted run wrote beyond its checkpoint is cut off first.

    Without a folder, in all processes but the main one, nothing is written.
    """

    def __init__(self, out: Path | None, first_step: int, tensorboard: bool) -> None:
        self._file: FileIO | None = None
        self._board: Any = None
        if out is None:
            return
        self._path = out / METRICS_FILE
        files.write_text(self._path, "".join(line + "\n" for line in _lines_before(self._path, first_step)))
        with files.naming(self._path):
            self._file = self._path.open("ab", buffering=0)  # a line is on its way to the disk once written
        self._board = _tensorboard(out, first_step) if tensorboard else None

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write one line. A figure that does not exist (NaN: a mean over nothing) is null.

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


def _lines_before(path: Path, step: int) -> list[str]:
    if not path.exists():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):  # the torn last line of a killed run
            break
    return kept


def _tensorboard(out: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("train.tensorboard needs TensorBoard: pip install 'iscc-lidar[tensorboard]'") from None
    return SummaryWriter(str(out / "tensorboard"), purge_step=first_step)
