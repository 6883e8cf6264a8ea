"""The files that an earlier run wrote to a folder: they are replaced or removed, and nothing else is."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from ..utils.files import write_json

DOCUMENT, PAGE, LIST = "explanations.json", "index.html", "explanations-files.json"
_OWN = re.compile(r"index\.html|(overlays|previews)/[^/\\]+\.jpg")


class WrittenFiles:
    """
    The pictures and the page in a folder of explanations. They are listed in `explanations-files.json` before they are
    written, so that after an interruption they are known too.

    Args:
        folder: of the explanations.

    Raises:
        InputError: if the folder holds explanations in parquet, or an `explanations.json` of something else.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        document = read_document(folder)
        if is_of_parquet(document) or any(folder.glob("explanations-*.parquet")):
            raise InputError(f"{folder} holds explanations in parquet files: give another --output_dir.")
        if document is not None and "images" not in document:
            raise InputError(f"{folder / DOCUMENT} is not of `pm-vit explain`: give another --output_dir.")
        listed = _read(folder / LIST)
        if listed is None and document is not None:  # of a version without the list
            listed = [PAGE] + [name for record in document["images"] for name in pictures_of(record)]
        self.earlier = {name for name in listed or () if isinstance(name, str) and _OWN.fullmatch(name)}
        self.announced: set[str] = set()

    def announce(self, names: Iterable[str]) -> None:
        """
        To be called before files are written.

        Raises:
            InputError: if one of them exists, and an earlier run did not write it.
        """
        self.announced = set(names)
        for name in sorted(self.announced - self.earlier):
            if (self.folder / name).exists():
                raise InputError(f"{self.folder / name} is not of `pm-vit explain`: give another --output_dir.")
        write_json(self.folder / LIST, sorted(self.earlier | self.announced))
        for name in self.announced:
            (self.folder / name).parent.mkdir(exist_ok=True)

    def keep(self, names: Iterable[str]) -> None:
        """To be called at the end: what is not among these names is removed."""
        kept = set(names)
        for name in (self.earlier | self.announced) - kept:
            (self.folder / name).unlink(missing_ok=True)
        if kept:
            write_json(self.folder / LIST, sorted(kept))
            return
        (self.folder / LIST).unlink(missing_ok=True)
        for name in ("overlays", "previews"):
            folder = self.folder / name
            if self.earlier and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def refuse_documents(folder: Path) -> None:
    """Raises InputError if a folder holds a page or JSON of explanations: parquet files do not mix with them."""
    document = read_document(folder)
    if document is not None and not is_of_parquet(document):
        raise InputError(f"{folder / DOCUMENT} is not of parquet files: give another --output_dir.")


def read_document(folder: Path) -> dict[str, Any] | None:
    """The `explanations.json` of a folder, of any kind; `None` if there is none."""
    found = _read(folder / DOCUMENT)
    return found if isinstance(found, dict) else None if found is None else {}


def is_of_parquet(document: dict[str, Any] | None) -> bool:
    return document is not None and "rows_per_shard" in document


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def pictures_of(record: dict[str, Any]) -> list[str]:
    """The names of the pictures of one image in `explanations.json`."""
    pictures = [record.get("preview"), *(found.get("overlay") for found in record.get("classes", ()))]
    return [name for name in pictures if name]
