"""The size to which an image is resized for the model."""

import sys

from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.image_utils import SizeDict


def resized_size(image_size: tuple[int, int], size: SizeDict, patch: tuple[int, int], cropped: bool) -> tuple[int, int]:
    """
    The (height, width) to which an image is resized. If its proportions are kept, and it is not cropped afterwards, the
    sides are rounded to multiples of the patch size.

    Args:
        image_size: its (height, width).
        size: as the processors of transformers take it: `height` and `width`; or one or both of `shortest_edge` and
            `longest_edge`; or `max_height` and `max_width`; or `min_pixels` and `max_pixels`.
    """
    if size.height and size.width:
        return size.height, size.width
    if cropped and size.shortest_edge:
        height, width = get_size_with_aspect_ratio(image_size, size.shortest_edge, size.longest_edge)
        return height, width
    pixels, longest = image_size[0] * image_size[1], size.longest_edge or sys.maxsize
    most = (size.max_height or longest, size.max_width or longest)
    scale = min(most[0] / image_size[0], most[1] / image_size[1])
    if size.shortest_edge:
        scale = min(scale, size.shortest_edge / min(image_size))
    if size.max_pixels:
        scale = (min(max(pixels, size.min_pixels or 0), size.max_pixels) / pixels) ** 0.5
        most = (size.max_pixels // patch[1], size.max_pixels // patch[0])  # of a strip of patches
    if scale >= sys.maxsize / max(image_size):
        raise ValueError(f"size must give height and width, an edge, or numbers of pixels, got {size}.")
    step = (1, 1) if cropped else patch
    height, width = (
        max(1, min(round(side * scale / one), limit // one)) * one
        for side, limit, one in zip(image_size, most, step, strict=True)
    )
    return height, width


__all__ = ["resized_size"]
