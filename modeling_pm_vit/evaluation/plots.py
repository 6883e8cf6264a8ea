"""Figures of an evaluation: curves, and a sheet of all explanations side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..explainers import Explainer
from ..metrics.heatmaps import checked_heatmaps, min_max, resized
from ..metrics.metric import Curves, Records
from ..visualization import CLASS_COLOURS, figure, heatmap_image
from .explained import ClassifiedBatch

_NEUTRAL = "0.6"


def curve_plot(path: Path, curves: Curves, records: Mapping[str, Records]) -> None:
    """
    Mean curves of all explainers, one panel each for what the metric declares; PM-ViT's is emphasised.

    Args:
        path: of the PNG.
        curves: what the metric draws.
        records: of each explainer, by title.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    count = len(curves.panels)
    picture, axes = plt.subplots(1, count, figsize=(5.2 * count, 4.2), squeeze=False, sharey=True)
    styles = ["-", "--", ":", "-."]
    for axis, (panel, key) in zip(axes[0], curves.panels.items(), strict=True):
        for number, (title, found) in enumerate(records.items()):
            curve = np.asarray(found[key], float).mean(0)
            x = np.linspace(0, 1, len(curve)) if curves.x is None else curves.x
            ours = title == "PM-ViT"
            colour = "black" if ours else np.array(CLASS_COLOURS[number % len(CLASS_COLOURS)]) / 255
            style = "-" if ours else styles[number // len(CLASS_COLOURS) % len(styles)]
            width, layer = (2.6, 3) if ours else (1.2, 2)
            axis.plot(x, curve, style, color=colour, linewidth=width, label=title, zorder=layer)
        axis.set(title=panel, xlabel=curves.x_title, xlim=(0, 1), ylim=(0, 1))
        axis.grid(color=_NEUTRAL, alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel(curves.y_title)
    axes[0][-1].legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False, fontsize=9)
    picture.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(picture)


def explanation_sheet(
    classified: ClassifiedBatch, explainers: Mapping[str, Explainer], names: list[str], side: int = 150
) -> Image.Image:
    """
    One row per image: the photograph with its true and its predicted class, then every explainer's map of the true one.

    Probabilities keep their scale; every other map is stretched between its smallest and its largest value.
    """
    labels = torch.as_tensor(classified.batch.labels, device=classified.classifier.device)
    pixels = classified.pixel_values.to(classified.classifier.dtype)
    rows = []
    for image, label, predicted in zip(
        classified.batch.images, classified.batch.labels.tolist(), classified.predicted.tolist(), strict=True
    ):
        said = "" if predicted == label else f" (says {names[predicted]})"
        rows.append([(names[label] + said, image.resize((pixels.shape[-1], pixels.shape[-2])))])
    for explainer in explainers.values():
        maps = resized(checked_heatmaps(explainer(classified.classifier.model, pixels, labels)), pixels.shape[-2:])
        maps = maps if explainer.gives_probabilities else min_max(maps)
        for row, heatmap in zip(rows, maps, strict=True):
            grey = row[0][1].convert("L").convert("RGB")
            row.append((explainer.title, Image.blend(grey, heatmap_image(heatmap.clip(0, 1)), 0.65)))
    return figure(rows, side=side, scale=False)
