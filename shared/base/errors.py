"""The one error that a user meets: what is wrong, where, and what to do about it."""


class UserError(Exception):
    """A mistake outside the program: bad input, a wrong option, a damaged cache.

    The message names the file or option, says what was expected and what was found, and how to go
    on. The command line prints it without a stack trace and exits with status 1.
    """
