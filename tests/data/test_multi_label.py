"""Images with several labels, or none: their vectors, masks, batches, mosaics and mixtures."""

import numpy as np
import pytest
import torch

from modeling_pm_vit.data.augmentation.mixing import MixingSettings
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.classes import ClassMap
from modeling_pm_vit.data.collation import Collator, image_labels
from modeling_pm_vit.data.multi_label import LabelVectors
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.utils.errors import InputError

NAMES = ("cat", "dog", "owl", "fox")
UNKNOWN = -100.0


def labels_of(value, kind="list", names=NAMES, ids=None, num_labels=None) -> list[float]:
    ids = tuple(range(len(names))) if ids is None else ids
    return LabelVectors(kind, ClassMap(names, ids), num_labels or len(names)).of(value).tolist()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("list", [2, 0], [1, 0, 1, 0]),
        ("list", [], [0, 0, 0, 0]),
        ("list", None, [UNKNOWN] * 4),
        ("multi_hot", [0, 1, 1, 0], [0, 1, 1, 0]),
        ("multi_hot", [True, False, None, -100], [1, 0, UNKNOWN, UNKNOWN]),
        ("multi_hot", np.array([0.25, np.nan, 1, 0], np.float32), [0.25, UNKNOWN, 1, 0]),
        ("multi_hot", None, [UNKNOWN] * 4),
    ],
)
def test_labels_become_a_vector_of_all_classes(kind, value, expected):
    assert labels_of(value, kind) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        *(("flag", True, 1), ("flag", False, 0), ("flag", None, UNKNOWN)),
        *(("only_class", 0, 1), ("only_class", None, 0), ("list", [0], 1), ("list", [], 0), ("list", None, UNKNOWN)),
    ],
)
def test_a_single_class_is_present_absent_or_unknown(kind, value, expected):
    assert labels_of(value, kind, ("tumour",)) == [expected]


def test_classes_of_another_dataset_are_matched_and_the_missing_ones_are_unknown():
    assert labels_of([1], names=("owl", "cat"), ids=(2, 0), num_labels=4) == [1, UNKNOWN, 0, UNKNOWN]
    assert labels_of([0, 1], "multi_hot", ("owl", "cat"), (2, 0), 4) == [1, UNKNOWN, 0, UNKNOWN]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("list", [4], r"0 \.\.\. 3, got 4; the dataset has 4 classes: cat, dog"),
        ("list", ["cat"], "index of a class, got 'cat'"),
        ("multi_hot", [1, 0], r"list of 4 numbers, one for each class, got \[1, 0\]"),
        ("multi_hot", [2, 0, 0, 0], r"1 \(present\), 0 \(absent\) or -100 \(unknown\), got 2"),
    ],
)
def test_wrong_labels_are_named(kind, value, message):
    with pytest.raises(InputError, match=message):
        labels_of(value, kind)


# --- masks ---


def transformed(make_processor, labels, mask, encoding="class_id", kind="list", **settings) -> dict:
    several = LabelVectors(kind, ClassMap.own(NAMES), 4)
    transform = ExampleTransform(make_processor(), encoding, several=several, **settings)
    return transform({"image": np.zeros((32, 32, 3), np.uint8), "label": labels, "mask": mask})


def id_map(*classes: int) -> np.ndarray:
    """A map of class index + 1: a row of patches for each class."""
    ids = np.zeros((32, 32), np.uint8)
    for place, label in enumerate(classes):
        ids[8 * place : 8 * place + 8] = label + 1
    return ids


def rows_of(example: dict) -> dict[int, list[float]]:
    """Of each class the first patch of each row."""
    classes = example["explain_labels"].tolist()
    return {c: plane[:, 0].tolist() for c, plane in zip(classes, example["mask_labels"], strict=True)}


@pytest.mark.parametrize("augment", [False, True])
def test_a_class_of_the_image_that_its_mask_does_not_show_is_unknown_and_another_absent(make_processor, augment):
    settings = AugmentationSettings(min_crop_scale=1.0) if augment else None
    example = transformed(make_processor, [2, 0], id_map(0), augmentation=settings)
    assert example["labels"].tolist() == [1, 0, 1, 0]
    assert rows_of(example) == {0: [1, 0, 0, 0], 2: [UNKNOWN] * 4}


def test_a_class_whose_label_is_unknown_has_an_unknown_mask(make_processor):
    example = transformed(make_processor, [1, 0, -100, 0], id_map(0), kind="multi_hot")
    assert rows_of(example) == {0: [1, 0, 0, 0], 2: [UNKNOWN] * 4}
    shown = transformed(make_processor, [1, 0, -100, 0], id_map(0, 2), kind="multi_hot")
    assert rows_of(shown) == {0: [1, 0, 0, 0], 2: [0, 1, 0, 0]}
    assert rows_of(transformed(make_processor, None, id_map(3))).keys() == {0, 1, 2, 3}


def test_unknown_pixels_are_unknown_for_every_class(make_processor):
    ids = id_map(0).astype(np.uint16)
    ids[24:] = 65535
    assert rows_of(transformed(make_processor, [0, 2], ids)) == {0: [1, 0, 0, UNKNOWN], 2: [UNKNOWN] * 4}


@pytest.mark.parametrize(("labels", "classes"), [([], {0}), ([2], {2}), ([1, 3], {1, 3})])
@pytest.mark.parametrize("encoding", ["class_id", "binary"])
def test_an_empty_mask_says_that_the_classes_of_the_image_are_nowhere(make_processor, encoding, labels, classes):
    if encoding == "binary" and len(labels) > 1:
        with pytest.raises(InputError, match=r"--mask_encoding binary\) needs one label, got 2: use class_id"):
            transformed(make_processor, labels, id_map(), encoding)
        return
    assert rows_of(transformed(make_processor, labels, id_map(), encoding)) == dict.fromkeys(classes, [0.0] * 4)


@pytest.mark.parametrize(
    ("encoding", "mask"),
    [
        ("binary", 255 * (id_map(0) > 0).astype(np.uint8)),
        ("box", [0, 0, 32, 8]),
        ("polygon", [[0, 0, 32, 0, 32, 8, 0, 8]]),
        ("polygon", [{"category_id": 2, "segmentation": [[0, 0, 32, 0, 32, 8, 0, 8]]}]),
    ],
)
def test_masks_boxes_and_polygons_of_one_class(make_processor, encoding, mask):
    assert rows_of(transformed(make_processor, [2], mask, encoding)) == {2: [1, 0, 0, 0]}
    if not isinstance(mask[0], dict):
        with pytest.raises(InputError, match=rf"--mask_encoding {encoding}\) needs one label, got 2"):
            transformed(make_processor, [2, 0], mask, encoding)


def test_polygons_of_several_classes(make_processor):
    rows = [[0, 0, 32, 0, 32, 8, 0, 8], [0, 8, 32, 8, 32, 16, 0, 16]]
    mask = [{"category_id": c, "segmentation": [row]} for c, row in zip((0, 2), rows, strict=True)]
    shown = rows_of(transformed(make_processor, [0, 2, 3], mask, "polygon"))
    assert shown == {0: [1, 0, 0, 0], 2: [0, 1, 0, 0], 3: [UNKNOWN] * 4}


@pytest.mark.parametrize("labels", [[], [0]])
def test_a_mask_of_a_class_that_the_image_does_not_have_is_refused(make_processor, labels):
    with pytest.raises(InputError, match="shows 'dog', which is not among the labels"):
        transformed(make_processor, labels, id_map(1))
    with pytest.raises(InputError, match="shows 'cat', which is not among the labels"):
        transformed(make_processor, [], id_map(0), "binary")


@pytest.mark.parametrize("mask", [None, [], ""])
def test_without_a_mask_nothing_is_known(make_processor, mask):
    example = transformed(make_processor, [0, 2], mask, "polygon")
    assert len(example["explain_labels"]) == len(example["mask_labels"]) == 0


# --- batches ---


def example(make_processor, labels, *shown, value=0.0, kind="list") -> dict:
    made = transformed(make_processor, labels, id_map(*shown) if shown else None, kind=kind)
    return made | {"pixel_values": torch.full((3, 32, 32), value)}


def test_the_first_slots_are_the_labels_of_an_image(make_processor):
    batch = Collator()(
        [
            example(make_processor, [2, 1], 2),
            example(make_processor, [3, 0]),
            example(make_processor, [0, 1, UNKNOWN, 0], 1, kind="multi_hot"),
            example(make_processor, []),
            ExampleTransform(make_processor(), several=LabelVectors("list", ClassMap.own(NAMES), 4)).padding_sample(),
        ]
    )
    assert batch["explain_labels"].tolist() == [[1, 2], [0, 3], [1, 2], [-100, -100], [-100, -100]]
    assert batch["mask_labels"][:, :, 0, 0].tolist() == [
        [UNKNOWN, 1],
        [UNKNOWN] * 2,
        [1, UNKNOWN],
        *[[UNKNOWN] * 2] * 2,
    ]
    assert batch["labels"][0].tolist() == [0, 1, 1, 0]
    assert set(batch) == {"pixel_values", "labels", "mask_labels", "explain_labels", "mask_rows"}
    assert (image_labels(batch) != UNKNOWN).tolist() == [True, True, True, True, False]


def test_images_without_a_known_label_count_if_they_have_masks_but_mosaics_do_not(make_processor):
    examples = [example(make_processor, None, 0), example(make_processor, None), example(make_processor, [1], 1)]
    batch = Collator(mixing=MixingSettings(mosaics=1.0))(examples)
    assert len(batch["labels"]) == 5
    assert batch["unlabelled_images"] == 1
    assert (image_labels(batch) != UNKNOWN).sum() == 2


class FixedChoices:
    """A random generator that takes the images in a known order, and the first box and kind of mixing."""

    def __init__(self, order, share=0.75):
        self.order, self.share = order, share

    def random(self):
        return 0.0

    def beta(self, a, b):
        return self.share

    def permutation(self, count):
        return np.array(self.order)

    def integers(self, high, size=None):
        return 0 if size is None else np.array(self.order)


def mixed(monkeypatch, examples, order, **mixing) -> dict:
    monkeypatch.setattr("modeling_pm_vit.data.collation.np.random.default_rng", lambda seed: FixedChoices(order))
    return Collator(mixing=MixingSettings(**mixing))(examples)


def planes_of(batch: dict, row: int) -> dict[int, torch.Tensor]:
    classes = batch["explain_labels"][row].tolist()
    return {c: plane for c, plane in zip(classes, batch["mask_labels"][row], strict=True) if c >= 0}


def test_a_mosaic_has_unknown_labels_and_each_part_its_own_known_classes(make_processor, monkeypatch):
    both = example(make_processor, [0, 2], 0)  # where class 2 is, is not known
    batch = mixed(monkeypatch, [both, example(make_processor, [1], 1)], [0, 1, 1, 1], mosaics=0.5)
    assert batch["labels"][2].tolist() == [UNKNOWN] * 4
    assert batch["explain_labels"][2].tolist() == [0, 1, 2]
    planes = planes_of(batch, 2)
    assert (planes[2][:2, :2] == UNKNOWN).all()
    assert (planes[2][2:] == 0).all()
    assert planes[0][0].tolist() == [0.5, 0.5, 0, 0]
    assert planes[1][:, 3].tolist() == [0.5, 0, 0.5, 0]


def test_cutmix_mixes_labels_and_keeps_what_is_known_of_each_part(make_processor, monkeypatch):
    pair = [example(make_processor, [0, 2], 0, value=1.0), example(make_processor, [1], 1)]
    batch = mixed(monkeypatch, pair, [1, 0], cutmix=1.0)  # the box is the upper left quarter
    assert batch["labels"][0].tolist() == [0.75, 0.25, 0.75, 0]
    assert "other_labels" not in batch
    left = {c: plane[:, 0].tolist() for c, plane in planes_of(batch, 0).items()}
    assert left == {0: [0] * 4, 1: [1, 0, 0, 0], 2: [0, 0, UNKNOWN, UNKNOWN]}
    right = {c: plane[:, 3].tolist() for c, plane in planes_of(batch, 0).items()}
    assert right == {0: [1, 0, 0, 0], 1: [0] * 4, 2: [UNKNOWN] * 4}


def test_a_mixed_label_is_unknown_where_one_is(make_processor, monkeypatch):
    first = example(make_processor, [1, UNKNOWN, 0, 0], 0, kind="multi_hot")
    second = example(make_processor, [1, 1, 1, UNKNOWN], 2, kind="multi_hot")
    batch = mixed(monkeypatch, [first, second], [1, 0], mixup=1.0)
    assert batch["labels"][0].tolist() == [1, UNKNOWN, 0.25, UNKNOWN]
    planes = {c: plane[:, 0].tolist() for c, plane in planes_of(batch, 0).items()}
    assert planes[1] == planes[3] == planes[0] == [UNKNOWN] * 4  # class 0 is in the second image, without a mask
    assert planes[2] == [0.25, 0, 0, 0]


@pytest.mark.parametrize("alphas", [{"mixup": 0.8}, {"cutmix": 1.0}])
def test_a_batch_of_mixed_images_fits_the_model(make_model, make_processor, alphas):
    examples = [example(make_processor, labels, *labels) | {"seed": 3} for labels in ([0], [1, 2], [3], [])]
    batch = Collator(mixing=MixingSettings(mosaics=0.5, **alphas))(examples)
    assert "other_labels" not in batch
    outputs = make_model(num_labels=4, problem_type="multi_label_classification")(**batch)
    assert outputs.loss.isfinite()
    assert outputs.mask_loss > 0
