"""Batches that a device finishes; other collation is tested with the transforms and the mixing."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.transforms import ExampleTransform

SIZES = [(40, 60), (64, 33), (25, 25), (40, 60)]


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_several_sizes_lie_in_the_corner_and_the_rest_is_black(make_processor, workers):
    """Also if another process has made the batch, in memory that both share."""
    transform = ExampleTransform(make_processor(), augmentation=AugmentationSettings())
    transform.on_device = True
    rng = np.random.default_rng(0)
    pixels = [rng.integers(1, 256, (*size, 3), np.uint8) for size in SIZES]
    rows = [{"image": Image.fromarray(one), "label": 0, "mask": np.ones(one.shape[:2], np.uint8)} for one in pixels]
    examples = [transform(row, np.random.default_rng(1)) for row in rows]
    loader = DataLoader(examples, batch_size=len(SIZES), collate_fn=Collator((4, 4)), num_workers=workers)
    for _ in range(2):
        (batch,) = loader
        assert batch["images"].shape == (4, 64, 60, 3)
        assert batch["images"].is_shared() == bool(workers)
        for image, one in zip(batch["images"].numpy(), pixels, strict=True):
            height, width = one.shape[:2]
            assert np.array_equal(image[:height, :width], one)
            assert not image[height:].any() and not image[:, width:].any()
        assert torch.equal(batch["planes"] == 255, (batch["images"] > 0).all(-1))
