"""TokenCut: Wang et al., *Self-supervised transformers for unsupervised object discovery using normalized cut*, CVPR
2022. The patches of an image are nodes of a graph; two are joined where their features are alike; cutting the graph
where the fewest joints are cut, for the size of both sides, parts the object from its surroundings.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..image_processing_pm_vit import PMViTImageProcessor
from .features import FeatureKind, patch_features
from .method import PseudoMask
from .refinement import guided_filter

_WEAK_EDGE = 1e-5  # between patches that are not alike, so that the graph hangs together


class Cut(NamedTuple):
    """
    Args:
        vector: `(batch, h, w)` the second smallest generalised eigenvector; its sign means nothing.
        affinity: `(batch, patches, patches)` weights of the graph's edges, patches row by row.
    """

    vector: torch.Tensor
    affinity: torch.Tensor


def normalised_cut(features: torch.Tensor, tau: float = 0.2) -> Cut:
    """
    Args:
        features: `(batch, channels, h, w)`.
        tau: cosine similarity above which two patches are joined.
    """
    grid = features.shape[-2:]
    tokens = nn.functional.normalize(features.double().flatten(2), dim=1)  # (batch, channels, patches)
    affinity = torch.where(tokens.transpose(1, 2) @ tokens > tau, 1.0, _WEAK_EDGE).double()
    scale = affinity.sum(-1).rsqrt()
    # (D - W) y = λ D y, with y = D^-1/2 z: an ordinary problem for the symmetric D^-1/2 (D - W) D^-1/2.
    laplacian = torch.eye(len(affinity[0]), device=affinity.device) - scale[:, :, None] * affinity * scale[:, None]
    vectors = torch.linalg.eigh(laplacian).eigenvectors
    return Cut((vectors[..., 1] * scale).unflatten(1, grid), affinity)


def foreground(vector: torch.Tensor) -> torch.Tensor:
    """
    The object's side of the cut, as boolean `(batch, h, w)`: the vector is parted at its mean; the side that holds its
    largest absolute value is the object's; of that side only the part is kept that hangs together with that patch
    (along sides and corners).

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
    """What of boolean masks `(batch, h, w)` hangs together, along sides and corners, with their seeds."""
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


def border_contact(masks: torch.Tensor) -> torch.Tensor:
    """The share of the patches along the image's border that masks `(batch, h, w)` hold: `(batch,)`."""
    border = torch.ones_like(masks[0])
    border[1:-1, 1:-1] = False
    return masks[:, border].double().mean(1)


class TokenCut:
    """
    Masks by the normalised cut of a ViT's patch features.

    No object is seen, and no mask given, where it would cover less than 1 % or more than 90 % of the image, hold more
    than half of its border, or part the graph no better than chance: where all patches are alike, every normalised cut
    is 1. The score is 1 less the normalised cut.

    Args:
        model: a PM-ViT or `ViTForImageClassification`.
        processor: for the model, without centre crop.
        kind, layer: as [`patch_features`] takes them.
        tau: see [`normalised_cut`].
        refine: fit the mask to the photograph's edges ([`guided_filter`], windows of a patch).
    """

    least_area, largest_area, most_border, least_score = 0.01, 0.9, 0.5, 0.01

    def __init__(
        self,
        model: nn.Module,
        processor: PMViTImageProcessor,
        kind: FeatureKind = "key",
        layer: int = -1,
        tau: float = 0.2,
        refine: bool = False,
    ):
        self.model, self.processor = model.eval(), processor
        self.kind, self.layer, self.tau, self.refine = kind, layer, tau, refine
        self.settings: Mapping = {
            "features": kind,
            "layer": layer,
            "tau": tau,
            "refine": refine,
            "image_size": [processor.size["height"], processor.size["width"]],
        }

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        pixel_values = self.processor(list(images), return_tensors="pt")["pixel_values"]
        pixel_values = pixel_values.to(self.model.device, self.model.dtype)
        cut = normalised_cut(patch_features(self.model, pixel_values, self.kind, self.layer), self.tau)
        masks = foreground(cut.vector)
        scores, areas = 1 - cut_values(cut.affinity, masks), masks.double().mean((1, 2))
        seen = (areas >= self.least_area) & (areas <= self.largest_area) & (scores >= self.least_score)
        seen &= border_contact(masks) <= self.most_border
        return [
            PseudoMask(self._at_size_of(image, mask.float().cpu()), float(score)) if is_object else None
            for image, mask, score, is_object in zip(images, masks, scores, seen.tolist(), strict=True)
        ]

    def _at_size_of(self, image: Image.Image, mask: torch.Tensor) -> np.ndarray:
        size = (image.height, image.width)
        probability = nn.functional.interpolate(mask[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        if self.refine:
            grey = torch.from_numpy(np.array(image.convert("L"), dtype=np.float32) / 255)
            patch = max(size[0] / mask.shape[0], size[1] / mask.shape[1])
            probability = guided_filter(grey, probability, max(1, round(patch)))
        return probability.numpy()
