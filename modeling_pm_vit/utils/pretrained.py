"""The checkpoint that ships with the package."""

from pathlib import Path

from .errors import NotFoundError

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""The folder of the checkpoint that ships with the package: weights, configuration, image processor, model card."""


def require_pretrained(folder: Path = PRETRAINED) -> str:
    """
    The folder of the checkpoint that ships with the package.

    Raises:
        NotFoundError: if it is not there.
    """
    if not (folder / "config.json").is_file():
        raise NotFoundError(
            "no model is given, and this installation has no checkpoint of its own: give a folder or Hub id before the "
            "images, as in `pm-vit explain MODEL photo.jpg`."
        )
    return str(folder)
