from pathlib import Path

import pytest

from experiments.rare_classes.__main__ import VARIANTS, main, table
from modeling_pm_vit.training.arguments import parse_arguments
from tests.training.conftest import SETTINGS, as_flags

CONFIG = Path(__file__).parents[2] / "experiments" / "rare_classes" / "configs" / "busi.yaml"


def summary(recall: float, **maps) -> dict:
    return {"evaluation": {"accuracy": 0.5}, "classes": {"rare": {"evaluation": {"recall": recall, **maps}}}}


def test_the_table_has_mean_and_spread_of_each_variant():
    found = table({"plain": [summary(0.5), summary(0.7)], "weighted": [summary(0.75, outline_iou=0.25)]})
    assert found[0] == ["", "plain", "weighted"]
    assert ["accuracy", "0.500 ± 0.000", "0.500"] in found
    assert ["rare: recall", "0.600 ± 0.141", "0.750"] in found
    assert ["rare: outline_iou", "-", "0.250"] in found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_config_and_the_variants_are_options_of_the_training(variant):
    flags = as_flags(VARIANTS[variant] | {"use_cpu": True})
    assert parse_arguments([str(CONFIG), *flags])[1].class_names == ["benign", "malignant", "normal"]


@pytest.mark.slow
def test_a_run_goes_on_where_it_was(tmp_path, capsys):
    config = tmp_path / "tiny.yaml"
    config.write_text("".join(f"{key}: {value}\n" for key, value in SETTINGS.items()))
    call = [str(config), "--output_dir", str(tmp_path / "out"), "--seeds", "0", "--variants", "balanced sampling"]
    assert main(call) == 0
    first = (tmp_path / "out" / "balanced-sampling" / "seed-0" / "model.safetensors").stat().st_mtime_ns
    assert main(call) == 0
    assert (tmp_path / "out" / "balanced-sampling" / "seed-0" / "model.safetensors").stat().st_mtime_ns == first
    assert "balanced_accuracy" in (tmp_path / "out" / "table.md").read_text()
