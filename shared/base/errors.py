"""The error type for users: what is wrong, where, and what to do about it."""


class UserError(Exception):
    """A mistake outside the program: bad input, a wrong option, a damaged cache.

    The message names the file or option, what was expected, what was found, and what to do. The command line prints
    it without a stack trace and exits with status 1.
    """


def missing_package(what: str, package: str, extra: str) -> UserError:
    """Return the error for something that needs a package which is not installed."""
    return UserError(
        f"{what} needs the package {package}, which is not installed; in the folder of this program run: "
        f'pip install ".[{extra}]"'
    )
