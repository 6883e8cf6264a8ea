"""Names that are a path or an id of the Hub: told apart before the Hub is asked, which is asked once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, get_session

from .errors import NotFoundError

_ANSWER_WITHIN = 5  # seconds


def require_path(name: str, what: str) -> bool:
    """
    Whether a name is an existing path. If not, it can only be the id of a repository.

    Args:
        name: a path or an id of the Hub, `NAME` or `OWNER/NAME`.
        what: the path is, for the message.

    Raises:
        NotFoundError: if it can only be a path, and there is none: it begins with `.`, `/` or `~`, has a backslash or
            more than one slash, or the folder before its slash exists.
    """
    path = Path(name)
    if path.exists():
        return True
    parent = path.parent
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1:
        raise NotFoundError(f"there is no {what} {name}.")
    if parent.name and parent.is_dir():
        raise NotFoundError(
            f"there is no {what} {name}: {parent} exists, but has no {path.name!r}. If you mean {name} of the Hub, run "
            f"the command where there is no folder {parent}."
        )
    return False


@contextmanager
def asking_once(name: str) -> Iterator[None]:
    """
    For a block that loads `name`, which may be an id of the Hub. Without a connection to the Hub its libraries retry
    for half a minute. Here they do not: what is in their cache is used, and everything else fails at once.
    """
    if constants.HF_HUB_OFFLINE or Path(name).exists() or _answers():
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _answers() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=_ANSWER_WITHIN)
    except Exception:  # of the HTTP library, whichever the Hub's library uses
        return False
    return True
