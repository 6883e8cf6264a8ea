"""Names that a user chooses from a registry, or lists in a file."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from .errors import InputError, NotFoundError


def listed_names(values: Sequence[str], option: str) -> list[str]:
    """
    Names as an option gives them: the names, or one .txt file with a name per line.

    Raises:
        NotFoundError: if there is no such file.
        InputError: if a name comes twice.
    """
    names = list(values)
    if len(names) == 1 and names[0].endswith(".txt"):
        file = Path(names[0])
        if not file.is_file():
            raise NotFoundError(f"there is no file {file} of class names ({option}).")
        names = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise InputError(f"{option} has {twice[0]!r} more than once.")
    return names


def resolve_names(
    names: Iterable[str], known: Collection[str], renamed: Mapping[str, str], what: str
) -> tuple[str, ...]:
    """
    Args:
        names: as a user gave them; "all" stands for every known name.
        known: the names of the registry, in its order.
        renamed: former names, which are still accepted, and what they are called now.
        what: the kind of thing, for the message.

    Returns:
        Each name once, by its present name; every known name if one of them is "all".

    Raises:
        InputError: if a name is unknown; lists the known ones.

    Example:
        >>> known, renamed = ["pointing", "on_target_mass"], {"own_object": "on_target_mass"}
        >>> resolve_names(["own_object", "pointing"], known, renamed, "metric")
        ('on_target_mass', 'pointing')
    """
    found = list(dict.fromkeys(renamed.get(name, name) for name in names))
    for name in found:
        if name != "all" and name not in known:
            raise InputError(f"there is no {what} {name!r}; choose from: {', '.join(known)}.")
    return tuple(known) if "all" in found else tuple(found)
