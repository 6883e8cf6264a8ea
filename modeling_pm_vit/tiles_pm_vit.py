"""Large images in overlapping tiles: the maps of the tiles become one map, their scores one score for each class."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from .explanation_pm_vit import Prediction
from .image_processing_pm_vit import PMViTImageProcessor, patch_sides

OVERLAP = 0.25  # default share of a tile's side that the next tile shows again
MAP_BYTES = 2**28  # of the maps of all classes; if they take more, the tiles are computed twice


@dataclass(frozen=True)
class Tiling:
    """
    Tiles that cover an image. A tile is what the model sees at a time; a cell is the square of the image that one of
    its patches shows.

    Args:
        size: (height, width) of the image in pixels.
        cell: side of a cell in pixels.
        grid: rows and columns of cells in a tile.
        overlap: share of a tile's side that the next tile shows again, in [0, 0.9].
    """

    size: tuple[int, int]
    cell: int
    grid: tuple[int, int]
    overlap: float = OVERLAP

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of a tile in pixels."""
        return self.grid[0] * self.cell, self.grid[1] * self.cell

    @property
    def is_single(self) -> bool:
        """Whether the whole image fits into a tile."""
        return self.size[0] <= self.tile[0] and self.size[1] <= self.tile[1]

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells that cover the image, at least those of one tile."""
        rows, columns = (max(-(-side // self.cell), count) for side, count in zip(self.size, self.grid, strict=True))
        return rows, columns

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and column of the first cell of each tile, evenly spread; the last tiles end at the last cells."""
        rows, columns = (
            _starts(count, length, self.overlap) for count, length in zip(self.cells, self.grid, strict=True)
        )
        return [(row, column) for row in rows for column in columns]


def tiling_of(size: tuple[int, int], tile: int, overlap: float, processor: PMViTImageProcessor) -> Tiling:
    """
    The tiles of an image.

    Args:
        size: (height, width) of the image in pixels.
        tile: height of a tile in pixels; rounded to whole pixels for each patch of the model. The height of the model's
            input shows the image at its full resolution.
        overlap: share of a tile's side that the next tile shows again, in [0, 0.9].
        processor: of the model, whose input has a fixed size.

    Raises:
        ValueError: if a value is out of range, or the model's input has no fixed size.
    """
    if isinstance(tile, bool) or not isinstance(tile, (int, np.integer)) or tile < 1:
        raise ValueError(f"tile must be the height of a tile in pixels, an integer of at least 1, got {tile!r}.")
    if isinstance(overlap, bool) or not isinstance(overlap, (int, float)) or not 0 <= overlap <= 0.9:
        raise ValueError(f"overlap must be a share of a tile's side, a number in 0 ... 0.9, got {overlap!r}.")
    height, width = input_size(processor)
    patch_height, patch_width = patch_sides(processor.patch_size)
    grid = (height // patch_height, width // patch_width)
    return Tiling(size, max(1, round(tile / grid[0])), grid, overlap)


def input_size(processor: PMViTImageProcessor) -> tuple[int, int]:
    """(height, width) of the model's input; ValueError if it depends on the image."""
    fixed: Any = processor.size
    if processor.do_pad and processor.pad_size:
        fixed = processor.pad_size
    elif processor.do_center_crop:
        fixed = processor.crop_size
    if not fixed.height or not fixed.width:
        raise ValueError("tiles need a model input of fixed size: leave keep_aspect_ratio out, or leave tile out.")
    return fixed.height, fixed.width


def processor_of_tiles(processor: PMViTImageProcessor, cell: int) -> PMViTImageProcessor:
    """A copy whose methods `post_process_...` take the predictions of [`predict_tiles`]: a patch is a cell."""
    whole = copy(processor)
    whole.do_resize, whole.do_center_crop, whole.do_pad, whole.pad_size = False, False, True, None
    whole.patch_size = cell
    return whole


def predict_tiles(
    image: Image.Image,
    tiling: Tiling,
    processor: PMViTImageProcessor,
    predict: Callable[[torch.Tensor], Prediction],
    classes: int | list[int],
    batch_size: int = 8,
) -> Prediction:
    """
    The prediction of a large image, from those of its tiles. At no time is there more than the image, one batch of
    tiles and the map.

    - The probability of a class at a cell is the mean over the tiles that show it, weighted by the distance of the cell
      from the border of the tile (1 in the outermost row, 2 in the next).
    - The score of a class is the highest of all tiles: what is seen in one place is seen in the image. So a class for
      "nothing there" has a high score too.

    Args:
        image: upright, in RGB; or an object with its `size` (width, height) and `crop`.
        tiling: of this image, see [`tiling_of`].
        processor: of the model.
        predict: from `pixel_values` to predictions of all classes, in their order.
        classes: a number of classes, those of the highest scores first, or their indices.
        batch_size: number of tiles in a batch.

    Returns:
        A batch of one, with a value per cell, for the processor of [`processor_of_tiles`].
    """
    scores, total = None, None
    for places, prediction in _predictions(image, tiling, processor, predict, batch_size):
        highest = prediction.scores.amax(0)
        scores = highest if scores is None else scores.maximum(highest)
        if total is None and len(scores) * np.prod(tiling.cells) * 4 <= MAP_BYTES:
            total = torch.zeros(len(scores), *tiling.cells)
        if total is not None:
            _add(total, places, _probabilities(prediction.mask_logits), tiling)
    assert scores is not None  # there is at least one tile
    chosen = scores.topk(min(classes, len(scores))).indices if isinstance(classes, int) else torch.tensor(classes)
    if total is not None:
        total = total[chosen]
    else:
        total = torch.zeros(len(chosen), *tiling.cells)
        for places, prediction in _predictions(image, tiling, processor, predict, batch_size):
            _add(total, places, _probabilities(prediction.mask_logits[:, chosen]), tiling)
    weights = torch.zeros(1, *tiling.cells)
    _add(weights, tiling.places, torch.ones(len(tiling.places), 1, 1, 1), tiling)
    return Prediction(chosen[None], scores[chosen][None], (total / weights).double().logit()[None])


def _predictions(
    image: Any,
    tiling: Tiling,
    processor: PMViTImageProcessor,
    predict: Callable[[torch.Tensor], Prediction],
    batch_size: int,
) -> Iterator[tuple[list[tuple[int, int]], Prediction]]:
    """Batches of tiles: their places and predictions."""
    height, width = input_size(processor)
    whole = {"height": height, "width": width}
    resized: dict[str, Any] = {"do_resize": True, "size": whole, "do_center_crop": False, "do_pad": False}
    for first in range(0, len(tiling.places), batch_size):
        places = tiling.places[first : first + batch_size]
        inputs = processor([_tile(image, tiling, place) for place in places], return_tensors="pt", **resized)
        yield places, predict(inputs["pixel_values"])


def _tile(image: Any, tiling: Tiling, place: tuple[int, int]) -> Image.Image:
    """A tile; beyond the right and lower border of the image its last pixels are repeated."""
    (height, width), (tile_height, tile_width) = tiling.size, tiling.tile
    top, left = place[0] * tiling.cell, place[1] * tiling.cell
    bottom, right = min(top + tile_height, height), min(left + tile_width, width)
    tile: Image.Image = image.crop((left, top, right, bottom))
    missing = (tile_height - tile.height, tile_width - tile.width)
    if any(missing):
        tile = Image.fromarray(np.pad(np.asarray(tile), ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge"))
    return tile


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    return logits.detach().cpu().double().sigmoid().float()


def _add(total: torch.Tensor, places: list[tuple[int, int]], maps: torch.Tensor, tiling: Tiling) -> None:
    """Add the weighted maps of tiles `(tiles, K, rows, columns)` to the sums `(K, rows, columns)`."""
    rows, columns = tiling.grid
    down, across = (torch.arange(1, length + 1).minimum(torch.arange(length, 0, -1)) for length in (rows, columns))
    for (row, column), one in zip(places, maps, strict=True):
        total[:, row : row + rows, column : column + columns] += one * (down[:, None] * across)


def _starts(count: int, length: int, overlap: float) -> list[int]:
    """The first cells of the fewest tiles that cover `count` cells and overlap by at least this share."""
    step = max(1, int(length * (1 - overlap)))
    tiles = 1 + -(-(count - length) // step)
    return [round(number * (count - length) / max(1, tiles - 1)) for number in range(tiles)]


__all__ = ["OVERLAP", "Tiling", "input_size", "predict_tiles", "processor_of_tiles", "tiling_of"]
