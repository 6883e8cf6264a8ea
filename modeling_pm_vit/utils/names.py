"""Names that a user chooses from a registry."""

from collections.abc import Collection, Iterable, Mapping

from .errors import InputError


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
