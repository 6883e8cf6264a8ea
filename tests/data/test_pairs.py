import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.data.pairs import side_by_side


@pytest.fixture
def photographs():
    """Of class i all pixels are 50 i, but for a white box in a place of its own."""
    rows = {"image": [], "label": [], "box": []}
    for label in (0, 1, 2, 2):
        pixels = np.full((40, 80, 3), 50 * label, np.uint8)
        box = [10 * label, 10, 10 * label + 40, 30]
        pixels[box[1] : box[3], box[0] : box[2]] = 255
        rows["image"].append(Image.fromarray(pixels))
        rows["label"].append(label)
        rows["box"].append([float(x) for x in box])
    features = {"image": ImageFeature(), "label": ClassLabel(names=["a", "b", "c"]), "box": List(Value("float32"))}
    return Dataset.from_dict(rows, Features(features))


def test_each_half_holds_one_photograph_and_its_mask(photographs):
    pairs = side_by_side(photographs, "box", "box", count=8, side=32)
    assert len(pairs) == 8
    for pair in pairs:
        image, mask = np.asarray(pair["image"]), np.asarray(pair["mask"])
        assert image.shape == (32, 64, 3)
        found = [set(np.unique(half)) - {0} for half in (mask[:, :32], mask[:, 32:])]
        assert [len(f) for f in found] == [1, 1]
        left, right = (f.pop() - 1 for f in found)
        assert left == pair["label"] != right
        assert (image[0, 0] == 50 * left).all()
        assert (image[0, 63] == 50 * right).all()
        assert (image[mask > 0] > 200).mean() > 0.9
        assert (image[mask == 0] < 150).mean() > 0.9


def test_the_same_seed_gives_the_same_pairs(photographs):
    first, again, other = (side_by_side(photographs, "box", "box", 6, 16, seed)["label"][:] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_one_class_makes_no_pairs(photographs):
    with pytest.raises(ValueError, match="two classes"):
        side_by_side(photographs.select([2, 3]), "box", "box")
