"""The confusion matrix as a table in a CSV file and as a figure."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..utils.files import atomic_write, write_text

CONFUSION_TABLE = "confusion_matrix.csv"
_NUMBERED = 30  # classes; in the figure of more, cells have no numbers and classes no names


def write_confusion_matrix(folder: Path, confusion: np.ndarray, names: Sequence[str]) -> tuple[Path, Path]:
    """
    Write `confusion_matrix.csv`, the number of images by true class (rows) and predicted class (columns), and
    `confusion_matrix.png`, where the colour is the share of the true class.

    Args:
        folder: is created if needed.
        confusion: `(K, K)`.
        names: of the classes.

    Returns:
        Both paths.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *names])
    writer.writerows([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
    table, picture = folder / CONFUSION_TABLE, folder / "confusion_matrix.png"
    write_text(table, text.getvalue())
    with atomic_write(picture) as part:
        _draw(part, confusion, names)
    return table, picture


def _draw(path: Path, confusion: np.ndarray, names: Sequence[str]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(names)
    side = min(14.0, 2.2 + 0.62 * count)
    figure = Figure(figsize=(side, side), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    totals = confusion.sum(1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="predicted class", ylabel="true class (number of images)")
    if count <= _NUMBERED:
        shown = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
        axis.set_xticks(range(count), shown, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(count), [f"{n} ({k})" for n, k in zip(shown, totals[:, 0].tolist(), strict=True)])
        for (row, column), number in np.ndenumerate(confusion):
            if number:
                colour = "white" if shares[row, column] > 0.55 else "black"
                axis.text(column, row, str(number), ha="center", va="center", color=colour)
    figure.savefig(path, dpi=110, format="png")
