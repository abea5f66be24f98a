"""Configuration: frozen dataclasses, TOML recipes over them, ``section.key=value`` over those.

The options of a stage are a frozen dataclass next to the code that uses them; the configuration of a command is a
frozen dataclass of such sections. The types of the fields are the schema: a value of another type and an unknown key
are errors, which name the nearest known key.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import operator
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args, get_type_hints

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

T = TypeVar("T")

MOST: Final = 2**53
"""Integers beyond this are not exact as floating-point numbers; no option needs one."""

_SHOWN: Final = 200
"""Characters of a wrong value that an error shows."""

Plain = bool | int | float | str | tuple[Any, ...]


def option(
    default: T,
    why: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> T:
    """Declare a dataclass field: its default, one line on its meaning, unit and reason, and for numbers their range.

    A dataclass with ranges checks them by ``check_ranges`` in its ``__post_init__``, and those of its subclasses too.
    """
    limits = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    return dataclasses.field(default=default, metadata={"why": why, "limits": limits})


def check_ranges(config: Any, section: str) -> None:
    """Check that the numbers of a configuration's own options, also in tuples, are finite and in their ranges.

    Raises ValueError, which names the first that is not as ``section.key``; ``section`` is "" for keys outside one.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        limits = {name: limit for name, limit in field.metadata.get("limits", {}).items() if limit is not None}
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not _within(number, limits):
                key = f"{section}.{field.name}" if section else field.name
                raise ValueError(f"{key} must be {_expected(number, limits)}, not {number!r:.40}")


def _expected(value: float, limits: Mapping[str, float]) -> str:
    if isinstance(value, int) and value > MOST:
        limits = {**limits, "at most": limits.get("at most", MOST)}
    return " and ".join(f"{name} {limit:g}" for name, limit in limits.items()) or "a finite number"


def _within(value: float, limits: Mapping[str, float]) -> bool:
    tests = {"at least": operator.ge, "above": operator.gt, "at most": operator.le, "below": operator.lt}
    finite = abs(value) <= MOST if isinstance(value, int) else math.isfinite(value)
    return finite and all(tests[name](value, limit) for name, limit in limits.items())


def section(config_type: type[T], **defaults: Any) -> T:
    """Declare a field that contains another configuration dataclass, with its defaults except for ``defaults``."""
    return dataclasses.field(default_factory=functools.partial(config_type, **defaults))


def resolve(
    config_type: type[T],
    recipes: Path | Sequence[Path] | None = None,
    overrides: Iterable[str] = (),
    flag: str = "--set",
) -> T:
    """Build a configuration from its defaults, then TOML recipes in order, then ``section.key=value`` items.

    All changes are applied at once, so that options that depend on each other can be given in any order.

    Raises:
        UserError: an unreadable recipe, an unknown key, a value of the wrong type, or incompatible values.
    """
    return build(config_type, sources([recipes] if isinstance(recipes, Path) else recipes or (), overrides, flag))


def sources(recipes: Iterable[Path], overrides: Iterable[str] = (), flag: str = "--set") -> list[dict[str, Any]]:
    """Read recipes and ``section.key=value`` items into nested dictionaries of Given, one for each.

    Raises UserError for an unreadable recipe, or an item without "=".
    """
    found = [_given(read_toml(recipe), str(recipe)) for recipe in recipes]
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"{flag} {item}: expected {'section.' if flag == '--set' else ''}key=value")
        found.append(_given(_nest(key.strip(), _parse_value(text.strip())), f"{flag} {item}"))
    return found


def build(config_type: type[T], given: Iterable[dict[str, Any]]) -> T:
    """Build a configuration from its defaults, then these sources in order. Raises UserError like resolve."""
    changes: dict[str, Any] = {}
    for source in given:
        _overlay(changes, source)
    return _merge(config_type(), changes, prefix="")


def from_dict(config_type: type[T], content: Mapping[str, Any], source: str) -> T:
    """Build a configuration from plain values, of which none may be missing; ``source`` names them in errors.

    Raises UserError like resolve.
    """
    missing = [field.name for field in dataclasses.fields(cast(Any, config_type)) if field.name not in content]
    if missing:
        raise UserError(f"{source}: {missing[0]} is missing")
    return build(config_type, [_given(content, source)])


def find_shipped(folder: Path, name: str, option_name: str = "recipe") -> Path:
    """Find a TOML file by its path, or by its name among those in ``folder`` that come with the program.

    Raises UserError, which names the option ``--OPTION_NAME``, if there is neither.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = folder / f"{name}.toml"
    if not shipped.exists():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise UserError(
            f"--{option_name} {name}: neither a file nor a {option_name} that comes with the program ({names})"
        )
    return shipped


@dataclasses.dataclass(frozen=True)
class Given:
    """A value given by the user, and where it was given."""

    value: Any
    source: str


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises UserError if it is missing or malformed."""
    try:
        return tomllib.loads(files.read_text(path, "a readable TOML recipe"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such recipe") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable TOML recipe: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into nested plain dictionaries, ready for JSON."""
    return dataclasses.asdict(config)


def to_toml(config: Any) -> str:
    """Format a configuration as a commented TOML recipe: every key, its value and meaning."""
    lines: list[str] = []
    sections: list[str] = []
    for field in dataclasses.fields(config):
        value: Any = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            sections.append(f"\n[{field.name}]\n{to_toml(value)}")
        else:
            lines.append(f"{field.name} = {toml_value(value)}  # {field.metadata.get('why', '')}".rstrip(" #") + "\n")
    return "".join(lines + sections).lstrip()


def toml_value(value: Plain) -> str:
    """Format a value for TOML and ``--set``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return repr(value)


def _parse_value(text: str) -> Any:
    # TOML's grammar reads numbers, booleans, quoted strings and arrays; a bare word is a string, also in a list,
    # because the shell removes quotes.
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        if text.startswith("[") and text.endswith("]"):
            return [_parse_value(word.strip()) for word in text[1:-1].split(",")]
        return text


def _nest(dotted: str, value: Any) -> dict[str, Any]:
    head, dot, rest = dotted.partition(".")
    return {head: _nest(rest, value) if dot else value}


def _given(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {k: _given(v, source) if isinstance(v, Mapping) else Given(v, source) for k, v in content.items()}


def _overlay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _overlay(below[key], value)
        else:
            below[key] = value


def _sources(changes: Mapping[str, Any]) -> list[str]:
    leaves = [_sources(v) if isinstance(v, dict) else [v.source] for v in changes.values()]
    return list(dict.fromkeys(source for sources in leaves for source in sources))


def _merge(config: T, changes: Mapping[str, Any], prefix: str) -> T:
    hints = get_type_hints(type(config))
    updates: dict[str, Any] = {}
    for name, given in changes.items():
        source = given.source if isinstance(given, Given) else ", ".join(_sources(given))
        key = f"{prefix}{name}"
        if name not in hints:
            raise UserError(_unknown_key(config, key, source))
        current = getattr(config, name)
        if dataclasses.is_dataclass(current):
            if isinstance(given, Given):
                raise UserError(
                    f"{source}: {key} is a section; set one of its keys, "
                    f"for example {key}.{dataclasses.fields(current)[0].name}"
                )
            updates[name] = _merge(current, given, f"{key}.")
        elif isinstance(given, Given):
            updates[name] = _typed(given.value, hints[name], key, source)
        else:
            raise UserError(f"{source}: {key} is an option, not a section")
    try:
        return cast(T, dataclasses.replace(cast(Any, config), **updates))
    except ValueError as error:  # raised by a dataclass's __post_init__
        raise UserError(f"{', '.join(_sources(changes))}: {error}") from None


def _unknown_key(config: Any, key: str, source: str) -> str:
    known = [f.name for f in dataclasses.fields(config)]
    prefix, _, leaf = key.rpartition(".")
    near = difflib.get_close_matches(leaf, known, n=1, cutoff=0.0)
    dotted = f"{prefix}.{near[0]}" if prefix and near else "".join(near)
    return f"{source}: unknown option {key}; the nearest is {dotted} (known here: {', '.join(known)})"


def _typed(value: Any, hint: Any, key: str, source: str) -> Any:
    if type(value) is int and abs(value) > MOST:
        raise UserError(f"{source}: {key} must be a number of at most 15 digits, not one of {value.bit_length()} bits")
    choices = [c for c in get_args(hint) if isinstance(c, str)]
    if choices:  # Literal["a", "b"]
        if value not in choices:
            raise UserError(f"{source}: {key} must be one of {', '.join(choices)}, not {_shown(value)}")
        return value
    if get_args(hint):  # tuple[int, ...]
        element = get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{source}: {key} must be a list of {element.__name__}, not {_shown(value)}")
        return tuple(_typed(v, element, key, source) for v in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"{source}: {key} must be {hint.__name__}, not {_shown(value)}")
    return value


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any], above: str = "") -> list[str]:
    """List the options that differ, one line each with both values; nested dictionaries as of ``to_dict``."""
    found: list[str] = []
    for key in dict.fromkeys([*stored, *wanted]):
        there, here = (json.loads(json.dumps(values.get(key))) for values in (stored, wanted))
        if isinstance(there, dict) or isinstance(here, dict):
            inner = [value if isinstance(value, dict) else {} for value in (there, here)]
            found += differences(inner[0], inner[1], f"{above}{key}.")
        elif there != here:
            found.append(f"{above}{key} is {_shown(there)} there, {_shown(here)} here")
    return found


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or deep lists
        return f"this {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
