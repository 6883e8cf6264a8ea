"""`pm-vit COMMAND ...`: find the command, run it, and print errors that a user can mend as one line."""

import difflib
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module

from ..utils.errors import InputError, PMViTError
from ..utils.extras import require
from .commands import COMMANDS

_HELP = ("-h", "--help")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Args:
        arguments: of the command line; by default those of this process.

    Returns:
        The exit status: 0 if all went well, 1 if a part of the work failed (it is printed what), 2 for a wrong call,
        130 if it was interrupted (Ctrl-C). Errors that are no [`PMViTError`] are not caught: their traceback says where
        they happened.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in _HELP:
        print(_listing())
        return 0
    if words[0] == "--version":
        from .. import __version__

        print(f"pm-vit {__version__}")
        return 0
    name, rest = words[0], words[1:]
    try:
        if name not in COMMANDS:
            raise InputError(_unknown(name))
        command = COMMANDS[name]
        require(command.work, command.extra, *command.libraries)
        module = import_module(f".{name.replace('-', '_')}", __package__)
        return int(module.main(rest))
    except KeyboardInterrupt as stop:
        if _process_index() == 0:
            hint = str(stop) or COMMANDS[name].if_interrupted
            print(f"\npm-vit {name}: interrupted. {hint}".rstrip(), file=sys.stderr)
        return 130
    except PMViTError as error:
        if _process_index() > 0:
            # The first process has most likely failed with the same message, and the launcher ends this one.
            time.sleep(15)
        shown = f"pm-vit {name}" if name in COMMANDS else "pm-vit"
        print(f"{shown}: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_status


def _listing() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: pm-vit COMMAND [options]",
            "",
            "A Vision Transformer that shows what it saw: class and per-class probability map in one forward pass.",
            "",
            "commands:",
            *lines,
            "",
            "pm-vit COMMAND --help lists the options of a command; pm-vit --version prints the version.",
        ]
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.replace("_", "-"), COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}."
    return f"there is no command {name!r}; {hint}"


def _process_index() -> int:
    """Of `torchrun` and `accelerate launch`."""
    return int(os.environ.get("RANK", "0"))
