"""Decoding of the values of an image or mask column."""

from pathlib import Path
from typing import Any

from ..image_loading_pm_vit import open_image

# Errors of decoders and of values that are not as expected.
BAD_ROW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError)


def decode_value(value: Any) -> Any:
    """
    Args:
        value: a value of an image or mask column: encoded (bytes, a `Path`, or the dictionary of an undecoded
            `datasets.Image`) or anything else (an image, an array, a list of boxes, `None`).

    Returns:
        The decoded image if the value was encoded; any other value unchanged. `None` if there is none.

    Raises:
        ValueError, FileNotFoundError: if the image cannot be read, by the rules of [`open_image`].
    """
    value = encoded_value(value)
    return open_image(value) if isinstance(value, (bytes, Path)) else value


def encoded_value(value: Any) -> Any:
    """The bytes or the `Path` of an encoded value; any other value unchanged."""
    if isinstance(value, dict) and set(value) in ({"bytes", "path"}, {"bytes"}, {"path"}):
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
        value = Path(value) if isinstance(value, str) else value
    return value
