import json

import numpy as np
import pytest

from modeling_pm_vit.metrics.class_report import class_report
from modeling_pm_vit.reporting.class_summary import class_summary, summary_lines, summary_table

NAMES = ["benign", "malignant", "normal"]
# 42 cancers, of which 18 are called benign.
LABELS = np.repeat([0, 1, 2], [87, 42, 10])
PREDICTED = np.concatenate([np.zeros(87, int), np.repeat([1, 0], [24, 18]), np.full(10, 2)])


def summary(**more):
    return class_summary(class_report(np.eye(3)[PREDICTED], LABELS), NAMES, **more)


def test_the_first_lines_say_how_often_it_is_right_and_what_is_missed():
    lines = summary_lines(summary())
    assert lines[0].startswith("Right on 121 of 139 images (87.1 % [80.5, 91.6]). Mean over the classes (balanced")
    assert lines[1] == "malignant: 24 of 42 images recognised (57.1 % [42.2, 70.9]); 18 missed, called benign (18)."
    assert len(lines) == 2  # of the other classes nothing is missed


def test_maps_say_how_often_the_object_is_found_and_how_good_its_outline_is():
    overlaps = np.where(LABELS == 1, np.arange(139) % 2 * 0.5, np.where(LABELS == 0, 0.25, np.nan))
    found = summary(overlaps=overlaps, labels=LABELS, recognised=PREDICTED == LABELS)
    assert (found["objects"], found["classes"]["malignant"]["object_found"]) == (129, 0.5)
    assert found["classes"]["malignant"]["outline_iou"] == 0.25 and "objects" not in found["classes"]["normal"]
    maps, worst = summary_lines(found)[-2:]
    assert maps.startswith("Maps, on 129 images with a mask: the object is found in 83.7 % [") and maps.endswith(
        "0.25."
    )
    assert worst.startswith("Found least: malignant, 50.0 % [35.5, 64.5] of 42 images")
    assert worst.endswith(" Found in 50.0 % of the recognised, 50.0 % of the missed ones.")
    head, *rows = summary_table(found)
    assert [row[head.index("object found")] for row in rows][2] == "-"
    assert [row[-1] for row in rows] == ["-", "benign (18)", "-"]


@pytest.mark.parametrize("classes", [10, 11])
def test_top5_is_told_of_more_than_ten_classes_only(classes):
    labels = np.arange(classes)
    found = class_summary(class_report(np.eye(classes), labels), [f"c{c}" for c in labels], top5=1.0)
    assert ("top5_accuracy" in found) == (classes == 11)
    assert any("first five" in line for line in summary_lines(found)) == (classes == 11)


def test_of_many_classes_those_that_are_recognised_least_are_shown():
    labels = np.arange(60) % 30
    predicted = np.where((labels >= 25) & (np.arange(60) < 30), 0, labels)
    found = class_summary(class_report(np.eye(30)[predicted], labels), [f"c{c}" for c in range(30)])
    rows = summary_table(found)[1:]
    assert len(rows) == 20 and {row[0] for row in rows[:5]} == {f"c{c}" for c in range(25, 30)}


def test_several_labels_per_image_have_no_accuracy():
    report = class_report(np.array([[1.0, -1], [2, 1], [-1, 2]]), np.array([[1, 0], [0, 1], [1, 1]]))
    found = class_summary(report, ["cat", "dog"])
    lines = summary_lines(found)
    assert lines[0].startswith("On 3 images, means over the classes: AUROC ")
    assert lines[1].startswith("cat: 1 of 2 images recognised (50.0 %") and lines[1].endswith("; 1 missed.")
    assert "missed, called" not in summary_table(found)[0]


def test_a_class_without_an_image_is_told_and_all_is_json():
    found = class_summary(class_report(np.eye(3)[PREDICTED][:129], LABELS[:129]), NAMES)
    assert summary_lines(found)[-1] == "Nothing is known about normal: no image shows it."
    assert json.loads(json.dumps(found, allow_nan=False)) == found
