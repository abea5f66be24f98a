"""What may be written into: folders and files that are missing, empty or recognisably of this program.

A folder of results is marked by a file ``.iscc-lidar.json``, which is written first and names what the results were
made of, so that results of two networks or caches never mix; caches, runs and exports have files of their own by which
they are recognised. A single file is recognised by a few bytes at its start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import require_path
from iscc_lidar.shared.base.text import one_line

MARK_FILE: Final = ".iscc-lidar.json"
"""Marks a folder as written by this program, so that it may write there again."""
_START: Final = 4096


@dataclass(frozen=True)
class OwnFolder:
    """A folder of results of this program; made by ``own_folder``.

    Attributes:
        path: where it lies; created with the first file.
        content: what it contains, in one word.
        of: what the content is made of, such as a network and its digest; None if any may be.
    """

    path: Path
    content: str
    of: str | None = None

    def write(self, name: str, data: bytes) -> None:
        """Write or replace a file in one step, by its path in the folder.

        Raises UserError if it would lie outside, also because a folder is a link.
        """
        place = self._place(name)
        self.mark()
        files.write_bytes(place, data)

    @contextmanager
    def new_file(self, name: str) -> Iterator[BufferedRandom]:
        """Yield an empty file, which takes its place in the folder in one step at the end; errors as ``write``."""
        place = self._place(name)
        self.mark()
        with files.new_file(place) as file:
            yield file

    def remove_others(self, name: str, keep: Collection[str], suffix: str) -> None:
        """Remove files that end in ``suffix``, but for those to keep, from a folder in this one.

        For readers that take all that they find in a folder: an earlier export left files that the next does not
        replace. Other names, and the folder if it is a link, are left.
        """
        folder = self._place(name)
        if not folder.is_dir() or folder.is_symlink():
            return
        for path in folder.iterdir():
            if path.name.endswith(suffix) and path.name not in keep:
                files.remove(path)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; errors as ``write``."""
        files.remove(self._place(name))

    def remove_torn(self) -> None:
        """Remove temporary files of killed processes, also in folders below; links are not followed.

        Only where nothing else writes to the folder, and only in a folder with the mark.
        """
        if not (self.path / MARK_FILE).is_file():
            return
        for folder, _, _ in os.walk(self.path):
            files.remove_torn(Path(folder))

    def mark(self) -> None:
        """Mark the folder as this program's, where it is not yet."""
        if not (self.path / MARK_FILE).exists():
            for torn in filter(files.is_torn, self.path.glob(f".{MARK_FILE}.*")):  # of a process that was killed here
                files.remove(torn)
            mark = {"program": "iscc-lidar", "content": self.content, **({"of": self.of} if self.of else {})}
            files.write_text(self.path / MARK_FILE, json.dumps(mark) + "\n")

    def _place(self, name: str) -> Path:
        """Return the path of a file of this folder. Raises UserError if it would lie outside."""
        place = self.path / require_path(name, str(self.path))
        for folder in list(place.parents)[: name.count("/")]:
            if folder.is_symlink():
                raise UserError(f"{folder}: is a link, through which nothing is written; remove it, or the folder")
        return place


def own_folder(path: Path, content: str, of: str | None = None) -> OwnFolder:
    """Open a folder to write results into; nothing is written yet.

    Raises UserError unless it is missing, empty, or marked as containing such results, made of ``of`` if that is given.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file, expected a folder; choose another one")
    names = sorted(found.name for found in path.iterdir() if not files.is_torn(found)) if path.is_dir() else []
    if MARK_FILE in names:
        found, made_of = _marked(path / MARK_FILE)
        if found != content:
            raise UserError(f"{path}: contains {one_line(found)}, not {content}; choose another folder")
        if of is not None and made_of != of:
            raise UserError(
                f"{path}: contains {content} of {one_line(made_of)}, not of {of}, and they must not mix; choose "
                "another folder, or remove it"
            )
    elif names:
        raise UserError(
            f"{path}: contains {one_line(names[0])}, which this program did not write; choose an empty or new folder"
        )
    return OwnFolder(path, content, of)


def write_own_file(path: Path, data: bytes, mark: bytes) -> None:
    """Write or replace a file in one step; ``mark`` is near its start. Raises UserError as ``refuse_foreign_file``."""
    if mark not in data[:_START]:
        raise ValueError(f"{path}: its first {_START} bytes lack the mark {mark!r}")
    refuse_foreign_file(path, mark)
    files.write_bytes(path, data)


def refuse_foreign_file(path: Path, mark: bytes) -> None:
    """Raise UserError where there is a file without ``mark`` near its start, or something else than a file."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected a file; choose another name")
    if not path.exists():
        return
    with files.open_regular(path) as file:
        start = file.read(_START)
    if start and mark not in start:
        raise UserError(f"{path}: exists, and this program did not write it; choose another name, or remove it")


def _marked(path: Path) -> tuple[str, str]:
    """Return what a mark says that its folder contains, and what that is made of."""
    found = files.read_json(path)
    if found.get("program") != "iscc-lidar":
        return "files of another program", ""
    return f"{found.get('content')!s:.200}", f"{found.get('of', 'something that is not recorded')!s:.200}"
