import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.training.imbalance import class_weights, sampled_labels

NAMES = ["benign", "malignant", "normal"]


def rows(labels, feature=None) -> DatasetRows:
    features = Features({"row": Value("int64"), "label": feature or ClassLabel(names=NAMES)})
    return DatasetRows(Dataset.from_dict({"row": range(len(labels)), "label": labels}, features), "scans")


ONE = rows([0] * 6 + [1] * 2 + [2])
SEVERAL = rows([[0, 1], [0], [], None, [0]], List(ClassLabel(names=NAMES)))


@pytest.mark.parametrize(
    ("given", "sampling", "expected"),
    [
        (["balanced"], False, [0.5, 1.5, 3.0]),
        (["malignant=4"], False, [9 / 15, 36 / 15, 9 / 15]),
        (["malignant=4", "benign=0.5"], False, [4.5 / 12, 36 / 12, 9 / 12]),
        (["malignant=4"], True, [0.5, 2.0, 0.5]),
    ],
)
def test_weights_are_1_in_the_mean_over_an_epoch(given, sampling, expected):
    args = DataArguments(class_weights=given, balanced_sampling=sampling)
    assert class_weights(ONE, NAMES, args).tolist() == pytest.approx(expected)


def test_weights_follow_the_classes_of_the_training():
    args = DataArguments(class_weights=["balanced"])
    found = class_weights(ONE, ["other", *reversed(NAMES)], args)
    assert found[1:].tolist() == pytest.approx([3.0, 1.5, 0.5])


def test_of_several_labels_present_and_absent_weigh_the_same():
    found = class_weights(SEVERAL, NAMES, DataArguments(class_weights=["balanced"]))
    assert found.tolist() == pytest.approx([1 / 3, 3.0, 1.0])  # of four known images; none shows the last


def test_without_the_options_nothing_is_weighted_or_sampled():
    assert class_weights(ONE, NAMES, DataArguments()) is None
    assert sampled_labels(ONE, DataArguments()) is None
    labels = sampled_labels(ONE, DataArguments(balanced_sampling=True))
    assert np.bincount(labels).tolist() == [6, 2, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": ["malignant"]}, "takes none, balanced, or NAME=WEIGHT, weights above 0; got 'malignant'"),
        ({"class_weights": ["malignant=0"]}, "weights above 0; got 'malignant=0'"),
        ({"class_weights": ["cyst=2"]}, "no class 'cyst'; the classes are benign, malignant, normal"),
        ({"class_weights": ["balanced"], "balanced_sampling": True}, "choose one of them"),
    ],
)
def test_weights_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        class_weights(ONE, NAMES, DataArguments(**settings))


def test_sampling_needs_one_class_per_image():
    with pytest.raises(ValueError, match="scans has several labels, or a single class: use --class_weights balanced"):
        sampled_labels(SEVERAL, DataArguments(balanced_sampling=True))
