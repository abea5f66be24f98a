"""Write commands.md, the reference of all commands, from the programs: ``python docs/commands.py``; ``--check`` only compares."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from iscc_lidar.preprocess.cli import app as preprocess
from iscc_lidar.shared.cache_cli import app as cache
from iscc_lidar.trainer.cli import app as train

PAGE: Final = Path(__file__).with_name("commands.md")
PROGRAMS: Final = {"iscc-preprocess": preprocess, "iscc-cache": cache, "iscc-train": train}
HEAD: Final = """# Commands

Generated from the programs by `python docs/commands.py`; do not edit. `COMMAND --help` prints the same. Options of a recipe,
which `--set` changes, are printed with their meanings by `--show-config`.
"""


def page() -> str:
    """Generate the page as Markdown."""
    return "\n".join([HEAD, *(line for name, app in PROGRAMS.items() for line in _program(name, app))])


def _program(name: str, app: typer.Typer) -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    yield from (f"## {name}", "", inspect.cleandoc(group.help or ""), "")
    for command in group.commands.values():
        yield from _command(f"{name} {command.name}", command)


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    shown = " ".join(name if p.required else f"[{name}]" for p in arguments for name in [_argument(p)])
    yield from (f"### {path}", "", f"    {path} {shown} [OPTIONS]".replace("  [", " ["), "")
    yield from (inspect.cleandoc(command.help or "").replace("\f", ""), "", "| | value | meaning |", "|---|---|---|")
    for parameter in command.params:
        if "--help" not in parameter.opts:
            yield _row(parameter)
    yield ""


def _row(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    name = _argument(parameter) if is_argument else ", ".join(parameter.opts)
    flag = getattr(parameter, "is_flag", False)
    choices = getattr(parameter.type, "choices", None)
    names = [str(getattr(choice, "value", choice)) for choice in choices or ()]
    value = "" if flag else ", ".join(names) if names else parameter.type.name.removesuffix(" range")
    stated = parameter.default is not None and not callable(parameter.default) and not flag and parameter.default != []
    default = f" (default: `{parameter.default}`)" if stated and not parameter.required else ""
    required = " (required)" if parameter.required else ""
    many = " (may be repeated)" if getattr(parameter, "multiple", False) and "repeated" not in parameter.help else ""
    meaning = " ".join(f"{parameter.help or ''}{required}{default}{many}".split())
    return f"| `{name}` | {value} | {meaning.replace('|', chr(92) + '|')} |"


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name).strip("[]").upper()


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
