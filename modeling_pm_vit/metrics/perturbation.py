"""Perturbation test (Chefer et al., *Transformer interpretability beyond attention visualization*, CVPR 2021).

For each share s = .1 ... .9 the k = int(height width s) pixels with the highest value of the map (positive test) or the
lowest (negative test) turn black before normalisation. The score is the top-1 hit against the **true** label;
'predicted' and 'target' name the class that the map explains. AUC: trapezoid over x = 0, .1, ..., .9, the clean
accuracy at 0. Higher is better in the negative test, lower in the positive one. Variant: among equal values pixels turn
black row by row, from the upper left, in either test.
"""

import numpy as np
import torch

from ..evaluation.classifier import Classifier
from .metric import Figure, Protocol, Records, weighted_mean
from .ranking import ranks

SHARES = np.arange(10) / 10  # 0: the clean image


def perturbation_hits(
    subject: Classifier, pixel_values: torch.Tensor, heatmaps: torch.Tensor, labels: torch.Tensor, positive: bool
) -> np.ndarray:
    """
    Args:
        pixel_values: `(n, channels, height, width)`, normalised.
        heatmaps: `(n, height, width)`.
        labels: `(n,)` true classes.
        positive: the highest values turn black first, else the lowest.

    Returns:
        `(n, 10)`: 1 where the most probable class is the label, for each share of black pixels (0: none).

    Raises:
        ValueError: if maps and images differ in number or size.
    """
    pixel_values, labels = pixel_values.to(subject.device), torch.as_tensor(labels).to(subject.device)
    place = ranks(torch.as_tensor(heatmaps).to(subject.device), descending=positive)
    if place.shape != (pixel_values.shape[0], *pixel_values.shape[2:]):
        raise ValueError(f"expected maps of the images' size {tuple(pixel_values.shape)}, got {tuple(place.shape)}.")
    pixels = place[0].numel()
    hits = [subject.logits(pixel_values).argmax(1) == labels]
    for share in SHARES[1:]:
        blackened = torch.where((place < int(pixels * share)).unsqueeze(1), subject.black, pixel_values)
        hits.append(subject.logits(blackened).argmax(1) == labels)
    return torch.stack(hits, 1).float().cpu().numpy()


def area_under(hits: np.ndarray) -> np.ndarray:
    """Trapezoid over the shares 0 ... .9 of `(..., 10)` accuracies."""
    hits = np.asarray(hits, float)
    return ((hits[..., 1:] + hits[..., :-1]) / 2 * np.diff(SHARES)).sum(-1)


_NAMES = ("negative_predicted", "negative_target", "positive_predicted", "positive_target")


def _measure(**hits: np.ndarray) -> dict[str, np.ndarray]:
    for name in _NAMES:
        if np.ndim(hits[name]) != 2 or np.shape(hits[name])[1] != len(SHARES):
            raise ValueError(f"{name}: expected hits of shape (n, {len(SHARES)}), got {np.shape(hits[name])}.")
    return {name: np.asarray(hits[name], float) for name in _NAMES}


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {name: area_under(weighted_mean(records[name], weights)) for name in _NAMES}


PERTURBATION = Protocol(
    name="perturbation",
    title="Perturbation",
    figures=(
        Figure("negative_predicted", "Negative AUC, predicted class"),
        Figure("negative_target", "Negative AUC, true class"),
        Figure("positive_predicted", "Positive AUC, predicted class", higher_is_better=False),
        Figure("positive_target", "Positive AUC, true class", higher_is_better=False),
    ),
    measure=_measure,
    summarize=_summarize,
    features=dict.fromkeys(_NAMES, (1, "float32")),
    variant="10 to 90 % of the pixels turn black (before normalisation), highest values of the map first (positive) or "
    "lowest first (negative); top-1 against the true label; trapezoid over 0 ... .9 with the clean accuracy at 0; ties "
    "in the order of the pixels.",
)
