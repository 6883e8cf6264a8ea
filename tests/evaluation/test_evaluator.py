import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.evaluation.evaluator import CLASSIFIER, EvaluationPlan, Evaluator
from modeling_pm_vit.evaluation.results import collect_results
from modeling_pm_vit.evaluation.run import evaluate as evaluate_run
from modeling_pm_vit.explainers import EXPLAINERS, explainers
from modeling_pm_vit.metrics.metric import MetricOptions
from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.utils.arguments import ArgumentParser
from tests.processes import run_command

CLASSES = ["red", "green", "blue", "grey"]
PROCESSOR = {"size": {"height": 32, "width": 32}, "patch_size": 8, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}


def colour_model() -> PMViTForImageClassification:
    """Says at every patch how red, green and blue it is; [CLS] attends to all patches alike and says the mean."""
    config = PMViTConfig(
        image_size=32, patch_size=8, hidden_size=8, num_attention_heads=1, num_hidden_layers=1, num_labels=4
    )
    model = PMViTForImageClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        projection = model.vit.embeddings.patch_embeddings.projection
        for channel in range(3):
            projection.weight[channel, channel] = 1 / 64
        projection.bias[3] = 0.1  # a black patch is none of them
        attention = model.vit.layers[0].attention
        model.vit.layers[0].layernorm_before.weight.fill_(1)
        attention.v_proj.weight.copy_(torch.eye(8))
        attention.o_proj.weight.copy_(0.02 * torch.eye(8))
        model.vit.layernorm.weight.fill_(1)
        for c in range(3):
            model.classifier.weight[c, :4] = -6.0
            model.classifier.weight[c, c] = 6.0
        model.classifier.bias.copy_(torch.tensor([-6.0, -6.0, -6.0, -100.0]))  # nothing is grey
    return model


def squares(count: int = 12, mask: bool = True) -> Dataset:
    """Each image shows a large square of its class left above and a small one of the next class right below."""
    rows: dict[str, list] = {"image": [], "label": [], "mask": []}
    for index in range(count):
        ids = np.zeros((64, 64), np.uint8)
        ids[:32, :32], ids[48:, 48:] = index % 3 + 1, (index + 1) % 3 + 1
        pixels = np.stack([255 * (ids == c + 1) for c in range(3)], -1).astype(np.uint8)
        rows["image"].append(Image.fromarray(pixels))
        rows["label"].append(index % 3)
        rows["mask"].append(Image.fromarray(ids) if mask else None)
    features = {"image": ImageFeature(), "label": ClassLabel(names=CLASSES), "mask": ImageFeature()}
    return Dataset.from_dict(rows, Features(features))


@pytest.fixture
def evaluate(tmp_path):
    def run(
        names=("gaussian", "pm-vit"), dataset=None, folder="records", methods=EXPLAINERS, options=(), **settings
    ) -> Evaluator:
        model = colour_model()
        options = MetricOptions(
            **{"num_grids": 3, "tie_orders": 2, "step_rows": 4, "sensitivity_samples": 2} | dict(options)
        )
        plan = EvaluationPlan({name: methods[name] for name in names}, options=options, **{"batch_size": 4} | settings)
        classifier = Classifier(model, [0.0] * 3, [1.0] * 3)
        dataset = squares() if dataset is None else dataset
        processor = PMViTImageProcessor(**PROCESSOR)
        evaluator = Evaluator(classifier, processor, dataset, "class_id", Columns(), plan, tmp_path / folder)
        evaluator.run()
        return evaluator

    return run


def values(evaluator: Evaluator) -> dict:
    return {
        (metric, explainer, name): result.value
        for metric, found in collect_results(evaluator).items()
        for explainer, values_of in found.items()
        for name, result in values_of.items()
    }


def test_a_map_that_depends_on_the_class_wins_where_one_that_does_not_cannot(evaluate):
    metrics = ["classification", "on_target_mass", "segmentation", "pointing", "localization", "semantic_segmentation"]
    metrics += ["randomization", "map_calibration", "grid_2x2"]
    got = values(evaluate(metrics=metrics))
    assert got["classification", CLASSIFIER, "top1"] == 1
    assert got["on_target_mass", "pm-vit", "on_target_mass"] > 0.95
    # The shares of two objects add up to one.
    assert got["on_target_mass", "gaussian", "on_target_mass"] == pytest.approx(0.5)
    assert got["segmentation", "pm-vit", "mask_iou"] > 0.8
    assert got["pointing", "pm-vit", "pointing_game"] == 1
    assert got["pointing", "pm-vit", "energy_pointing_game"] > 0.75
    assert got["localization", "pm-vit", "max_box_acc"] == 1
    assert got["semantic_segmentation", "pm-vit", "semantic_miou"] > 0.7
    assert got["randomization", "gaussian", "after_everything"] == pytest.approx(1)
    assert ("map_calibration", "gaussian", "pixel_calibration_error") not in got
    assert ("grid_2x2", "pm-vit", "grid_2x2") not in got  # three classes make no grid of four


@pytest.mark.slow
def test_values_do_not_depend_on_the_batches(evaluate):
    names = [name for name in METRICS if name != "randomization"]
    shared = {"dataset": squares(3), "metrics": names}
    whole = values(evaluate(**shared, batch_size=3, folder="whole"))
    parts = values(evaluate(**shared, batch_size=2, folder="parts"))  # of two images and of one
    assert parts == pytest.approx(whole, abs=1e-5)


def test_more_explainers_and_metrics_are_added_and_nothing_is_made_twice(evaluate):
    evaluator = evaluate(["pm-vit"], metrics=["pointing"])
    before = {path: path.stat().st_mtime_ns for path in evaluator.store.folder.rglob("*.npz")}
    evaluator = evaluate(["random", "pm-vit"], metrics=["pointing", "segmentation"])
    after = {path: path.stat().st_mtime_ns for path in evaluator.store.folder.rglob("*.npz")}
    assert len(after) > len(before)
    assert {path: after[path] for path in before} == before
    assert set(collect_results(evaluator)["segmentation"]) == {"random", "pm-vit"}


def test_limits_are_whole_batches_and_images_are_drawn_with_the_seed(evaluate):
    evaluator = evaluate(max_samples=10, limits={"pointing": 3}, metrics=["pointing", "map_statistics"])
    assert len(evaluator.records("pointing", "pm-vit")["image"]) == 4
    assert evaluator.records("map_statistics", "pm-vit")["image"].tolist() == list(range(10))
    assert len(set(evaluator.indices.tolist())) == 10
    other = evaluate(max_samples=10, seed=1, metrics=[], folder="other")
    assert evaluator.indices.tolist() != other.indices.tolist()


def test_images_without_masks_are_evaluated_where_none_is_needed(evaluate):
    need_masks = ["segmentation", "pointing", "on_target_mass", "localization", "semantic_segmentation"]
    results = collect_results(evaluate(dataset=squares(mask=False), metrics=["perturbation", *need_masks]))
    assert set(results) == {"classification", "per_class", "perturbation"}


def test_a_setting_belongs_to_the_metrics_and_explainers_that_use_it(evaluate):
    """Records of others are extended and reported whatever it is; with its own they are refused."""
    few, more = explainers(rise_masks=4), explainers(rise_masks=5)
    evaluate(["pm-vit"], metrics=["pointing", "perturbation"], options={"tie_orders": 2})
    evaluate(["rise"], metrics=["pointing"], methods=few, options={"tie_orders": 3, "num_grids": 1})
    evaluator = evaluate(["pm-vit"], metrics=["segmentation"], methods=more, limits={"segmentation": 4})
    assert {name: list(found) for name, found in collect_results(evaluator).items()} == {
        "classification": [CLASSIFIER],
        "per_class": [CLASSIFIER],
        "segmentation": ["pm-vit"],
        "pointing": ["rise", "pm-vit"],
        "perturbation": ["pm-vit"],
    }
    with pytest.raises(ValueError, match="perturbation holds records with tie_orders = 2, asked for 3"):
        evaluate(["rise"], metrics=["perturbation"], methods=few, options={"tie_orders": 3})
    with pytest.raises(ValueError, match="rise holds records with rise_masks = 4, asked for 5"):
        evaluate(["rise"], metrics=["pointing"], methods=more)
    with pytest.raises(ValueError, match="segmentation holds records with limit = 4, asked for None"):
        evaluate(["pm-vit"], metrics=["segmentation"])


def test_what_the_images_do_not_allow_is_said(evaluate):
    evaluator = evaluate(metrics=["grid_2x2", "grid_3x3_bcos", "pointing"], dataset=squares(mask=False))
    assert evaluator.not_evaluated == [
        "grid_2x2: not evaluated; it needs 4 classes with a correctly classified image.",
        "grid_3x3_bcos: not evaluated; it needs more than 9 classes with a correctly classified image whose logit is "
        "positive.",
        "pointing: not evaluated; it needs images with a mask or box.",
    ]
    evaluator = evaluate(["gaussian"], metrics=["pointing", "map_calibration"], folder="other")
    assert evaluator.not_evaluated == [
        "map_calibration: not evaluated; it needs images with a mask that is not empty, and an explainer whose maps "
        "are probabilities."
    ]


def test_images_with_an_empty_mask_are_counted_apart(evaluate):
    rows = squares(6).to_dict()
    rows["mask"][1] = Image.fromarray(np.zeros((64, 64), np.uint8))
    dataset = Dataset.from_dict(rows, squares(1).features)
    evaluator = evaluate(metrics=["segmentation", "pointing", "map_calibration", "empty_masks"], dataset=dataset)
    counts = {
        name: found["pm-vit"][METRICS[name].values[0].name].count
        for name, found in collect_results(evaluator).items()
        if "pm-vit" in found
    }
    assert counts == {"segmentation": 5, "pointing": 5, "map_calibration": 5, "empty_masks": 1}


def test_other_settings_are_refused_by_name(evaluate):
    evaluate(metrics=["pointing"])
    with pytest.raises(ValueError, match=r"seed = 0, asked for 1"):
        evaluate(metrics=["pointing"], seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"metrics": ["pointer"]}, "no metric 'pointer'"), ({"limits": {"grid_2x2": 3}}, "takes no limit")],
)
def test_wrong_plans_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EvaluationPlan(EXPLAINERS, **settings)


@pytest.fixture
def flags(tmp_path):
    """Options of `pm-vit evaluate` for a saved model and the built-in images, given the name of the output."""
    torch.manual_seed(0)
    names = ["ball", "cross", "star", "moon", "drop", "tile", "brick", "ring", "leaf", "clover"]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    config = PMViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_attention_heads=2, num_hidden_layers=2, **labels
    )
    PMViTForImageClassification(config).save_pretrained(tmp_path / "model")
    PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / "model")
    shared = "--max_samples 12 --batch_size 4 --explainers gaussian pm-vit --metrics perturbation pointing"
    shared += " --device cpu --num_threads 1"
    return lambda output: [
        *("--model", str(tmp_path / "model"), "--output_dir", str(tmp_path / output)),
        *shared.split(),
    ]


def records_of(folder) -> dict[Path, int]:
    """When each part was written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.npz")}


@pytest.mark.slow
def test_a_killed_run_is_completed_by_two_processes(flags, tmp_path):
    """They share the images; records, values and what is printed are those of one process that nobody killed."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    evaluate_run(ArgumentParser(EvaluationArguments).parse(flags("whole")))
    assert run_command(["evaluate", *flags("killed")], kill_at=(".npz.", 5)).codes == [-signal.SIGKILL]
    left = records_of(killed)
    assert len(left) == 4
    assert not (killed / "values.csv").exists()

    done = run_command(["evaluate", *flags("killed")], processes=2)
    assert done.codes == [0, 0], done.stderr
    assert done.stdout.count("tables, values and page") == 1
    assert {path: time for path, time in records_of(killed).items() if path in left} == left
    assert (killed / "values.csv").read_text() == (whole / "values.csv").read_text()
    for path in records_of(whole):
        with np.load(path) as one, np.load(killed / path.relative_to(whole)) as two:
            assert one.files == two.files
            assert all(np.array_equal(one[name], two[name], equal_nan=True) for name in one.files)


@pytest.mark.slow
def test_every_explainer_and_metric_has_its_place_in_the_report(tmp_path):
    from modeling_pm_vit.evaluation.report import write_report

    plan = EvaluationPlan(
        explainers(rise_masks=20, integration_steps=3),
        batch_size=4,
        options=MetricOptions(num_grids=1, step_rows=8, sensitivity_samples=2, tie_orders=1),
    )
    classifier = Classifier(colour_model(), [0.0] * 3, [1.0] * 3)
    evaluator = Evaluator(
        classifier, PMViTImageProcessor(**PROCESSOR), squares(2), "class_id", Columns(), plan, tmp_path / "records"
    )
    evaluator.run()
    write_report(evaluator, tmp_path / "report", CLASSES, "Squares", {"model": "colours"})
    page = (tmp_path / "report" / "index.html").read_text()
    text = (tmp_path / "report" / "report.md").read_text()
    for explainer in plan.explainers.values():
        assert explainer.title in page
        assert explainer.title in text
    for name in collect_results(evaluator):
        assert f"## {METRICS[name].title}" in text
    for picture in ("explanations.png", "perturbation.png", "insertion_deletion.png"):
        assert picture in page
        assert Image.open(tmp_path / "report" / picture).width > 500
