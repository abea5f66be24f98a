"""Commands and Python blocks of README and documentation."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = tuple(
    page
    for pattern in ("*.md", "docs/**/*.md", "data_schemas/FORMAT.md")
    for page in sorted(REPOSITORY.glob(pattern))
    if "_build" not in page.parts and page.name not in ("commands.md", "CHANGELOG.md")
)
"""commands.md is generated, and its examples are those of ``--help``, which the pages repeat."""
_FENCE = re.compile(r"^ {0,3}```(\w*)\n(.*?)^ {0,3}```$", re.MULTILINE | re.DOTALL)  # also in lists
_INDENTED = re.compile(r"(?:^    \S[^\n]*\n)(?:^(?:    [^\n]*)?\n)*", re.MULTILINE)
_STARTS = re.compile(r"(iscc-\w+|make|python3?|pip|source|dask|sbatch|torchrun|git|sed|sudo|[A-Z_]+=\S+) ")


@dataclass(frozen=True)
class Command:
    """One command of a page, on one line, without its comment."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words that a shell passes."""
        return shlex.split(self.text)


@dataclass(frozen=True)
class Block:
    """A Python block of a page."""

    page: str
    text: str


def commands() -> list[Command]:
    """Return all commands of all pages, in order; what ``sbatch --wrap`` runs is a command of its own."""
    return [Command(name, line) for name, text in _texts() for block in _shell(text) for line in _lines(block)]


def blocks() -> list[Block]:
    """Return all Python blocks of all pages, in order."""
    return [
        Block(name, textwrap.dedent(code))
        for name, text in _texts()
        for language, code in _FENCE.findall(text)
        if language == "python"
    ]


def _texts() -> Iterator[tuple[str, str]]:
    return ((str(page.relative_to(REPOSITORY)), page.read_text("utf-8")) for page in PAGES)


def _shell(text: str) -> Iterator[str]:
    for found in re.finditer(f"{_FENCE.pattern}|{_INDENTED.pattern}", text, _FENCE.flags):
        if found[0].lstrip().startswith("```"):
            if found[1] == "sh":
                yield textwrap.dedent(found[2])
        elif _STARTS.match(inside := textwrap.dedent(found[0])):
            yield inside


def _lines(block: str) -> Iterator[str]:
    for line in block.replace("\\\n", " ").splitlines():
        command = " ".join(shlex.join(shlex.split(line, comments=True)).split())
        if not command:
            continue
        yield command
        words = shlex.split(command)
        if "--wrap" in words:
            yield words[words.index("--wrap") + 1]
