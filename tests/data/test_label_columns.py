"""Columns of lists, multi-hot vectors and flags, in files, folders, streams and tar files."""

import io
import json
import tarfile

import pytest
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value
from PIL import Image

from modeling_pm_vit.data.classes import ClassMap, class_names
from modeling_pm_vit.data.drawing import draw
from modeling_pm_vit.data.label_columns import label_kind, label_names, require_absent_images, shown_in
from modeling_pm_vit.data.multi_label import LabelVectors
from modeling_pm_vit.data.rows import Rows
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.utils.errors import InputError

UNKNOWN = -100.0


@pytest.mark.parametrize(
    ("feature", "kind", "names"),
    [
        (ClassLabel(names=["cat", "dog"]), "class", ["cat", "dog"]),
        (ClassLabel(names=["cat"]), "only_class", ["cat"]),
        (Value("bool"), "flag", ["tumour"]),
        (List(ClassLabel(names=["cat", "dog"])), "list", ["cat", "dog"]),
        (LargeList(ClassLabel(names=["cat", "dog"])), "list", ["cat", "dog"]),
        (List(Value("float32"), length=3), "multi_hot", ["0", "1", "2"]),
        (List(Value("bool"), length=3), "multi_hot", ["0", "1", "2"]),
    ],
)
def test_the_type_of_a_column_says_how_it_holds_labels(feature, kind, names):
    assert label_kind(feature) == kind
    assert label_names({"tumour": feature}, "tumour") == names


@pytest.fixture
def open_labels(tmp_path):
    """Opens a dataset of these labels in one of the formats."""

    def make(labels: list, form: str = "parquet", feature=None) -> Rows:
        if form == "tar":
            with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
                for number, label in enumerate(labels):
                    if label is not None:
                        content = json.dumps(label).encode()
                        member = tarfile.TarInfo(f"{number}.label")
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))
                    archive.addfile(tarfile.TarInfo(f"{number}.jpg"))
        elif form == "imagefolder":
            (tmp_path / "train").mkdir()
            with (tmp_path / "train" / "metadata.jsonl").open("w") as metadata:
                for number, label in enumerate(labels):
                    Image.new("RGB", (8, 8)).save(tmp_path / "train" / f"{number}.png")
                    metadata.write(json.dumps({"file_name": f"{number}.png", "label": label}) + "\n")
        else:
            features = None if feature is None else Features({"image": Value("string"), "label": feature})
            dataset = Dataset.from_dict({"image": ["x"] * len(labels), "label": labels}, features=features)
            dataset.to_parquet(tmp_path / "train-0.parquet")
        return open_rows(str(tmp_path), "train", streaming=form == "stream")

    return make


def vectors_of(rows: Rows) -> list[list[float]]:
    names = label_names(rows.features, "label")
    vectors = LabelVectors.of_column(rows.features, "label", ClassMap.own(names), len(names))
    return [vectors.of(rows[row]["label"]).tolist() for row in range(len(rows))]


@pytest.mark.parametrize("form", ["parquet", "stream", "tar", "imagefolder"])
@pytest.mark.parametrize(
    ("labels", "names", "shown"),
    [
        ([["tree", "car"], [], ["tree"], None], ["car", "tree"], [[1, 0], [], [1], None]),
        ([[2, 0], [], [0], None], ["0", "1", "2"], [[2, 0], [], [0], None]),
        ([[1, 0, 1], [0, 0, 0], [1, -100, 0], None], ["0", "1", "2"], [[0, 2], [], [0], None]),
        ([[True, False], [False, False], [False, None], None], ["0", "1"], [[0], [], [], None]),
        ([[1.0, 0.0], [0.0, 0.0], [0.0, -100.0], None], ["0", "1"], [[0], [], [], None]),
    ],
)
def test_lists_are_read_from_every_format(open_labels, form, labels, names, shown):
    rows = open_labels(labels, form)
    assert label_names(rows.features, "label") == names
    assert shown_in(rows, "label") == shown
    expected = [[UNKNOWN] * len(names) if s is None else [float(c in s) for c in range(len(names))] for s in shown]
    is_multi_hot = len(labels[0]) == len(labels[1])
    if is_multi_hot:
        expected[2] = [UNKNOWN if label in (None, -100) else float(label) for label in labels[2]]
    assert vectors_of(rows) == expected


@pytest.mark.parametrize("form", ["parquet", "stream"])
@pytest.mark.parametrize(
    ("labels", "feature", "expected"),
    [
        ([[1], [], None], List(ClassLabel(names=["cat", "dog"])), [[0, 1], [0, 0], [UNKNOWN] * 2]),
        ([[1, 0], [0, 1], None], List(Value("int64"), length=2), [[1, 0], [0, 1], [UNKNOWN] * 2]),
        ([True, False, None], Value("bool"), [[1], [0], [UNKNOWN]]),
        (["cat", None, "cat"], Value("string"), [[1], [0], [1]]),
        ([0, None, 0], ClassLabel(names=["cat"]), [[1], [0], [1]]),
    ],
)
def test_typed_columns_and_columns_of_a_single_class(open_labels, form, labels, feature, expected):
    assert vectors_of(open_labels(labels, form, feature)) == expected


@pytest.mark.parametrize("form", ["parquet", "stream", "tar"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1], [1, 0], [0, 1]], "could be indices of classes, or one number for each of two classes: write"),
        ([[0.0, 1.0], [1.0], [0.5]], "holds lists of 1 to 2 numbers; a list with a number for each class has the same"),
        ([[], [], None], "holds lists, but none has a label in it"),
        ([[[1], [2]], [[3]], [[4]]], r"must hold lists of class names, .* got \[\[1\], \[2\]\]"),
        ([[-1, 2], [0], [1]], "must lie in 0|class indices"),
    ],
)
def test_lists_that_are_no_labels_are_refused(open_labels, form, labels, message):
    with pytest.raises(InputError, match=message):
        vectors_of(open_labels(labels, form))


@pytest.mark.parametrize(
    ("labels", "feature", "remedy"),
    [
        (["cat"] * 3, Value("string"), "the label null"),
        ([["cat"]] * 3, List(Value("string")), "an empty list as label"),
        ([True] * 3, Value("bool"), "the label false"),
    ],
)
def test_a_single_class_needs_images_without_it(open_labels, labels, feature, remedy):
    with pytest.raises(InputError, match=rf"\(train\) has one class, .*, and no image without it.* {remedy}"):
        require_absent_images(open_labels(labels, feature=feature), "label")


def test_a_folder_of_a_single_class_says_what_is_needed(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / split / "tumour").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "tumour" / "a.png")
    with pytest.raises(InputError, match=r"one class only, 'tumour' \(.*/train/tumour\).*'normal', or write a"):
        open_rows(str(tmp_path), "train")


def test_two_classes_and_a_single_one_with_images_without_it_are_enough(open_labels, tmp_path):
    require_absent_images(open_labels(["cat", None, "cat"]), "label")
    for file in tmp_path.iterdir():
        file.unlink()
    require_absent_images(open_labels(["cat", "dog"]), "label")


def test_a_part_of_a_dataset_has_every_class_and_images_without_any(open_labels):
    labels = [["cat"]] * 50 + [["cat", "dog"]] + [[]] * 2 + [["owl"]]
    drawn = shown_in(draw(open_labels(labels), "label", 4, 0), "label")
    assert sorted(map(str, drawn)) == ["[0, 1]", "[0]", "[2]", "[]"]


def test_commands_that_need_one_class_per_image_say_so(open_labels):
    rows = open_labels([["cat", "dog"], []])
    with pytest.raises(InputError, match="'label' holds several labels per image, but this command needs one class"):
        class_names(rows.features, "label")
    with pytest.raises(InputError, match="'tumour' holds flags, but this command needs one class per image"):
        class_names({"tumour": Value("bool")}, "tumour")
