"""The least share of an image that its class takes, from the masks at hand."""

import numpy as np

from ..data.dataset import ExampleDataset
from ..data.decoding import BAD_ROW_ERRORS
from ..data.rows import rows_to_look_at

WITHOUT_MASKS = 0.25
_QUANTILE = 0.1
_LOOKED_AT = 200  # masks


def default_min_area(train_set: ExampleDataset) -> float:
    """
    The default of `--min_area`: the share of the image below which a tenth of the objects lie, of up to 200 masks that
    are spread over the rows; at least a patch. Empty masks, and rows that cannot be read, do not count. `WITHOUT_MASKS`
    if there is no mask.
    """
    rows, transform = train_set.sources[-1]
    column = transform.mask_column
    looked = rows_to_look_at(rows, column, _LOOKED_AT) if column is not None and column in rows.features else []
    areas = []
    for index in looked:
        try:
            decoded = transform.decode(rows[index])
        except BAD_ROW_ERRORS:  # told in training
            continue
        planes = decoded.planes[:-1] if decoded.ignored else decoded.planes
        areas += [plane.mean() / (255 if decoded.scale > 1 else 1) for plane in planes if plane.any()]
    if not areas:
        return WITHOUT_MASKS
    height, width = transform.grid
    return float(np.clip(np.quantile(areas, _QUANTILE), 1 / (height * width), 0.9))
