import numpy as np
import pytest
import torch
import yaml

from experiments.baselines.__main__ import main
from experiments.baselines.run import read_plan
from experiments.baselines.table import table
from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.evaluation.results import metric_results
from modeling_pm_vit.explainers.registry import EXPLAINERS, explainer_names
from modeling_pm_vit.metrics.pointing import POINTING
from modeling_pm_vit.metrics.registry import METRICS, metric_names


def test_the_table_names_the_best_other_explainer_and_who_is_ahead():
    rng = np.random.default_rng(0)
    base = rng.random(60)

    def records(values):
        return {"image": np.arange(60), "pointing_game": values, "energy_pointing_game": 1 - values}

    by_explainer = {
        "pm-vit": records(base + 0.5),
        "patch-logits": records(base + 0.5),
        "rise": records(base),
        "legrad": records(base + 0.01),
    }
    rows = table({"birds": {"pointing": metric_results(POINTING, by_explainer)}, "others": {}})
    assert rows[0] == ["", "birds", "others"]
    mean = 100 * base.mean()
    assert rows[1:] == [
        ["Pointing game", f"{mean + 50:.1f} > {mean + 1:.1f} (LeGrad)", ""],
        ["Energy-based pointing game", f"{50 - mean:.1f} < {100 - mean:.1f} (RISE)", ""],
    ]
    level = {name: records(base + 0.01 * rng.normal(size=60)) for name in ("pm-vit", "rise")}
    assert " = " in table({"birds": {"pointing": metric_results(POINTING, level)}})[1][1]


@pytest.mark.parametrize("name", ["published", "rehearsal"])
def test_the_configs_are_read_and_the_published_one_has_every_explainer_and_metric(name, request):
    plan = read_plan(request.config.rootpath / "experiments" / "baselines" / "configs" / f"{name}.yaml")
    assert list(plan.datasets) == ["cub10", "busi", "ham10000", "tin200"]
    asked = {(e, m) for s in plan.steps for e in explainer_names(s["explainers"]) for m in metric_names(s["metrics"])}
    if name == "published":
        needed = {m for m, metric in METRICS.items() if metric.needs_explainer}
        needed -= {"semantic_segmentation"}  # without maps of class ids
        probabilities = {"map_calibration", "empty_masks"}
        assert {(e, m) for e in EXPLAINERS for m in needed if e == "pm-vit" or m not in probabilities} <= asked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "must hold options, datasets, steps"),
        ("{options: {rise_mask: 3}, datasets: {}, steps: []}", "no option 'rise_mask'"),
    ],
)
def test_other_configs_are_refused(tmp_path, text, message):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_plan(tmp_path / "plan.yaml")


@pytest.mark.slow
def test_one_command_evaluates_every_dataset_and_goes_on(tmp_path, capsys):
    for number, name in enumerate(("one", "two")):
        synthetic_dataset("test", 8, image_size=32).to_parquet(tmp_path / f"data/{name}/test.parquet")
        torch.manual_seed(number)
        labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {c: i for i, c in enumerate(CLASSES)}}
        sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
        config = PMViTConfig(image_size=32, patch_size=8, **sizes, **labels)
        PMViTForImageClassification(config).save_pretrained(tmp_path / "models" / name)
        PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / "models" / name)
    plan = {
        "options": {"batch_size": 4, "rise_masks": 4, "mask_encoding": "class_id"},
        "datasets": {"one": {"split": "test"}, "two": {"split": "test", "max_samples": 4}},
        "steps": [
            {"explainers": ["gaussian", "pm-vit"], "metrics": ["pointing", "map_statistics"]},
            {"explainers": ["rise"], "metrics": ["pointing"]},
        ],
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    folders = ["--data", str(tmp_path / "data"), "--models", str(tmp_path / "models")]
    words = [str(tmp_path / "plan.yaml"), *folders, "--output_dir", str(tmp_path / "out"), "--device", "cpu"]
    assert main(words) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == [
        "Pointing game",
        "Energy-based pointing game",
    ]
    report = (tmp_path / "out" / "two" / "report.md").read_text()
    assert "| RISE" in report.partition("## Pointing")[2] and "4 images of 8" in report
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")} == before
    assert main([*words, "--datasets", "three"]) == 2
    assert "no dataset 'three'" in capsys.readouterr().err
