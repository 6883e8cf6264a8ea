"""Atomic writes: if a process is stopped, a reader finds either the old file or the complete new one."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_numbers = itertools.count()


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """
    Gives the path of a temporary file in the same folder. At the end of the block the file is flushed to the disk and
    renamed to `path`. If the block raises an error, it is removed and `path` is unchanged. Missing folders are created.

        with atomic_write(folder / "records.npz") as part, part.open("wb") as file:
            np.savez(file, **records)

    Threads and processes can write the same path at the same time. Each has its own temporary file, named
    `NAME.PID-NUMBER.part`, and the last one to finish wins. A killed process leaves this file behind; readers of
    results ignore it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{next(_numbers)}.part")
    try:
        yield part
        flush_to_disk(part)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    flush_to_disk(path.parent)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """A text file in UTF-8. What UTF-8 cannot hold (bytes of an undecodable file name) is written as `\\udcXX`."""
    path = Path(path)
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    return path


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write an indented JSON file."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False))


def flush_to_disk(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    if os.name == "nt" and os.path.isdir(path):  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
