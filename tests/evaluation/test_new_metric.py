"""A new metric is one file and one line of the registry; here the file is this one."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.evaluation.evaluate_modules import load_metric
from modeling_pm_vit.evaluation.evaluator import EvaluationPlan, Evaluator
from modeling_pm_vit.evaluation.report import write_report
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.heatmaps import resized
from modeling_pm_vit.metrics.metric import Curves, ExplainedImages, HeldOut, Metric, MetricValue, Records, means
from modeling_pm_vit.metrics.registry import METRICS


def contrast(heatmaps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Difference of the map's means inside and outside the mask."""
    inside = (heatmaps * masks).sum((1, 2)) / masks.sum((1, 2))
    outside = (heatmaps * (1 - masks)).sum((1, 2)) / (1 - masks).sum((1, 2))
    return {"contrast": inside - outside, "both": np.stack([outside, inside], 1)}


def record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return contrast(images.heatmaps[rows], images.masks[rows].astype(int))


def above_the_held_out_mean(records: Records, held_out: Records) -> Records:
    return {"image": records["image"], "above": records["contrast"] > held_out["contrast"].mean()}


CONTRAST = Metric(
    name="contrast",
    title="Contrast of the object",
    values=(MetricValue("contrast", "Inside less outside", scale=1),),
    measure=contrast,
    summarize=means("contrast"),
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Means of the map of the true class inside and outside the mask.",
    eligible=lambda images: images.has_mask & (images.labels % 2 == 0),
    record=record,
    curves=Curves({"Outside and inside": "both"}, "from outside to inside", "mean of the map"),
    held_out=HeldOut(
        Metric(
            name="contrast_held_out",
            title="Contrast above that of held-out images",
            values=(MetricValue("above", "Above"),),
            measure=contrast,
            summarize=means("above"),
        ),
        above_the_held_out_mean,
    ),
)
CONFIDENCE = Metric(
    name="confidence",
    title="Confidence",
    values=(MetricValue("logit", "Largest logit", None, scale=1),),
    measure=lambda logits: {"logit": logits.max(1)},
    summarize=means("logit"),
    features={"logits": (1, "float32")},
    record=lambda images, rows: {"logit": images.logits[rows].max(1)},
    needs_explainer=False,
)


@pytest.fixture
def evaluate(make_model, make_processor, tmp_path):
    model, processor = make_model(id2label=dict(enumerate(CLASSES))), make_processor()

    def run(split: str) -> Evaluator:
        explainers = {name: EXPLAINERS[name] for name in ("gaussian", "pm-vit")}
        plan = EvaluationPlan(explainers, ["contrast", "confidence"], batch_size=8)
        classifier = Classifier(model, processor.image_mean, processor.image_std)
        dataset = synthetic_dataset(split, 20, image_size=32)
        evaluator = Evaluator(classifier, processor, dataset, "class_id", Columns(), plan, tmp_path / split)
        evaluator.run()
        return evaluator

    return run


def test_a_metric_is_evaluated_reported_and_a_module_once_it_is_registered(evaluate, monkeypatch, tmp_path):
    monkeypatch.setitem(METRICS, "contrast", CONTRAST)
    monkeypatch.setitem(METRICS, "confidence", CONFIDENCE)
    evaluator, held_out = evaluate("test"), evaluate("validation")
    results = write_report(evaluator, tmp_path / "report", CLASSES, "Shapes", {}, held_out)

    batch = evaluator.batch(range(20))
    rows = np.flatnonzero(batch.labels % 2 == 0)
    for explainer in ("gaussian", "pm-vit"):
        maps = EXPLAINERS[explainer](evaluator.classifier.model, batch.pixel_values, torch.as_tensor(batch.labels))
        expected = contrast(resized(maps, (32, 32))[rows], batch.masks[rows].astype(int))["contrast"]
        found = results["contrast"][explainer]["contrast"]
        assert found.images.tolist() == rows.tolist()
        assert found.per_image == pytest.approx(expected, abs=1e-6)
        assert results["contrast_held_out"][explainer]["above"].count == len(rows) > 3
    assert results["confidence"]["classifier"]["logit"].count == 20

    report = tmp_path / "report"
    text, page = (report / "report.md").read_text(), (report / "index.html").read_text()
    for title in ("Contrast of the object", "Contrast above that of held-out images", "Confidence"):
        assert f"## {title}" in text
        assert title in page
    with (report / "values.csv").open() as file:
        rows = {(row["metric"], row["value_name"], row["explainer"]): row for row in csv.DictReader(file)}
    value = results["contrast"]["pm-vit"]["contrast"].value
    assert float(rows["contrast", "contrast", "pm-vit"]["value"]) == value
    assert Image.open(report / "contrast.png").width > 300

    module = load_metric("contrast", cache_dir=str(tmp_path))
    module.add_batch(heatmaps=[[[1.0, 0.25]]], masks=[[[1, 0]]])
    assert module.compute() == {"contrast": 0.75}
