import numpy as np
import pytest
import torch

from modeling_pm_vit.data.augmentation.batched import augment_batch
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings, draw
from modeling_pm_vit.data.augmentation.single import augment

SIZES = [(40, 60), (64, 33), (25, 25), (60, 64)]


def photographs(sizes=SIZES, seed=0):
    """Smooth images, as photographs are, in one canvas; and a mask for all but the first."""
    rng = np.random.default_rng(seed)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    canvas = torch.zeros(len(sizes), 3, height, width, dtype=torch.uint8)
    planes = torch.zeros(len(sizes) - 1, height, width, dtype=torch.uint8)
    for i, (h, w) in enumerate(sizes):
        coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 6, 6)))
        smooth = torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic", align_corners=False)
        canvas[i, :, :h, :w] = smooth[0].clamp(0, 255).to(torch.uint8)
        if i:
            planes[i - 1, h // 4 : h // 2, w // 5 : w - 4] = 255
    return canvas, torch.tensor(sizes), planes, list(range(1, len(sizes)))


def compared(augmentations, size):
    canvas, sizes, planes, rows = photographs()
    images, masks = augment_batch(canvas, sizes, planes, rows, augmentations, size)
    assert images.dtype == masks.dtype == torch.uint8
    assert images.shape == (len(sizes), 3, *size)
    assert masks.shape == (len(rows), *size)
    for i, (h, w) in enumerate(sizes.tolist()):
        mask = planes[[i - 1], :h, :w] if i else planes[:0, :h, :w]
        image, mask = augment(canvas[i, :, :h, :w], mask, augmentations[i], size)
        yield (images[i].float() - image).abs(), (masks[i - 1].float() - mask).abs() if i else torch.zeros(1)


SETTINGS = {
    "crop": AugmentationSettings(colour_jitter=0),
    "padded crop": AugmentationSettings(crop_padding=4, colour_jitter=0),
    "colours": AugmentationSettings(colour_jitter=0.4),
    "RandAugment": AugmentationSettings(rand_augment=9),
    "AutoAugment": AugmentationSettings(auto_augment=True, colour_jitter=0),
    "erasing": AugmentationSettings(random_erasing=1.0),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("size", [(32, 32), (24, 48), (96, 80)])
def test_a_batch_is_augmented_as_its_images_are_one_by_one(settings, size):
    differences = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        augmentations = [draw(settings, image_size, size, rng) for image_size in SIZES]
        differences += compared(augmentations, size)
    images, masks = (np.array([difference.mean() for difference in part]) for part in zip(*differences, strict=True))
    # Levels of 255. Both round; solarize and equalize turn a level into many at few pixels.
    assert images.mean() < (1.0 if settings.rand_augment else 0.3)
    assert np.median(images) < 0.3
    assert masks.max() < 0.1
