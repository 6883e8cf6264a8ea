"""Pictures of an evaluation: curves, and a sheet of all explanations side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..explainers import Explainer
from ..metrics.heatmaps import checked_heatmaps, min_max, resized
from ..metrics.metric import Records
from ..metrics.perturbation import SHARES
from ..visualization import CLASS_COLOURS, figure, heatmap_image
from .explained import ClassifiedBatch

_NEUTRAL = "0.6"


def curve_plot(path: Path, curves: Mapping[str, Mapping[str, np.ndarray]], x_title: str, y_title: str) -> None:
    """
    Curves of all explainers, one panel a test; PM-ViT's stands out.

    Args:
        path: of the PNG.
        curves: for each test the curve `(points,)` of each explainer, by title. Perturbation curves have 10 points,
            over shares of 0 to .9; all others run from 0 to 1.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    picture, axes = plt.subplots(1, len(curves), figsize=(5.2 * len(curves), 4.2), squeeze=False, sharey=True)
    styles = ["-", "--", ":", "-."]
    for axis, (test, explainers) in zip(axes[0], curves.items(), strict=True):
        for number, (title, curve) in enumerate(explainers.items()):
            x = SHARES if len(curve) == len(SHARES) else np.linspace(0, 1, len(curve))
            ours = title == "PM-ViT"
            colour = "black" if ours else np.array(CLASS_COLOURS[number % len(CLASS_COLOURS)]) / 255
            style = "-" if ours else styles[number // len(CLASS_COLOURS) % len(styles)]
            width, layer = (2.6, 3) if ours else (1.2, 2)
            axis.plot(x, curve, style, color=colour, linewidth=width, label=title, zorder=layer)
        axis.set(title=test, xlabel=x_title, xlim=(0, 1), ylim=(0, 1))
        axis.grid(color=_NEUTRAL, alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel(y_title)
    axes[0][-1].legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False, fontsize=9)
    picture.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(picture)


def mean_curves(records: Mapping[str, Records], name: str, titles: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The mean over the images of the curve `name` in each explainer's records, by the explainer's title."""
    return {titles[explainer]: np.asarray(found[name], float).mean(0) for explainer, found in records.items()}


def explanation_sheet(
    judged: ClassifiedBatch, explainers: Mapping[str, Explainer], names: list[str], side: int = 150
) -> Image.Image:
    """A row an image: the photograph with its true and its predicted class, then every explainer's map of the true one.

    Probabilities keep their scale; every other map is stretched to its own smallest and largest value.
    """
    labels = torch.as_tensor(judged.batch.labels, device=judged.subject.device)
    pixels = judged.pixel_values.to(judged.subject.dtype)
    rows = []
    for image, label, predicted in zip(
        judged.batch.images, judged.batch.labels.tolist(), judged.predicted.tolist(), strict=True
    ):
        said = "" if predicted == label else f" (says {names[predicted]})"
        rows.append([(names[label] + said, image.resize(pixels.shape[:1:-1]))])
    for explainer in explainers.values():
        maps = resized(checked_heatmaps(explainer(judged.subject.model, pixels, labels)), pixels.shape[-2:])
        maps = maps if explainer.gives_probabilities else min_max(maps)
        for row, heatmap in zip(rows, maps, strict=True):
            grey = row[0][1].convert("L").convert("RGB")
            row.append((explainer.title, Image.blend(grey, heatmap_image(heatmap.clip(0, 1)), 0.65)))
    return figure(rows, side=side, scale=False)
