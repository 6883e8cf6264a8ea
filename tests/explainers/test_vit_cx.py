import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from modeling_pm_vit.explainers.random_map import image_generator
from modeling_pm_vit.explainers.vit_cx import feature_masks, vit_cx

LABELS = torch.tensor([0, 3, 1])


def stretched(plane: np.ndarray) -> np.ndarray:
    return (plane - plane.min()) / (plane.max() - plane.min())


def literally(model, image: torch.Tensor, label: int) -> np.ndarray:
    """Mask by mask, with the clustering of SciPy."""

    def probability(pixels: np.ndarray) -> float:
        with torch.no_grad():
            logits = model(torch.as_tensor(pixels).float()[None], interpolate_pos_encoding=True).logits
        return logits.softmax(-1)[0, label].item()

    kept = []
    hook = model.vit.layers[-1].layernorm_before.register_forward_hook(lambda m, i, output: kept.append(output[0, 1:]))
    clean = probability(image.numpy())
    hook.remove()
    height, width = image.shape[1:]
    small = kept[0].detach().T.reshape(1, 16, height // 8, width // 8)
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0].double().numpy()
    flat = np.array([stretched(plane).ravel() for plane in large])
    of_mask = fcluster(linkage(pdist(flat, "cosine"), "complete"), 0.1, "distance")
    masks = [stretched(flat[of_mask == c].sum(0)).reshape(height, width) for c in np.unique(of_mask)]
    drawn, found = image_generator(image).standard_normal((len(masks), 3, height, width), np.float32), []
    order = feature_order(model, image, masks)
    for mask, noise in zip([masks[i] for i in order], 0.1 * drawn, strict=True):
        noise = noise * (1 - mask)
        found.append((probability(image.numpy() * mask + noise) - probability(image.numpy() + noise) + clean) * mask)
    return np.sum(found, 0) / np.sum(masks, 0) / len(masks)


def feature_order(model, image, masks) -> list[int]:
    """Clusters have no order of their own, but each has its noise: which of `masks` each of ours is."""
    ours, _ = feature_masks(model, image)
    assert len(ours) == len(masks)
    order = [int(np.argmin([np.abs(mask - other).max() for other in masks])) for mask in ours.numpy()]
    assert sorted(order) == list(range(len(masks)))
    return order


def test_equals_the_definition_written_out_mask_by_mask(model, wide_images):
    maps = vit_cx(model, wide_images, LABELS)
    for image, label, heatmap in zip(wide_images, LABELS.tolist(), maps, strict=True):
        np.testing.assert_allclose(heatmap, literally(model, image, label), atol=1e-5)


def test_several_classes_of_one_image_share_its_masks(model, images):
    forward = []
    model.base_model.layers[0].register_forward_hook(lambda module, inputs, output: forward.append(len(output)))
    maps = vit_cx(model, images[[0, 1, 0]], torch.tensor([2, 1, 0]))
    passes = sum(forward)
    alone = [vit_cx(model, images[i : i + 1], torch.tensor([c]))[0] for i, c in ((0, 2), (1, 1), (0, 0))]
    np.testing.assert_allclose(maps, alone, atol=1e-6)
    assert passes == sum(2 * len(feature_masks(model, image)[0]) + 1 for image in images[:2])
