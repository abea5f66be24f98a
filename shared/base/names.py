"""Names that come out of files: checked before they become part of a path."""

from __future__ import annotations

from iscc_lidar.data_schemas.names import is_plain_name
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line


def name_fault(name: str) -> str | None:
    """Return why a name cannot be that of a file or folder that we write, or None if it can."""
    if not name or name.strip() != name:
        return "is empty, or begins or ends with a blank"
    if name in (".", "..") or "/" in name or "\\" in name:
        return "contains a path separator, or is . or .."
    if not is_plain_name(name):
        return "contains a control character, or bytes that are not UTF-8"
    return "is longer than 200 bytes" if len(name.encode()) > 200 else None


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
