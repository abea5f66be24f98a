"""Write commands.md, the reference of all commands: ``python docs/commands.py``; ``--check`` only compares."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from iscc_lidar.api.cache_cli import app as cache
from iscc_lidar.api.train_cli import app as train
from iscc_lidar.preprocess.cli import app as preprocess

PAGE: Final = Path(__file__).with_name("commands.md")
PROGRAMS: Final = {"iscc-preprocess": preprocess, "iscc-cache": cache, "iscc-train": train}
HEAD: Final = """# Commands

Generated from the programs by `python docs/commands.py`; do not edit. `COMMAND --help` prints the same. Options that
`--set` changes are printed with their meanings by `--show-config`.
"""
_NAMES: Final = {str: "text", int: "number", float: "number", Path: "path", bool: ""}


def page() -> str:
    """Generate the page as Markdown."""
    return "\n".join([HEAD, *(line for name, app in PROGRAMS.items() for line in _program(name, app))])


def _program(name: str, app: typer.Typer) -> Iterator[str]:
    yield from (f"## {name}", "", str(app.info.help), "")
    for command in app.registered_commands:
        assert command.callback is not None
        yield from _command(f"{name} {command.name or command.callback.__name__.replace('_', '-')}", command.callback)


def _command(path: str, run: Callable[..., Any]) -> Iterator[str]:
    hints = get_type_hints(run, include_extras=True)
    parameters = [(p, *get_args(hints[p.name])[:2]) for p in inspect.signature(run).parameters.values()]
    shown = [_argument(p, info) for p, _, info in parameters if isinstance(info, ArgumentInfo)]
    yield from (f"### {path}", "", inspect.cleandoc(run.__doc__ or ""), "", "Usage:", "")
    yield from (" ".join(["   ", path, *shown, "[OPTIONS]" * (len(shown) < len(parameters))]).rstrip(), "")
    if parameters:
        yield from ("| | | |", "|---|---|---|", *(_row(*parameter) for parameter in parameters), "")


def _argument(parameter: inspect.Parameter, info: ArgumentInfo) -> str:
    name = str(info.metavar or parameter.name).strip("[]").upper()
    return name if parameter.default is inspect.Parameter.empty else f"[{name}]"


def _row(parameter: inspect.Parameter, of: Any, info: ArgumentInfo | OptionInfo) -> str:
    many = get_origin(of) is list or any(get_origin(part) is list for part in get_args(of))
    named = [text for text in (info.default, *(info.param_decls or ())) if str(text).startswith("-")]
    option = ", ".join(named) or f"--{parameter.name.replace('_', '-')}"
    name = _argument(parameter, info) if isinstance(info, ArgumentInfo) else option
    stated = [] if parameter.default in (None, False, inspect.Parameter.empty) else [f"default: `{parameter.default}`"]
    stated += ["required"] if isinstance(info, OptionInfo) and parameter.default is inspect.Parameter.empty else []
    stated += ["may be repeated"] if many and "repeated" not in str(info.help) else []
    meaning = f"{' '.join(str(info.help).split())}{f' ({chr(59).join(stated)})' if stated else ''}"
    return f"| `{name}` | {_value(of)} | {meaning.replace('|', chr(92) + '|')} |"


def _value(of: Any) -> str:
    if get_origin(of) is Literal:
        return ", ".join(map(str, get_args(of)))
    if get_origin(of) in (types.UnionType, Union, list):
        return next(_value(part) for part in get_args(of) if part is not type(None))
    return _NAMES[of]


def main() -> int:
    """Write the page, or with --check report that it is stale; returns the exit status."""
    stale = not PAGE.exists() or PAGE.read_text("utf-8") != page()
    if "--check" in sys.argv[1:]:
        if stale:
            print(f"{PAGE} is stale; run: python docs/commands.py")
        return int(stale)
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
