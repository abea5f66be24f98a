"""What all commands share: options, and errors that the user can fix as one message with exit status 1."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")
Sets = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated")]
KeySets = Annotated[list[str] | None, typer.Option("--set", help="key=value; may be repeated")]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="print the resolved options as TOML, and stop")]
_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def report_user_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command so that a UserError or a full disk is reported without a stack trace."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        except OSError as error:
            if error.errno not in _DISK:
                raise
            print(
                f"error: {error.filename or 'a file'}: {error.strerror}. What was finished before is kept; "
                "free some space or choose another place, and run the command again",
                file=sys.stderr,
            )
            raise SystemExit(1) from None
        except KeyboardInterrupt as interrupt:
            print("interrupted; finished work is kept", file=sys.stderr)
            raise SystemExit(interrupt.args[0] if interrupt.args else 130) from None

    return wrapped


def exit_if_shown(show_config: bool, config: Any) -> None:
    """Print a configuration and end the command where ``--show-config`` was given."""
    if show_config:
        typer.echo(to_toml(config), nl=False)
        raise typer.Exit
