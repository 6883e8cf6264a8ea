"""TokenCut: Wang et al., *Self-supervised transformers for unsupervised object discovery using normalized cut*, CVPR
2022. The patches of an image are the nodes of a graph, with edges between patches of similar features. The normalised
cut of the graph separates the object from the background.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import PreTrainedModel

from ..image_processing_pm_vit import PMViTImageProcessor
from .features import FeatureKind, patch_features
from .method import PseudoMask, is_plausible_object
from .refinement import guided_filter

_WEAK_EDGE = 1e-5  # between dissimilar patches, so that the graph is connected


class Cut(NamedTuple):
    """
    Args:
        vector: `(batch, h, w)` the second smallest generalised eigenvector; its sign is arbitrary.
        affinity: `(batch, patches, patches)` weights of the graph's edges, patches row by row.
    """

    vector: torch.Tensor
    affinity: torch.Tensor


def normalised_cut(features: torch.Tensor, tau: float | None = None) -> Cut:
    """
    Args:
        features: `(batch, channels, h, w)`.
        tau: cosine similarity above which two patches have an edge (0.2 in the paper, for DINO's keys). By default it
            is chosen for each image by Otsu's method, because typical similarities differ between models.
    """
    grid = features.shape[-2:]
    tokens = nn.functional.normalize(features.double().flatten(2), dim=1)  # (batch, channels, patches)
    similarity = tokens.transpose(1, 2) @ tokens
    threshold = similarity.new_tensor(tau) if tau is not None else otsu(similarity.flatten(1))[:, None, None]
    affinity = torch.where(similarity > threshold, 1.0, _WEAK_EDGE).double()
    scale = affinity.sum(-1).rsqrt()
    # (D - W) y = λ D y, with y = D^-1/2 z: an ordinary problem for the symmetric D^-1/2 (D - W) D^-1/2.
    laplacian = torch.eye(len(affinity[0]), device=affinity.device) - scale[:, :, None] * affinity * scale[:, None]
    vectors = torch.linalg.eigh(laplacian).eigenvectors
    return Cut((vectors[..., 1] * scale).unflatten(1, grid), affinity)


def otsu(values: torch.Tensor, bins: int = 256) -> torch.Tensor:
    """The thresholds `(batch,)` that split values `(batch, n)` into two groups with the largest between-group variance
    (Otsu, *A threshold selection method from gray-level histograms*, 1979)."""
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    width = ((high - low) / bins).clamp(min=torch.finfo(values.dtype).tiny)
    index = ((values - low) / width).long().clamp(0, bins - 1)
    counts = torch.zeros(len(values), bins, dtype=values.dtype, device=values.device)
    counts.scatter_add_(1, index, torch.ones_like(values))
    centres = torch.arange(bins, device=values.device) + 0.5
    below, sums = counts.cumsum(1)[:, :-1], (counts * centres).cumsum(1)
    total, mean = values.shape[1], sums[:, -1:] / values.shape[1]
    between = (mean * below - sums[:, :-1]) ** 2 / (below * (total - below)).clamp(min=1)
    return (low + (between.argmax(1, keepdim=True) + 1) * width)[:, 0]


def foreground(vector: torch.Tensor) -> torch.Tensor:
    """
    The object's side of the cut, boolean `(batch, h, w)`: the vector is split at its mean, and the object's side is the
    one with the largest absolute value. Only the part that is connected with this patch (8-connectivity) is kept.

    Args:
        vector: `(batch, h, w)`.
    """
    flat = vector.flatten(1)
    seed = flat.abs().argmax(1, keepdim=True)
    above = flat > flat.mean(1, keepdim=True)
    side = (above == above.gather(1, seed)).view_as(vector)
    seeds = torch.zeros_like(above).scatter_(1, seed, True).view_as(vector)
    return connected_part(side, seeds)


def connected_part(masks: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """The part of boolean masks `(batch, h, w)` that is connected with their seeds (8-connectivity)."""
    part = seeds & masks
    while True:
        grown = nn.functional.max_pool2d(part.float(), 3, stride=1, padding=1).bool() & masks
        if torch.equal(grown, part):
            return part
        part = grown


def cut_values(affinity: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """
    The normalised cut between masks `(batch, h, w)` and the rest: the share of each side's edges that is cut, summed,
    in [0, 2]; NaN where a side is empty. `affinity` is that of [`Cut`].
    """
    inside = masks.flatten(1).double()  # (batch, patches)
    towards = (affinity @ inside.unsqueeze(-1)).squeeze(-1)  # from each patch to the object
    degrees = affinity.sum(-1)
    cut = ((1 - inside) * towards).sum(1)
    return cut / (inside * degrees).sum(1) + cut / ((1 - inside) * degrees).sum(1)


class TokenCut:
    """
    Makes masks by the normalised cut of a ViT's patch features.

    The score is 1 minus the normalised cut. There is no mask if it is not plausible as an object (see
    [`is_plausible_object`]) or the score is below 0.01: if all patches are equal, every normalised cut is 1.

    Args:
        model: a PM-ViT or `ViTForImageClassification`.
        processor: of the model, without centre crop.
        kind, layer: of [`patch_features`].
        tau: see [`normalised_cut`].
        refine: align the mask with the edges of the image ([`guided_filter`], windows of half a patch).
    """

    min_score = 0.01

    def __init__(
        self,
        model: PreTrainedModel,
        processor: PMViTImageProcessor,
        kind: FeatureKind = "key",
        layer: int = -1,
        tau: float | None = None,
        refine: bool = False,
    ):
        self.model, self.processor = model.eval(), processor
        self.kind, self.layer, self.tau, self.refine = kind, layer, tau, refine
        self.settings: Mapping[str, Any] = {
            "features": kind,
            "layer": layer,
            "tau": "auto" if tau is None else tau,
            "refine": refine,
            "image_size": [processor.size["height"], processor.size["width"]],
        }

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        pixel_values = self.processor(list(images), return_tensors="pt")["pixel_values"]
        pixel_values = pixel_values.to(self.model.device, self.model.dtype)
        cut = normalised_cut(patch_features(self.model, pixel_values, self.kind, self.layer), self.tau)
        masks = foreground(cut.vector)
        scores = (1 - cut_values(cut.affinity, masks)).tolist()
        results: list[PseudoMask | None] = []
        for image, mask, score in zip(images, masks.cpu(), scores, strict=True):
            if score >= self.min_score and is_plausible_object(mask.numpy()):
                results.append(PseudoMask(self._resized(image, mask.float()), score))
            else:
                results.append(None)
        return results

    def _resized(self, image: Image.Image, mask: torch.Tensor) -> np.ndarray:
        size = (image.height, image.width)
        probability = nn.functional.interpolate(mask[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        if self.refine:
            grey = torch.from_numpy(np.array(image.convert("L"), dtype=np.float32) / 255)
            patch = max(size[0] / mask.shape[0], size[1] / mask.shape[1])
            probability = guided_filter(grey, probability, max(1, round(patch / 4)))
        return probability.numpy()
