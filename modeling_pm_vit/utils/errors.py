"""Errors that a user can fix. A command prints them as one line; every other error keeps its traceback."""


class PMViTError(Exception):
    """
    An expected error: the message says what was expected, what was found, where, and what to do next.

    Attributes:
        exit_status: of a command that ends with it: 2 for a wrong call, 1 for work that failed.
    """

    exit_status = 2


class InputError(PMViTError, ValueError):
    """An option, a column, a row, a class or a file has a value that cannot be used."""


class NotFoundError(PMViTError, FileNotFoundError):
    """A file, folder or repository does not exist."""


class MissingExtraError(PMViTError, ImportError):
    """A library of an optional extra is not installed; the message has the `pip install` command."""


class StoppedError(PMViTError, RuntimeError):
    """A run was stopped because its result would be of no use."""

    exit_status = 1
