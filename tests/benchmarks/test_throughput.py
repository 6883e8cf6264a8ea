import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.throughput import agreement, classes_and_masks, growth
from modeling_pm_vit.inference import TorchPredictor


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize((80, 60)).save(tmp_path / f"{number}.jpg")
    return sorted(tmp_path.glob("*.jpg"))


def test_agreement_says_how_much_is_the_same(paths, make_model, make_processor):
    predictor = TorchPredictor(make_model(), make_processor())
    expected = classes_and_masks(predictor, paths, keep_image=True)
    assert expected[1].shape == (12, 32, 32)
    assert agreement(expected, expected) == {"top1": 1, "mask_iou": 1, "mask_iou_least": 1, "images": 12}
    other = make_model()
    with torch.no_grad():
        other.classifier.bias -= 100  # no mask anywhere
        other.classifier.bias[0] += 50
    found = agreement(classes_and_masks(TorchPredictor(other, make_processor()), paths, keep_image=True), expected)
    assert found["top1"] == np.mean(expected[0] == 0)
    assert found["mask_iou_least"] == 0


@pytest.mark.slow
def test_a_long_run_is_watched(paths, tmp_path):
    results = growth(tmp_path / "place", paths, 400)
    assert results["long_run_images"] == 400
    assert 0 < results["seconds"] < 1
    assert 20 < results["bytes_per_image"] < 1000
    assert results["memory_growth_bytes"] < 1e6
