"""Long work in parts that can be resumed and shared among processes, and is not mixed with results of other settings.

A part is one or several files that are written atomically (see `files.atomic_write`). A writer stores the settings that
the parts depend on (`keep_settings`), then asks for the parts that this process has to make (`missing_parts`).
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
        path: of the JSON file; missing folders are created.
        settings: everything that the results depend on, as values for JSON.
        what: the results, for the message.

    Returns:
        The settings, as read back from JSON.

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
    The missing parts that this process has to make, for a `with` block that makes them:

        with missing_parts(process, shards.ranges, shards.has) as mine:
            for rows in mine:
                shards.write(rows, ...)

    Every process of the launch has to call this with the same parts. All look for missing parts before one of them
    writes, so their shares are equal and do not overlap. All leave the block when every part exists.
    """
    process.wait_for_everyone()
    missing = [part for part in parts if not is_done(part)]
    process.wait_for_everyone()
    yield missing[process.process_index :: process.num_processes]
    process.wait_for_everyone()
