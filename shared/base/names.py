"""Names that come out of files: checked before they become part of a path, printed without control characters."""

from __future__ import annotations

import re
from typing import Final

from iscc_lidar.data_schemas.names import is_plain_name
from iscc_lidar.shared.base.errors import UserError

_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    """Return a text with control characters, changes of direction and halves of characters escaped; lines stay."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))


def one_line(text: object) -> str:
    """Return a text as one printable line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def require_plain_name(name: object, where: str) -> str:
    """Return a name that may become one part of a path; ``where`` it was found. Raises UserError for any other."""
    if not isinstance(name, str) or not is_plain_name(name):
        raise UserError(
            f"{where}: {one_line(repr(name)):.80} is not a name; expected a text without separators and control "
            "characters, and neither '.' nor '..'"
        )
    return name


def require_path(path: str, where: str) -> str:
    """Return a relative path with forward slashes, each part a plain name. Raises UserError for any other."""
    for part in path.split("/"):
        require_plain_name(part, where)
    return path
