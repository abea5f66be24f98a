"""Text files as people save them: with a byte order mark, any line ends, blank lines at the end; and text to print."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.errors import UserError

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # surrogates are bytes that are not UTF-8


def read_text(path: Path) -> str:
    r"""Read a text file in UTF-8, without its byte order mark; every line ends with "\n".

    Raises UserError for another encoding, and FileNotFoundError where it is missing.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file in UTF-8; save it as UTF-8, or fetch it again") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, expected a text file") from None


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file as ``read_text`` does, without blank lines at its end."""
    lines = read_text(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def printable(text: str) -> str:
    r"""Replace control characters and bytes that are not UTF-8 by escapes as in ``\x1b``."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def name_fault(name: str) -> str | None:
    """Return why a name cannot be that of a file or folder that we write, or None if it can."""
    if not name or name.strip() != name:
        return "is empty, or begins or ends with a blank"
    if name in (".", "..") or "/" in name or "\\" in name:
        return "contains a path separator, or is . or .."
    if _UNPRINTABLE.search(name):
        return "contains a control character, or bytes that are not UTF-8"
    return "is longer than 200 bytes" if len(name.encode()) > 200 else None
