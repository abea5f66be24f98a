"""Fields of the format's JSON files that say what they mean: specification and schema are made from it."""

from dataclasses import field
from typing import Any


def said(meaning: str, pattern: str = "") -> Any:
    """A dataclass field: what it means, and for a text the regular expression that all of it must match."""
    return field(metadata={"meaning": meaning, "pattern": pattern})
