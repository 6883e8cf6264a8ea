"""The share of an image on which its label asks for its class, from the masks at hand."""

import numpy as np

from ..configuration_pm_vit import PMViTConfig
from ..data.dataset import ExampleDataset
from ..data.decoding import BAD_ROW_ERRORS
from ..data.rows import rows_to_look_at

WITHOUT_MASKS = PMViTConfig.min_area
_LOOKED_AT = 1000  # masks
_ENOUGH = 3  # masks of a class


def default_min_area(train_set: ExampleDataset, num_classes: int) -> float | list[float]:
    """
    The default of `--min_area`: for each class, the median share of the image that its objects take, of up to 1,000
    masks that are spread over the rows; at least a patch. Empty masks, and rows that cannot be read, do not count. A
    class with fewer than three gets the median of all objects. `WITHOUT_MASKS` if there is no mask.
    """
    rows, transform = train_set.sources[-1]
    column = transform.mask_column
    if column is None or column not in rows.features:
        return WITHOUT_MASKS
    areas: list[list[float]] = [[] for _ in range(num_classes)]
    for index in rows_to_look_at(rows, rows.rows_with(column), _LOOKED_AT):
        try:
            decoded = transform.decode(rows[index])
        except BAD_ROW_ERRORS:  # told in training
            continue
        planes = decoded.planes[:-1] if decoded.ignored else decoded.planes
        for number, plane in zip(decoded.classes, planes, strict=False):  # further classes have no plane
            if plane.any():
                areas[number].append(plane.mean() / (255 if decoded.scale > 1 else 1))
    everything = [area for own in areas for area in own]
    if not everything:
        return WITHOUT_MASKS
    height, width = transform.grid
    medians = [np.median(own if len(own) >= _ENOUGH else everything) for own in areas]
    return [float(np.clip(median, 1 / (height * width), 0.9)) for median in medians]


def described_min_area(min_area: float | list[float]) -> str:
    """A line for the user."""
    areas = sorted({round(100 * area, 1) for area in (min_area if isinstance(min_area, list) else [min_area])})
    between = f"{areas[0]:.1f} to {areas[-1]:.1f}" if len(areas) > 1 else f"{areas[0]:.1f}"
    return f"a label asks for half the probability of its class on {between} % of its image (--min_area)"
