"""What all commands share: options, and errors that the user can fix as one message with exit status 1."""

from __future__ import annotations

import errno
import functools
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final, NoReturn, ParamSpec, TypeVar

import typer

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line, printable

P = ParamSpec("P")
R = TypeVar("R")
Sets = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated")]
KeySets = Annotated[list[str] | None, typer.Option("--set", help="key=value; may be repeated")]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="print the resolved options as TOML, and stop")]
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


def _end(message: str) -> NoReturn:
    with suppress(OSError):  # standard error may be closed, too
        print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1) from None


def exit_if_shown(show_config: bool, config: Any) -> None:
    """Print a configuration and end the command where ``--show-config`` was given."""
    if show_config:
        typer.echo(to_toml(config), nl=False)
        raise typer.Exit
