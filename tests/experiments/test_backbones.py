"""The experiment on maps of mean-pooled classifiers: what it calls, in which order, and its table."""

import json
from pathlib import Path

import pytest

from experiments.backbones.__main__ import table
from experiments.backbones.run import Plan, run_seed
from experiments.plans import read_fields
from modeling_pm_vit.conversion.arguments import ConvertArguments
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.utils.arguments import ArgumentParser
from modeling_pm_vit.utils.errors import PMViTError


@pytest.mark.parametrize("config", ["cub10", "rehearsal"])
def test_each_model_is_trained_on_the_one_before_and_evaluated_once(config, request, tmp_path):
    plan = read_fields(Plan, request.config.rootpath / "experiments" / "backbones" / "configs" / f"{config}.yaml")
    called = []

    def call(words):
        called.append(words)
        if words[0] == "convert":
            made = ArgumentParser(ConvertArguments).parse(words[1:])
            assert (made.seed, made.pooling, made.num_labels) == (1, "mean", 10)
            files = [made.output_dir / "preprocessor_config.json"]
        elif words[0] == "train":
            model, data, training = parse_arguments([*words[1:], "--use_cpu", "true"])
            assert (data.mask_column, training.num_train_epochs) == ("box", 2)
            assert any(Path(model.model).iterdir())
            files = [Path(training.output_dir) / "training_summary.json"]
        else:
            asked = ArgumentParser(EvaluationArguments).parse([*words[1:], "--device", "cpu"])
            assert set(plan.values) - {"grid_2x2", "top1"} <= {v.name for m in asked.metrics for v in METRICS[m].values}
            files = [asked.folder / "results.json", asked.folder / "index.html"]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            results = {"pointing": {e: {"pointing_game": {"value": 0.5}} for e in ("pm-vit", "patch-logits")}}
            file.write_text(json.dumps({"results": results}))
        return 0

    arguments = (plan, 1, tmp_path / "data", "checkpoint", tmp_path / "out", ["--num_train_epochs", "2"])
    found = dict(run_seed(call, *arguments))
    evaluations = sum(len(one["models"]) for one in plan.evaluate.values())
    assert [words[0] for words in called] == ["convert", *["train"] * len(plan.models), *["evaluate"] * evaluations]
    called.clear()
    assert dict(run_seed(call, *arguments)) == found and called == []  # what exists is kept
    assert found["plain", next(iter(plan.evaluate)), "pm-vit"] == {"pointing_game": 0.5}
    with pytest.raises(PMViTError, match=r"pm-vit convert .* failed"):
        list(run_seed(lambda words: 1, plan, 2, tmp_path, "checkpoint", tmp_path, []))


def test_the_table_has_means_over_the_seeds():
    of_seeds = [{"top1": 0.8, "pointing_game": 0.5}, {"top1": 0.9, "pointing_game": None}]
    rows = table({("plain", "168", "pm-vit"): of_seeds}, ["top1", "pointing_game", "grid_2x2"])
    assert rows[0][3:] == ["Top-1", "Pointing game", "GridPG 2x2", "seeds"]
    assert rows[1] == ["plain", "168", "pm-vit", "85.0 ± 7.1", "50.0", "", "2"]
