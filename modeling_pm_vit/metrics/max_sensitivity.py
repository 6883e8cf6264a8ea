"""
Max-sensitivity (Yeh et al., *On the (in)fidelity and sensitivity of explanations*, NeurIPS 2019): robustness.

The largest relative change ||map(x + noise) - map(x)|| / ||map(x)|| (Frobenius norms) over several draws of noise.
Variant, as in quantus: uniform noise in -0.2 ... 0.2 on every value of the normalised image, maps as the explainer
gives them, on its own grid; 10 draws by default, where quantus has 200. The noise is seeded by the image, so it is the
same for all explainers. Undefined for a map of zeros.
"""

from collections.abc import Callable

import numpy as np
import torch

from .heatmaps import checked_heatmaps
from .metric import ExplainedImages, Metric, MetricValue, Records, means
from .ranking import image_seed

RADIUS = 0.2


def max_sensitivity(
    explain: Callable[[torch.Tensor], np.ndarray], pixel_values: torch.Tensor, heatmaps: np.ndarray, samples: int
) -> np.ndarray:
    """
    Args:
        explain: normalised images to maps, of the same classes as `heatmaps`.
        pixel_values: `(n, channels, height, width)`, normalised.
        heatmaps: their maps `(n, rows, columns)`.
        samples: number of draws of noise.

    Returns:
        `(n,)`, 0 for maps that do not change; NaN for a map of zeros.
    """
    generators = [np.random.default_rng(image_seed(image)) for image in pixel_values]
    changes = []
    for _ in range(samples):
        noise = [generator.uniform(-RADIUS, RADIUS, pixel_values.shape[1:]) for generator in generators]
        noisy = pixel_values + torch.as_tensor(np.array(noise), dtype=pixel_values.dtype, device=pixel_values.device)
        changes.append(explain(noisy))
    return _largest_change(heatmaps, np.stack(changes, 1))


def _largest_change(heatmaps: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """From maps `(n, rows, columns)` to those under noise `(n, samples, rows, columns)`: `(n,)`."""
    heatmaps = checked_heatmaps(heatmaps)
    changed = np.stack([checked_heatmaps(maps) for maps in changed]).reshape(changed.shape)
    change = np.sqrt(((changed - heatmaps[:, None]) ** 2).sum((2, 3))).max(1)
    size = np.sqrt((heatmaps**2).sum((1, 2)))
    return np.where(size > 0, change / np.where(size > 0, size, 1), np.nan)


def _measure(heatmaps: np.ndarray, changed: np.ndarray) -> dict[str, np.ndarray]:
    return {"max_sensitivity": _largest_change(np.asarray(heatmaps), np.asarray(changed))}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    pixels = images.pixel_values[torch.as_tensor(rows, device=images.pixel_values.device)]
    labels = images.labels[rows]
    values = max_sensitivity(
        lambda noisy: images.explain(rows, labels, pixel_values=noisy),
        pixels,
        images.raw_maps[rows],
        images.options.sensitivity_samples,
    )
    return {"max_sensitivity": values}


MAX_SENSITIVITY = Metric(
    name="max_sensitivity",
    title="Max-sensitivity",
    values=(MetricValue("max_sensitivity", "Max-sensitivity", higher_is_better=False, scale=1),),
    measure=_measure,
    summarize=means("max_sensitivity"),
    features={"heatmaps": (2, "float32"), "changed": (3, "float32")},
    variant="Largest relative change of the true class's map, on the method's own grid, over draws of uniform noise in "
    f"-{RADIUS} ... {RADIUS} on the normalised image (Frobenius norms). A map that does not look at the image has 0.",
    record=_record,
    options=("sensitivity_samples",),
)
