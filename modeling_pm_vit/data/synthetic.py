"""The built-in synthetic image set: drawn objects of ten classes on cluttered backgrounds, with exact masks.

Each image shows one large object, whose class is the label, and up to two small objects of other classes. Pairs of
classes share a colour, so that shape and pattern distinguish them, and the clutter has the colours of all classes.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image, ImageDraw

from ..utils.errors import InputError

CLASSES = ["ball", "cross", "star", "moon", "drop", "tile", "brick", "ring", "leaf", "clover"]
_RED, _YELLOW, _BLUE, _BROWN, _GREEN = (214, 48, 49), (240, 200, 40), (45, 105, 205), (170, 95, 45), (60, 160, 70)
_COLOURS = dict(zip(CLASSES, (c for c in (_RED, _YELLOW, _BLUE, _BROWN, _GREEN) for _ in range(2)), strict=True))
_SPLITS = {"train": 0, "validation": 1, "test": 2}
_SUPERSAMPLING = 4
_PART = 2000  # images that one process draws at a time: 20 seconds


def synthetic_dataset(
    split: str = "train", size: int = 1000, image_size: int = 64, mask_fraction: float = 1.0, seed: int = 0
) -> Dataset:
    """
    The same images for the same arguments, on every machine.

    Args:
        split: `"train"`, `"validation"` or `"test"`: different images of the same kind.
        size: number of images; a smaller set is the beginning of a larger one.
        image_size: side in pixels.
        mask_fraction: share of the images that come with a mask, evenly spread; the others have `None`.
        seed: of the random choices.

    Returns:
        A `datasets.Dataset` with the columns `image`, `label` (of the large object) and `mask`, a map of
        class index + 1, 0 where there is no object.
    """
    if split not in _SPLITS:
        raise InputError(f"the synthetic set has no split {split!r}; it has {', '.join(_SPLITS)}.")
    if not 0 <= mask_fraction <= 1:
        raise InputError(f"--mask_fraction must lie in [0, 1], got {mask_fraction}.")
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=CLASSES), "mask": ImageFeature()})
    parts = [(start, min(start + _PART, size)) for start in range(0, max(size, 1), _PART)]
    arguments = {"split": split, "parts": parts, "image_size": image_size, "fraction": mask_fraction, "seed": seed}
    # `datasets` caches generated sets by their arguments; the hash of this file makes a change of the code one of them.
    arguments["code"] = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    processes = min(len(parts), os.cpu_count() or 1)  # each draws some of the parts
    return Dataset.from_generator(
        _rows, features=features, gen_kwargs=arguments, num_proc=processes if processes > 1 else None
    )


def _rows(
    split: str, parts: list[tuple[int, int]], image_size: int, fraction: float, seed: int, code: str
) -> Iterator[dict[str, Any]]:
    for index in chain.from_iterable(range(*part) for part in parts):
        image, label, mask = draw_scene(np.random.default_rng((seed, _SPLITS[split], index)), image_size)
        has_mask = math.floor((index + 1) * fraction) > math.floor(index * fraction)
        yield {"image": image, "label": label, "mask": mask if has_mask else None}


def draw_scene(rng: np.random.Generator, image_size: int = 64) -> tuple[Image.Image, int, Image.Image]:
    """One image, the class of its large object, and its map of class index + 1."""
    canvas_size = image_size * _SUPERSAMPLING
    canvas = _draw_background(rng, canvas_size)
    mask = np.zeros((image_size, image_size), np.uint8)
    classes = rng.permutation(len(CLASSES))[: 1 + rng.integers(0, 3)]
    placed: list[tuple[float, float, float]] = []
    for number, label in enumerate(classes):
        radius = canvas_size * (rng.uniform(0.22, 0.32) if number == 0 else rng.uniform(0.1, 0.14))
        for _ in range(20):  # tries to find a free position; a small object without one is left out
            x, y = rng.uniform(radius, canvas_size - radius, 2)
            if all(math.hypot(x - a, y - b) > radius + r for a, b, r in placed):
                placed.append((x, y, radius))
                stamp, shape = _draw_object(rng, CLASSES[label], radius)
                corner = (round(x - stamp.width / 2), round(y - stamp.height / 2))
                canvas.paste(stamp, corner, shape)
                cover = Image.new("L", canvas.size)
                cover.paste(shape, corner)
                mask[np.asarray(cover.resize((image_size, image_size), Image.Resampling.BOX)) >= 128] = label + 1
                break
    image = canvas.resize((image_size, image_size), Image.Resampling.BOX)
    noise = rng.normal(0, 6, (image_size, image_size, 3))
    image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    return image, int(classes[0]), Image.fromarray(mask)


def _draw_background(rng: np.random.Generator, size: int) -> Image.Image:
    """A smooth gradient with lines, discs and rectangles in muted tones of all objects' colours."""
    corners = rng.uniform(60, 200, (2, 2, 3)).astype(np.uint8)
    ground = Image.fromarray(corners).resize((size, size), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(ground)
    palette = list(_COLOURS.values())
    for _ in range(rng.integers(6, 13)):
        colour = _jitter(rng, palette[rng.integers(len(palette))], 40, mute=rng.uniform(0.3, 0.7))
        x, y = rng.uniform(0, size, 2)
        length = rng.uniform(0.03, 0.12) * size
        kind = rng.integers(3)
        if kind == 0:
            end = rng.uniform(0, size, 2)
            draw.line((x, y, *end), fill=colour, width=round(rng.integers(2, 8) * size / 256))
        elif kind == 1:
            draw.ellipse((x - length / 2, y - length / 2, x + length / 2, y + length / 2), fill=colour)
        else:
            draw.rectangle((x, y, x + length, y + length * rng.uniform(0.3, 1)), fill=colour)
    return ground


def _draw_object(rng: np.random.Generator, name: str, radius: float) -> tuple[Image.Image, Image.Image]:
    """A square image of the object, randomly rotated, and its shape (255 inside)."""
    side = 2 * math.ceil(radius)
    shape = Image.new("L", (side, side))
    draw = ImageDraw.Draw(shape)
    r = side / 2

    def polygon(points: Iterable[tuple[float, float]]) -> None:  # in units of the radius, about the centre
        draw.polygon([(r + r * x, r + r * y) for x, y in points], fill=255)

    def disc(x: float, y: float, size: float, fill: int = 255) -> None:
        draw.ellipse([r + r * (x - size), r + r * (y - size), r + r * (x + size), r + r * (y + size)], fill=fill)

    def star(points: int, inner: float) -> None:
        angles = [math.pi * i / points for i in range(2 * points)]
        polygon([(math.sin(a) * s, -math.cos(a) * s) for a, s in zip(angles, [1, inner] * points, strict=True)])

    match name:
        case "ball":
            disc(0, 0, 0.9)
        case "cross":
            polygon([(-0.33, -0.95), (0.33, -0.95), (0.33, 0.95), (-0.33, 0.95)])
            polygon([(-0.95, -0.33), (0.95, -0.33), (0.95, 0.33), (-0.95, 0.33)])
        case "star":
            star(5, 0.45)
        case "moon":
            disc(0, 0, 0.95)
            disc(0.5, 0, 0.75, fill=0)
        case "drop":
            disc(0, 0.3, 0.65)
            polygon([(0, -1), (0.58, 0.03), (-0.58, 0.03)])
        case "tile":
            polygon([(0, -1), (1, 0), (0, 1), (-1, 0)])
        case "brick":
            polygon([(-0.95, -0.5), (0.95, -0.5), (0.95, 0.5), (-0.95, 0.5)])
        case "ring":
            disc(0, 0, 0.95)
            disc(0, 0, 0.45, fill=0)
        case "leaf":
            a = np.linspace(0, math.pi, 20)
            polygon([(math.sin(t) * 0.5, -math.cos(t)) for t in a] + [(-math.sin(t) * 0.5, math.cos(t)) for t in a])
        case "clover":
            for x, y in ((0, -0.5), (0.5, 0), (0, 0.5), (-0.5, 0)):
                disc(x, y, 0.48)

    colour = _jitter(rng, _COLOURS[name], 25)
    stamp = Image.new("RGB", (side, side), colour)
    draw = ImageDraw.Draw(stamp)
    pale = tuple(int(c + (255 - c) * 0.75) for c in colour)
    dark = tuple(int(c * 0.45) for c in colour)
    match name:
        case "ball":
            draw.pieslice((0, 0, side, side), 0, 90, fill=pale)
            draw.pieslice((0, 0, side, side), 180, 270, fill=pale)
        case "tile":
            step = side / 4
            for i in range(4):
                for j in range(i % 2, 4, 2):
                    draw.rectangle((i * step, j * step, (i + 1) * step, (j + 1) * step), fill=pale)
        case "brick":
            for y in (0.5, 0.75):
                draw.line((0, y * side, side, y * side), fill=pale, width=max(1, side // 16))
            for x in (0.25, 0.5, 0.75):
                draw.line((x * side, 0, x * side, side), fill=pale, width=max(1, side // 16))
        case "moon":
            for x, y, size in ((-0.6, -0.3, 0.16), (-0.65, 0.25, 0.2), (-0.25, 0.6, 0.13), (-0.2, -0.75, 0.12)):
                disc_box = [r + r * (x - size), r + r * (y - size), r + r * (x + size), r + r * (y + size)]
                draw.ellipse(disc_box, fill=dark)
        case "leaf":
            draw.line((r, 0, r, side), fill=dark, width=max(1, side // 12))
    angle = rng.uniform(0, 360)
    return (
        stamp.rotate(angle, Image.Resampling.BICUBIC, fillcolor=colour),
        shape.rotate(angle, Image.Resampling.BICUBIC),
    )


def _jitter(rng: np.random.Generator, colour: tuple[int, ...], amount: int, mute: float = 0.0) -> tuple[int, ...]:
    """The colour varied by up to `amount` a channel, drawn towards grey by `mute`."""
    varied = np.array(colour) + rng.integers(-amount, amount + 1, 3)
    varied = varied * (1 - mute) + varied.mean() * mute
    return tuple(int(c) for c in varied.clip(0, 255))
