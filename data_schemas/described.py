"""Dataclass fields of the format's JSON files with their descriptions, from which the schema is generated."""

from dataclasses import MISSING, field
from typing import Any


def described(meaning: str, pattern: str = "", default: Any = MISSING) -> Any:
    """Declare a dataclass field with its meaning, and for a text the regular expression that all of it must match.

    A file may lack a field with a default: it is of a higher minor version than the first one.
    """
    return field(default=default, metadata={"meaning": meaning, "pattern": pattern})
