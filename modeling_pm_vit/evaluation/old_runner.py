"""Explainers judged on the images of a dataset."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from tqdm import tqdm

from ..data.masks import MaskEncoding, decode_mask
from ..explainers import EXPLAINERS
from ..image_processing_pm_vit import PMViTImageProcessor, load_image
from .masks import energy_inside, intersection_over_union


@torch.no_grad()
def judge_explainers(
    model: nn.Module,
    image_processor: PMViTImageProcessor,
    dataset: Dataset,
    encoding: MaskEncoding,
    explainers: Sequence[str] = tuple(EXPLAINERS),
    batch_size: int = 32,
) -> dict[str, dict[str, np.ndarray]]:
    """
    Every class that a mask of the dataset shows is explained, and its map held against its mask at the image's size.

    Args:
        dataset: with the columns `image`, `label` and `mask`.
        encoding: of its masks (see [`decode_mask`]).
        explainers: names in `EXPLAINERS`.

    Returns:
        `"classifier"`: `correct`, one value an image: whether the most probable class is the label. For each explainer:
        `iou`, one value an image: intersection over union of the mask of the label with the map of the label, binarised
        at 0.5 if the map is a probability (`pm-vit`) and at its mean (Chefer et al., CVPR 2021) if not;
        `energy_inside`, one value an image: share of that map's mass inside that mask;
        `own_object`, one value a class in images that show several: of the mass of the class's map that lies on any
        object, the share that lies on its own. A map that does not depend on the class gets the share that falls to
        that object anyway.
    """
    model.eval()
    figures: dict[str, dict[str, list]] = {name: defaultdict(list) for name in ("classifier", *explainers)}
    for start in tqdm(range(0, len(dataset), batch_size), desc="judging", unit="batch"):
        rows = dataset[start : start + batch_size]
        images = [load_image(image) for image in rows["image"]]
        pixel_values = image_processor(images, return_tensors="pt")["pixel_values"].to(model.device)
        predicted = model(pixel_values).logits.argmax(-1).cpu().numpy()
        figures["classifier"]["correct"] += list(predicted == np.array(rows["label"]))

        known = [
            decode_mask(mask, encoding, label, (image.height, image.width))
            for mask, label, image in zip(rows["mask"], rows["label"], images, strict=True)
        ]
        # One entry for every class that a mask shows: the image's row, the class, its plane.
        asked = [
            (row, c, plane)
            for row, (classes, planes) in enumerate(known)
            for c, plane in zip(classes, planes, strict=True)
        ]
        if not asked:
            continue
        picked = pixel_values[[row for row, _, _ in asked]]
        labels = torch.tensor([c for _, c, _ in asked], device=model.device)
        for name in explainers:
            maps = EXPLAINERS[name](model, picked, labels)
            for (row, c, plane), patch_map in zip(asked, maps, strict=True):
                heatmap = _resized(patch_map, plane.shape)
                others = known[row][1].any(0)
                if c == rows["label"][row]:
                    binary = heatmap >= (0.5 if name == "pm-vit" else heatmap.mean())
                    figures[name]["iou"].append(intersection_over_union(binary, plane))
                    figures[name]["energy_inside"].append(energy_inside(heatmap, plane))
                if len(known[row][0]) > 1 and plane.any():
                    figures[name]["own_object"].append(energy_inside(heatmap * others, plane))
    return {name: {key: np.array(values) for key, values in part.items()} for name, part in figures.items()}


def _resized(patch_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    tensor = torch.as_tensor(patch_map, dtype=torch.float32)[None, None]
    return nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
