"""
Maps of probabilities as colours, on their own and over a photograph.

All scales show probabilities from 0 to 1, the same for every class and image, without rescaling. People with common
colour-vision deficiencies can distinguish the colours.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .captions_pm_vit import Colour, Place, draw_captions, with_scale
from .image_loading_pm_vit import load_image

# Nine support points of 'cividis' (Nunez, Anderton, Renslow, 2018), equally spaced from 0 to 1.
_CIVIDIS = np.array(
    [
        (0, 34, 78),
        (18, 53, 112),
        (59, 73, 108),
        (87, 93, 109),
        (112, 113, 115),
        (138, 134, 120),
        (165, 156, 116),
        (195, 179, 105),
        (254, 232, 56),
    ]
)
# Okabe and Ito, *Color Universal Design* (2008); first the colours that are rare in photographs.
CLASS_COLOURS: list[Colour] = [
    (213, 94, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
]
_INK: tuple[Colour, Colour] = (32, 32, 32), (255, 255, 255)  # a dark and a white rim: visible on any background
_STRIPE = 2**17  # pixels that are painted at a time: as many as a processor's cache holds


def heatmap(probabilities: np.ndarray) -> Image.Image:
    """
    A map `(height, width)` of probabilities in colours from dark blue (0) to yellow (1).

    Example:
        >>> image = heatmap(np.array([[0.0, 1.0]]))
        >>> image.size, image.getpixel((0, 0)), image.getpixel((1, 0))
        ((2, 1), (0, 34, 78), (254, 232, 56))
    """
    values = _probabilities(probabilities)
    points = np.linspace(0, 1, len(_CIVIDIS))
    channels = [np.interp(values, points, _CIVIDIS[:, channel]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, -1).round().astype(np.uint8))


def overlay(
    image: Image.Image,
    heatmaps: np.ndarray,
    threshold: float | None = 0.5,
    opacity: float = 0.6,
    captions: Sequence[str] = (),
    scale: bool = False,
) -> Image.Image:
    """
    The photograph, with a tint where the classes are.

    Under a tint the photograph loses its own colours, so that the tint is visible on any of them. It is painted in
    stripes, which need little memory beside the image.

    Args:
        image: of any mode; it is turned upright and converted by [`load_image`], as it is explained.
        heatmaps: probabilities `(height, width)` of one class, or `(K, height, width)` of several, at the image's size.
            The tint of class k has the colour `CLASS_COLOURS[k]`, and its opacity is `opacity` times the probability.
        threshold: probability whose contour is drawn as a line; `None` for none.
        captions: one per class, written above its contour; an image with a side below 96 pixels gets none.
        scale: draw the scale of the tints beside the image. The picture becomes wider.

    Raises:
        ValueError: if a map does not have the size of the image, or has values outside [0, 1]; or if there are
            captions, but not one per class.
    """
    image, heatmaps = load_image(image), _probabilities(heatmaps)
    heatmaps = heatmaps[None] if heatmaps.ndim == 2 else heatmaps
    if heatmaps.shape[1:] != (image.height, image.width):
        raise ValueError(
            f"expected maps of the image's size (height, width) = {(image.height, image.width)}, "
            f"got {heatmaps.shape[1:]}."
        )
    if captions and len(captions) != len(heatmaps):
        raise ValueError(f"expected a caption for each of {len(heatmaps)} maps, got {len(captions)}.")
    colours = [CLASS_COLOURS[k % len(CLASS_COLOURS)] for k in range(len(heatmaps))]
    painted = image.copy()
    _paint(painted, heatmaps, colours, threshold, opacity)
    if captions:
        draw_captions(painted, captions, colours, [_summit(one, threshold) for one in heatmaps])
    return with_scale(painted, colours, opacity, threshold) if scale else painted


def _paint(
    picture: Image.Image, heatmaps: np.ndarray, colours: Sequence[Colour], threshold: float | None, opacity: float
) -> None:
    """Tints and contours, in stripes: the values of a large picture need much memory."""
    width, height = picture.size
    line = max(1, round(min(width, height) / 250))
    step = max(_STRIPE // max(1, width), 12 * line)
    for row in range(0, height, step):
        end = min(row + step, height)
        stripe = picture.crop((0, row, width, end))
        for one, colour in zip(heatmaps[:, row:end], colours, strict=True):
            grey = stripe.convert("L").convert("RGB")
            stripe.paste(grey, mask=_levels(one**2))  # weak tints leave the photograph as it is
            stripe.paste(Image.new("RGB", stripe.size, colour), mask=_levels(opacity * one))
        first = max(0, row - 3 * line)
        for one, colour in zip(heatmaps, colours, strict=True) if threshold is not None else ():
            mask = one[first : end + 3 * line] >= threshold
            columns = np.flatnonzero(mask.any(0))
            if not len(columns):
                continue
            left = max(0, int(columns[0]) - 1)
            mask = mask[:, left : columns[-1] + 2]  # with what is beside it
            for ink in (_INK[0], colour, _INK[1]):
                inner = _eroded(mask, line)
                stripe.paste(ink, (left, 0), Image.fromarray((mask & ~inner)[row - first : end - first]))
                mask = inner
        picture.paste(stripe, (0, row))


def _levels(shares: np.ndarray) -> Image.Image:
    """Shares in [0, 1] as opacities in 8 bits."""
    return Image.fromarray((shares * 255 + 0.5).clip(0, 255).astype(np.uint8))


def _eroded(mask: np.ndarray, steps: int) -> np.ndarray:
    """The pixels of a mask from which no pixel outside of it is within so many steps along rows and columns."""
    for _ in range(steps):
        inner = mask.copy()
        inner[1:] &= mask[:-1]
        inner[:-1] &= mask[1:]
        inner[:, 1:] &= mask[:, :-1]
        inner[:, :-1] &= mask[:, 1:]
        mask = inner
    return mask


def _summit(one: np.ndarray, threshold: float | None) -> Place | None:
    """The (x, y) of the middle of the first row of a map that reaches the threshold; `None` if none does."""
    reached = one >= (one.max() if threshold is None else threshold)
    rows = reached.any(1)
    if not rows.any():
        return None
    y = int(rows.argmax())
    return int(np.flatnonzero(reached[y]).mean()), y


def _probabilities(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"expected probabilities in [0, 1], got {values.min()} to {values.max()}.")
    return values


__all__ = ["CLASS_COLOURS", "heatmap", "overlay"]
