"""Text from files of others: made safe to print, and to put into Markdown."""

from __future__ import annotations

import html
import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a cursor, change a terminal, reverse text, or are not Unicode; not tab and newline."""


def printable(text: object) -> str:
    r"""Return a text with each control character as its escape, such as ``\x1b``; tabs and newlines stay."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(text))


def one_line(text: object) -> str:
    """Return a text as one printable line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(number: int, noun: str) -> str:
    """Return a number and what is counted: ``1 sweep``, ``2 sweeps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def markdown(text: object) -> str:
    """Return a value as one line of Markdown that is neither HTML nor a link, a picture, code or a table's cell."""
    line = html.escape(printable(str(text)).replace("\n", " ").replace("\t", " "), quote=False)
    return re.sub(r"([\\`|\[\]])", r"\\\1", line)


def code_span(text: object) -> str:
    """Return a value as code within a line of Markdown."""
    line = printable(str(text)).replace("\n", " ").replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"


def code_block(text: str, language: str) -> str:
    """Return a text, which ends with a newline, as a block of code in Markdown."""
    lines = printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}{language}\n{lines}{fence}"
