"""What all programs share: options, versions, completion, and errors that the user can fix as one message."""

from __future__ import annotations

import errno
import functools
import io
import os
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, ParamSpec, TypeVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line, printable

P = ParamSpec("P")
R = TypeVar("R")
Sets = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated")]
KeySets = Annotated[list[str] | None, typer.Option("--set", help="key=value; may be repeated")]
Recipe = Annotated[Path | None, typer.Option("--recipe", help="TOML file of options")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="worker processes; 0 = work in this one. Default: all cores")
]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="print the resolved options as TOML, and stop")]
_UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])
"""Base of what is raised for a wrong command line; typer does not export it."""
_EXIT_STATUS: Final = (
    "Exit status: 0 done; 1 a problem, described in one line; 2 a wrong command line; "
    "3 something was skipped; 130 or 143 interrupted."
)
_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_ADVICE: Final = {
    errno.EACCES: "Change its permissions, or choose another place",
    errno.EPERM: "Change its permissions, or choose another place",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ENOTDIR: "Part of this path is a file, expected a folder",
    errno.EISDIR: "Expected a file",
    errno.ENOENT: "Check the path",
    errno.EFBIG: "The file system, or a limit (ulimit -f), allows no larger file",
    errno.EMFILE: "Raise the limit of open files: ulimit -n",
    errno.ELOOP: "Its links lead in a circle, or are not followed here",
}


class Program(TyperGroup):
    """A program of several commands. Without any it shows its help; a wrong command line is one line, status 2."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the program on these arguments, by default the command line's."""
        exits = options.pop("standalone_mode", True)
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
        except _UsageError as error:
            _end(_describe_usage_error(error), status=2)
        return sys.exit(status if isinstance(status, int) else 0) if exits else status

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the program's own options."""
        return super().parse_args(ctx, args or ["--help"])


class Command(TyperCommand):
    """A command with ``--show-config``, which needs no other option: what is required is None then."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command's arguments and options."""
        if "--show-config" in args:
            for parameter in self.params:
                parameter.required = False
        return super().parse_args(ctx, args)


def new_program(about: str) -> typer.Typer:
    """Begin a program to which commands are added by ``@program.command()``."""
    program = typer.Typer(
        cls=Program,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help=about,
        epilog=_EXIT_STATUS,
    )

    @program.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", callback=_print_versions, is_eager=True, help="print all versions, and stop"),
        ] = False,
    ) -> None: ...

    return program


def report_user_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command so that a UserError, and what the system refuses, is one message and exit status 1."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
        try:
            found = command(*args, **kwargs)
            sys.stdout.flush()
            return found
        except UserError as error:
            _end(printable(error))
        except BrokenPipeError:
            # Python flushes again at its end; there must be somewhere to write to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _end("the output was closed before all of it was written")
        except OSError as error:
            _end(printable(describe_os_error(error)))
        except MemoryError:
            _end("there is not enough memory; what was finished before is kept")
        except KeyboardInterrupt as interrupt:
            print("interrupted; finished work is kept", file=sys.stderr)
            raise SystemExit(interrupt.args[0] if interrupt.args else 130) from None

    return wrapped


def describe_os_error(error: OSError) -> str:
    """Return the file, what the system reports and what to do, in one line."""
    what = error.strerror or str(error) or type(error).__name__
    where = error.filename or ("the output" if error.errno in _DISK else type(error).__name__)
    advice = _ADVICE.get(error.errno or 0, "")
    if error.errno in _DISK:
        advice = "What was finished before is kept; free some space or choose another place, and run the command again"
    return one_line(f"{where}: {what}. {advice}" if advice else f"{where}: {what}")


def _end(message: str, status: int = 1) -> NoReturn:
    with suppress(OSError):  # standard error may be closed, too
        print(f"error: {message}", file=sys.stderr)
    raise SystemExit(status) from None


def _describe_usage_error(error: Any) -> str:
    what = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    command = f"{error.ctx.command_path} --help" if error.ctx else "--help"
    return printable(f"{what[:1].lower()}{what[1:]}; see: {command}")


def _print_versions(wanted: bool) -> None:
    if not wanted:
        return
    from iscc_lidar.shared.base.provenance import kernels, versions

    found = versions()
    typer.echo(f"iscc-lidar {found.pop('iscc-lidar')}")
    typer.echo(f"python {found.pop('python')} on {platform.platform()}")
    typer.echo(", ".join(f"{name} {version}" for name, version in found.items()))
    typer.echo(f"C kernels: {kernels()}")
    raise typer.Exit


def names_of(text: str | None) -> list[str] | None:
    """Return names that are separated by commas; None where none are given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def exit_if_shown(show_config: bool, config: Any) -> None:
    """Print a configuration and end the command where ``--show-config`` was given."""
    if show_config:
        typer.echo(to_toml(config), nl=False)
        raise typer.Exit
