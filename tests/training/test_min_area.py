import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.training.min_area import default_min_area, described_min_area

from .conftest import SETTINGS, as_flags

NAMES = ["tit", "owl"]
COLUMNS = Features({"image": Image(), "label": ClassLabel(names=NAMES), "mask": Sequence(Sequence(Value("int32")))})


def boxes_of(areas: list[float | None], processor, side: int = 100, labels: list[int] | None = None) -> ExampleDataset:
    """Images whose boxes cover these shares of them; `None`: no box, 0: an empty one. All are tits by default."""
    boxes = [None if area is None else [[0, 0, side, round(side * area)]] * bool(area) for area in areas]
    columns = {
        "image": [np.zeros((side, side, 3), np.uint8)] * len(areas),
        "label": labels or [0] * len(areas),
        "mask": boxes,
    }
    rows = DatasetRows(Dataset.from_dict(columns, COLUMNS), "birds (train)")
    return ExampleDataset([(rows, ExampleTransform(processor, "box", AugmentationSettings()))])


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([None, None], 0.25),
        ([None, 0.4], 0.4),
        ([0.1, 0.2, 0.3, 0.7, 0.8], 0.3),
        ([0.2, 0.2, 0.4, 0.8], 0.3),
        ([0.5, 0, 0.5, 0], 0.5),
        ([0.01] * 3, 1 / 16),  # a patch
        ([1.0] * 3, 0.9),
    ],
    ids=["no masks", "one mask", "odd", "even", "empty masks", "below a patch", "whole images"],
)
def test_the_default_is_the_median_of_the_objects(areas, expected, make_processor):
    least = default_min_area(boxes_of(areas, make_processor()), 2)
    assert least == pytest.approx(expected if isinstance(least, float) else [expected] * 2)  # no owl has a box


def test_each_class_has_its_own_area_if_it_has_masks_enough(make_processor):
    data = boxes_of([0.8, 0.8, 0.8, 0.2, 0.2, 0.2], make_processor(), labels=[0, 0, 0, 1, 1, 1])
    assert default_min_area(data, 2) == pytest.approx([0.8, 0.2])
    assert (
        described_min_area(default_min_area(data, 2))
        == "a label asks for half the probability of its class on 20.0 to 80.0 % of its image (--min_area)"
    )
    few = boxes_of([0.8, 0.8, 0.8, 0.2, 0.2], make_processor(), labels=[0, 0, 0, 1, 1])
    assert default_min_area(few, 2) == pytest.approx([0.8, 0.8])  # the median of all five


def test_the_default_is_that_of_images_decoded_at_a_fraction_too(make_processor):
    processor = make_processor()
    whole, reduced = boxes_of([0.3] * 4, processor, 100), boxes_of([0.3] * 4, processor, 1000)
    assert default_min_area(reduced, 2) == pytest.approx(default_min_area(whole, 2), abs=0.01)


def test_masks_that_cannot_be_read_do_not_count(make_processor):
    data = boxes_of([0.3, 0.6], make_processor())
    read = data.sources[0][0].dataset.to_list()
    read[0]["mask"] = [[0, 0]]
    data.sources[0][0].dataset = Dataset.from_list(read, COLUMNS)
    assert default_min_area(data, 2) == pytest.approx([0.6, 0.6])


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, 0.125])
def test_a_run_says_and_keeps_the_least_area(given, run, tmp_path, capsys):
    settings = SETTINGS | {"output_dir": tmp_path / "run", "max_steps": 1, "weak_supervision": "labels"}
    run(as_flags(settings | ({} if given is None else {"min_area": given})))
    kept = PMViTForImageClassification.from_pretrained(tmp_path / "run").config.min_area
    assert kept == given if given else len(kept) == len(CLASSES)
    assert described_min_area(kept) in capsys.readouterr().out
