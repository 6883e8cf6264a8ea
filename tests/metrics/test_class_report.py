import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from modeling_pm_vit.metrics.class_report import CLASS_VALUES, OVERALL_VALUES, class_report


def drawn(seed: int = 0, images: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    return rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[labels], labels


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_those_of_scikit_learn(seed):
    logits, labels = drawn(seed)
    report = class_report(logits, labels, specificity=0.8)
    odds = np.exp(logits)
    scores, predicted = odds / odds.sum(1, keepdims=True), logits.argmax(1)
    precision, recall, f1, count = precision_recall_fscore_support(labels, predicted)
    for name, expected in (("recall", recall), ("precision", precision), ("f1", f1)):
        assert report.classes[name][:, 0] == pytest.approx(expected)
    areas = [roc_auc_score(labels == c, scores[:, c]) for c in range(4)]
    assert report.classes["auroc"][:, 0] == pytest.approx(areas, abs=1e-6)
    for c in range(4):
        false, true, _ = roc_curve(labels == c, scores[:, c], drop_intermediate=False)
        assert report.classes["sensitivity_at_specificity"][c, 0] == pytest.approx(true[false <= 0.2 + 1e-6].max())
        reached = scores[:, c] >= report.thresholds[c] - 1e-6
        assert reached[labels == c].mean() == pytest.approx(report.classes["sensitivity_at_specificity"][c, 0])
        assert (~reached)[labels != c].mean() >= 0.8
    assert np.array_equal(report.confusion, confusion_matrix(labels, predicted))
    assert report.overall["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert report.overall["macro_f1"][0] == pytest.approx(f1.mean())
    assert (report.count, report.images.tolist()) == (60, count.tolist())
    assert set(report.classes) == set(CLASS_VALUES) and set(report.overall) == set(OVERALL_VALUES)


def test_each_value_lies_in_its_interval():
    report = class_report(*drawn())
    for found in (*report.classes.values(), *(of[None] for of in report.overall.values())):
        value, low, high = found[np.isfinite(found).all(1)].T
        assert ((low >= 0) & (low <= value) & (value <= high) & (high <= 1)).all()


def test_images_without_a_label_do_not_count():
    logits, labels = drawn()
    unknown = np.where(np.arange(60) % 5 == 0, -100, labels)
    report, expected = class_report(logits, unknown), class_report(logits[unknown >= 0], labels[unknown >= 0])
    for name, found in report.classes.items():
        assert found == pytest.approx(expected.classes[name], nan_ok=True)
    assert report.count == 48


def test_a_class_without_an_image_has_no_recall_and_does_not_count_in_the_means():
    logits, labels = drawn()
    report = class_report(np.pad(logits, ((0, 0), (0, 1)), constant_values=-9), labels)
    known = class_report(logits, labels)
    assert np.isnan([report.classes[name][4, 0] for name in CLASS_VALUES]).all()
    for name, value in known.overall.items():
        assert report.overall[name][0] == pytest.approx(value[0], abs=1e-4)


def test_several_labels_are_one_question_each():
    """Of two classes of which an image can have both: each as if it were the only one, unknown labels left out."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 2)), rng.integers(0, 2, (40, 2))
    labels[::7, 1] = -100
    report = class_report(logits, labels)
    for c in range(2):
        known = labels[:, c] >= 0
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels[known, c], logits[known, c] >= 0, average="binary"
        )
        found = [report.classes[name][c, 0] for name in ("precision", "recall", "f1", "auroc")]
        assert found == pytest.approx(
            [precision, recall, f1, roc_auc_score(labels[known, c], logits[known, c])], abs=1e-6
        )
    assert report.confusion is None and "balanced_accuracy" not in report.overall
    assert report.overall["mean_average_precision"][0] == pytest.approx(
        report.classes["average_precision"][:, 0].mean()
    )
    assert class_report(logits[:, :1], labels[:, :1]).classes["auroc"][0] == pytest.approx(report.classes["auroc"][0])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2,\)"):
        class_report(np.zeros((3, 2)), np.zeros(2))
