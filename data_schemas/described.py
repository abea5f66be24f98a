"""Dataclass fields of the format's JSON files with their descriptions, from which the schema is generated."""

from dataclasses import field
from typing import Any


def described(meaning: str, pattern: str = "") -> Any:
    """Declare a dataclass field with its meaning, and for a text the regular expression that all of it must match."""
    return field(metadata={"meaning": meaning, "pattern": pattern})
