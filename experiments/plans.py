"""Plans of experiments: YAML files with the fields of a dataclass."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from modeling_pm_vit.utils.errors import InputError, NotFoundError

Fields = TypeVar("Fields")


def read_fields(kind: type[Fields], path: Path) -> Fields:
    """
    Args:
        kind: a dataclass; the file must have all its fields, and no others.

    Raises:
        InputError: if the file has another form.
        NotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}.")
    return fields_of(kind, yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


def fields_of(kind: type[Fields], found: Any, where: str) -> Fields:
    """
    The same of a part of such a file.

    Args:
        where: it was found, for the message.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type] # TypeVar has no bound for dataclasses
    if not isinstance(found, dict) or set(found) != set(names):
        raise InputError(f"{where} must hold {', '.join(names)}.")
    values: dict[str, Any] = {name: {} if value is None else value for name, value in found.items()}
    return kind(**values)
