"""Files that are exported with the weights: modules for code bases without our architecture, configs, instructions."""

from __future__ import annotations

from importlib import resources
from string import Template


def template(name: str) -> bytes:
    """Read a file that is exported as it is."""
    return (resources.files(__name__) / name).read_bytes()


def fill(name: str, **values: object) -> str:
    """Read a text and put values at its ``${NAME}``."""
    return Template(template(name).decode()).substitute(values)
