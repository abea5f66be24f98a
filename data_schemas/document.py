"""JSON documents of a format: dataclasses with the format's name and version before them, and a digest at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

VERSION: Final = r"[0-9]{1,9}\.[0-9]{1,9}"
SHA256: Final = "[0-9a-f]{64}"
_BEFORE_DIGEST: Final = ',\n "digest"'
T = TypeVar("T")


class DocumentError(ValueError):
    """The text is not a document that this version can read. The message gives the reason."""


@dataclass(frozen=True)
class Format:
    """A format of documents.

    Attributes:
        name: its key ``format``.
        major: a document of another one cannot be read.
        minor: a document of a higher one can.
        redo: what to do about a damaged or older document, in the imperative.
    """

    name: str
    major: int
    minor: int
    redo: str


def to_text(document: Any, kind: Format) -> str:
    """Convert a dataclass to JSON text, its digest last."""
    header = {"format": kind.name, "version": f"{kind.major}.{kind.minor}"}
    body = json.dumps(header | dataclasses.asdict(document), indent=1).removesuffix("\n}")
    return body + _ending(body)


def from_text(text: str, cls: type[T], kind: Format, where: str) -> T:
    """Parse a document into a dataclass. A higher minor version and unknown keys are accepted.

    Raises DocumentError if it is none of this format, of another major version, damaged, or has values of other types.
    """
    try:
        content = load_json(text)
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != kind.name:
        found = content.get("format") if isinstance(content, dict) else content
        raise DocumentError(f"its format is {found!r}, expected {kind.name!r}")
    _check_version(content.get("version"), kind)
    if not text.endswith(_ending(text.rpartition(_BEFORE_DIGEST)[0])):
        raise DocumentError(
            f"damaged, its digest does not match; remove it and {kind.redo}, which redoes only what is missing"
        )
    built: T = _build(cls, content, where)
    return built


def load_json(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError also for a key that comes twice, and for lists too deep to parse."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r:.80} comes twice")
    return found


def _ending(body: str) -> str:
    """Return the end of a document: its digest, which covers all bytes before."""
    return f'{_BEFORE_DIGEST}: "{hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()}"\n}}\n'


def _check_version(version: Any, kind: Format) -> None:
    if not isinstance(version, str) or not re.fullmatch(VERSION, version):
        raise DocumentError(f"its format version is {version!r}, expected MAJOR.MINOR")
    if int(version.split(".")[0]) != kind.major:
        raise DocumentError(
            f"its format version is {version}, this program reads {kind.major}.x; {kind.redo}, or use the "
            "release that wrote it"
        )


def _build(cls: Any, content: Any, where: str) -> Any:
    """Build an instance of a type from parsed JSON; unknown keys are ignored."""
    if get_origin(cls) is tuple:
        items = _expect(content, list, where)
        return tuple(_build(get_args(cls)[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        return _expect(content, get_origin(cls) or cls, where)
    found = _expect(content, dict, where)
    hints = get_type_hints(cls)
    values = {}
    for item in dataclasses.fields(cls):
        if item.name not in found:
            if item.default is dataclasses.MISSING:
                raise DocumentError(f"{where} has no {item.name}")
            continue
        values[item.name] = _build(hints[item.name], found[item.name], f"{where}.{item.name}")
        pattern = item.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, values[item.name]):
            raise DocumentError(f"{where}.{item.name} is {values[item.name]!r}, expected the pattern {pattern}")
    return cls(**values)


def _expect(content: Any, cls: type, where: str) -> Any:
    legal = isinstance(content, cls) and not isinstance(content, bool)
    if not legal or (cls is int and content < 0):
        raise DocumentError(f"{where} is {content!r:.80}, expected {'a count' if cls is int else cls.__name__}")
    return content
