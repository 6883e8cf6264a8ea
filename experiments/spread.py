"""Mean and standard deviation over the seeds, as text."""

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float | None], digits: int = 1, empty: str = "") -> str:
    """`84.9 ± 0.9`, of the values that are known; a single one has no spread; `empty` if there is none."""
    known = [value for value in values if value is not None and value == value]
    if not known:
        return empty
    return f"{np.mean(known):.{digits}f}" + (f" ± {np.std(known, ddof=1):.{digits}f}" if len(known) > 1 else "")
