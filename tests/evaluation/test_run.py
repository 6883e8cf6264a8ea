from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.run import align_labels, evaluate
from modeling_pm_vit.explainers import EXPLAINERS


def labelled(names: list[str], labels: list[int]) -> Dataset:
    features = Features({"row": Value("int64"), "label": ClassLabel(names=names)})
    return Dataset.from_dict({"row": list(range(len(labels))), "label": labels}, features)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"a": 0, "b": 1, "c": 2}, [0, 1, 2]),
        ({"c": 0, "b": 1, "a": 2}, [2, 1, 0]),
        ({"x": 0, "a": 1, "b": 2, "c": 3}, [1, 2, 3]),  # a model with more classes
        ({"one": 0, "two": 1, "three": 2}, [0, 1, 2]),  # other names for as many classes: in order
    ],
)
def test_labels_become_the_models_indices(model, expected):
    aligned = align_labels(labelled(["a", "b", "c"], [0, 1, 2]), "label", model)
    assert aligned["label"] == expected
    assert len(aligned.features["label"].names) == len(model)


def test_a_file_gives_the_models_order(tmp_path):
    (tmp_path / "order.txt").write_text("n2 goldfish\nn1 tench, Tinca tinca\n")
    aligned = align_labels(labelled(["n1", "n2"], [0, 1]), "label", {"goldfish": 0, "tench": 1}, tmp_path / "order.txt")
    assert aligned["label"] == [1, 0]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (labelled(["a", "z"], [0, 1]), "class 'z', which is none of the model's 3"),
        (labelled(["a", "b"], [0, -1]), r"row 1 has no class"),
        (Dataset.from_dict({"label": ["a"]}, Features({"label": Value("string")})), "must be a ClassLabel"),
    ],
)
def test_labels_that_cannot_be_the_models(dataset, message):
    with pytest.raises(ValueError, match=message):
        align_labels(dataset, "label", {"a": 0, "b": 1, "c": 2})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"explainers": ["gradcam"]}, "no explainer 'gradcam'; choose from: random"),
        ({"metrics": ["x"]}, "no metric 'x'; choose from: classification"),
        ({"limit": ["x=3"]}, "no metric 'x'"),
        ({"limit": ["pointing=0"]}, "METRIC=N"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(asked, message):
    with pytest.raises(ValueError, match=message):
        EvaluationArguments(model="runs/demo", output_dir=Path("out"), **asked)


def test_former_names_are_still_accepted():
    former = {"explainers": ["prediction-map"], "metrics": ["own_object"], "limit": ["own_object=3"]}
    arguments = EvaluationArguments(model="runs/demo", **former)
    assert (arguments.explainers, arguments.metrics) == (["patch-logits"], ["on_target_mass"])
    assert arguments.limits == {"on_target_mass": 3}


@pytest.fixture
def plain_vit(tmp_path):
    """A stock checkpoint, as any ViT classifier is saved."""
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **sizes, **labels)).save_pretrained(
        tmp_path / "vit"
    )
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


def test_a_plain_vit_is_evaluated_too(plain_vit, tmp_path):
    request = EvaluationArguments(
        plain_vit,
        tmp_path / "out",
        explainers=["rollout", "pm-vit"],
        metrics=["pointing"],
        max_samples=6,
        batch_size=4,
    )
    results, folder = evaluate(request)
    assert set(results["pointing"]) == {"rollout", "pm-vit"}
    assert results["classification"]["classifier"]["top1"].count == 6
    assert {"index.html", "report.md", "values.csv", "results.json"} <= {path.name for path in folder.iterdir()}


def test_a_column_that_is_not_there_is_named(plain_vit, tmp_path):
    request = EvaluationArguments(plain_vit, tmp_path / "out", mask_column="box", max_samples=4)
    with pytest.raises(ValueError, match=r"no column 'box'; its columns are image, label, mask"):
        evaluate(request)


@pytest.mark.slow
def test_bfloat16_gives_nearly_the_same_and_its_records_are_not_mixed_with_others(plain_vit, tmp_path):
    asked = {"metrics": ["map_statistics"], "max_samples": 4, "rise_masks": 8, "integration_steps": 2}
    exact, _ = evaluate(EvaluationArguments(plain_vit, tmp_path / "fp32", **asked))
    rough, _ = evaluate(EvaluationArguments(plain_vit, tmp_path / "bf16", precision="bf16", **asked))
    assert exact["map_statistics"].keys() == EXPLAINERS.keys()
    changed = set()
    for explainer, found in exact["map_statistics"].items():
        values = [found["sparseness"].per_image, rough["map_statistics"][explainer]["sparseness"].per_image]
        assert values[0] == pytest.approx(values[1], abs=0.15)
        if (values[0] != values[1]).any():
            changed.add(explainer)
    assert changed == EXPLAINERS.keys() - {"random", "gaussian"}
    with pytest.raises(ValueError, match="precision"):
        evaluate(EvaluationArguments(plain_vit, tmp_path / "fp32", precision="bf16", **asked))
