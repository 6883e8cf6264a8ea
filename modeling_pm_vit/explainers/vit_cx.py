"""ViT-CX (Xie et al., *ViT-CX: causal explanation of vision transformers*, IJCAI 2023).

As in the paper and the authors' code: the features of the patches after the first layer norm of the last block,
enlarged and stretched to 0 ... 1 one by one, are the masks; masks whose cosine distance is below 0.1 are clustered
(complete linkage) and their sums stretched again. A mask scores P(masked image) - P(image) + P(clean image), where
noise of standard deviation 0.1 in normalised space stands where the mask is not, in both the masked and the whole
image. The map is the mean of the masks, each divided at every pixel by the sum of all, weighted by their scores.
Variant: the noise is seeded by the image.
"""

import numpy as np
import torch
from torch import nn

from ..explanation_pm_vit import class_probabilities
from ..utils.extras import import_extra
from .families import Parts
from .random_map import image_generator
from .vit import ViTClassifier, full_precision, patch_grid, run

_DISTANCE = 0.1  # between masks
_NOISE = 0.1
_IMAGES_PER_PASS = 64


@torch.no_grad()
def vit_cx(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    One value per pixel, `(batch, height, width)`.

    Two forward passes for each cluster of masks and one more; some hundred for a ViT-B, according to its authors. An
    image that is repeated in the batch, with other classes, shares them.
    """
    images, image_of = torch.unique(pixel_values, dim=0, return_inverse=True)
    maps = []
    for row, image in enumerate(images):
        masks, clean = feature_masks(model, image)
        impact = causal_impact(model, image, masks) + clean.to(masks.device)  # (masks, classes)
        total = masks.sum(0)
        shares = torch.where(total > 0, masks / torch.where(total > 0, total, 1), 0)
        with full_precision(image):
            maps.append(torch.einsum("mc, mhw -> chw", impact[:, labels[image_of == row]], shares) / len(masks))
    places = torch.cat([torch.nonzero(image_of == row)[:, 0] for row in range(len(images))])
    return torch.cat(maps)[places.argsort()].cpu().numpy()


@torch.no_grad()
def feature_masks(model: ViTClassifier, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The masks `(clusters, height, width)` of an image `(channels, height, width)`, and its probabilities."""
    parts, features = Parts(model), []
    hook = parts.first_norm.register_forward_hook(lambda module, inputs, output: features.append(output[0]))
    try:
        logits = run(model, image[None]).logits
    finally:
        hook.remove()
    rows_columns = patch_grid(model, image[None])
    small = features[0][parts.prefix :].float().T.unflatten(-1, rows_columns)  # (hidden, rows, columns)
    with full_precision(image):
        return _clustered(small, (image.shape[-2], image.shape[-1])), class_probabilities(logits, model.config)[0]


def _clustered(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Feature maps `(hidden, rows, columns)` as masks `(clusters, height, width)`."""
    masks = _stretched(nn.functional.interpolate(features[None], size, mode="bilinear", align_corners=False)[0])
    flat = nn.functional.normalize(masks.flatten(1))
    cluster = import_extra("sklearn.cluster", "the explainer vit-cx", "eval").AgglomerativeClustering(
        n_clusters=None, distance_threshold=_DISTANCE, metric="precomputed", linkage="complete"
    )
    of_mask = torch.as_tensor(cluster.fit_predict((1 - flat @ flat.T).clamp(min=0).cpu().numpy()), device=masks.device)
    clusters = torch.zeros(int(of_mask.max()) + 1, *masks.shape[1:], device=masks.device)
    return _stretched(clusters.index_add_(0, of_mask, masks))


def causal_impact(model: ViTClassifier, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The probabilities of an image under each mask, less those of the whole image with the same noise."""
    generator = image_generator(image)
    impact = []
    for some in masks.split(_IMAGES_PER_PASS // 2):
        drawn = generator.standard_normal((len(some), *image.shape), np.float32)
        noise = _NOISE * torch.as_tensor(drawn, device=image.device) * (1 - some[:, None])
        changed = torch.cat([image * some[:, None] + noise, image + noise]).to(image.dtype)
        under_mask, whole = class_probabilities(run(model, changed).logits, model.config).chunk(2)
        impact.append(under_mask - whole)
    return torch.cat(impact).to(masks.device)


def _stretched(masks: torch.Tensor) -> torch.Tensor:
    low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    return torch.where(high > low, (masks - low) / torch.where(high > low, high - low, 1), 0)
