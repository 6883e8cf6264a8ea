"""Long work in parts: continued where it was interrupted, shared among processes, never mixed with other settings.

A result is in parts, and a part is a file, or a few, that exist or do not (see `files.atomic_write`). Whoever makes
parts says which settings they depend on (`keep_settings`) and asks which of them this process has to make
(`missing_parts`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InputError
from .files import write_json

if TYPE_CHECKING:
    from accelerate import PartialState

Part = TypeVar("Part")


def keep_settings(path: Path, settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """
    Write the settings, or check that the file holds the same ones.

    Args:
        path: of the JSON file; missing folders are made.
        settings: all that the results depend on, as JSON takes it.
        what: the results, for the message.

    Returns:
        The settings as JSON gives them back.

    Raises:
        InputError: if the file holds other settings; names the first that differs.
    """
    given: dict[str, Any] = json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, given)
        return given
    before = json.loads(path.read_text(encoding="utf-8"))
    for name in sorted(before.keys() | given.keys()):
        if before.get(name) != given.get(name):
            raise InputError(
                f"{path.parent} holds {what} with {name} = {before.get(name)!r}, asked for {given.get(name)!r}: "
                "choose another folder, or remove this one."
            )
    return given


@contextmanager
def missing_parts(
    process: "PartialState", parts: Iterable[Part], is_done: Callable[[Part], bool]
) -> Iterator[list[Part]]:
    """
    The parts that are missing and that this process has to make, for a `with` block that makes them:

        with missing_parts(process, shards.ranges, shards.has) as mine:
            for rows in mine:
                shards.write(rows, ...)

    Every process of the launch has to come here with the same parts. All look for what is missing before any of them
    writes, so that their shares do not overlap and are equally large; all leave the block when every part is there.
    """
    process.wait_for_everyone()
    missing = [part for part in parts if not is_done(part)]
    process.wait_for_everyone()
    yield missing[process.process_index :: process.num_processes]
    process.wait_for_everyone()
