"""Report errors that the user can fix as one message on stderr, with exit status 1."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from iscc_lidar.shared.base.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")
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
        except KeyboardInterrupt:
            print("interrupted; finished work is kept", file=sys.stderr)
            raise SystemExit(130) from None

    return wrapped
