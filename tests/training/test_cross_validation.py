import csv
import json

import numpy as np
import pytest

from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.cross_validation import (
    RESULTS,
    cross_validate,
    cross_validation_results,
    results_tables,
)
from modeling_pm_vit.utils.errors import InputError

from .conftest import SETTINGS, as_flags


def summary(accuracy: float, recall: dict[str, float]) -> dict:
    classes = {name: {"train": {}, "evaluation": {"images": 3, "recall": value}} for name, value in recall.items()}
    evaluation = {"images": 6, "accuracy": accuracy, "intervals": {}}
    return {"metrics": {"loss": 2.0}, "evaluation": evaluation, "classes": classes, "versions": {}}


def test_mean_and_spread_are_those_of_the_folds():
    second = summary(0.7, {"cat": 0.5, "dog": 0.0})
    del second["classes"]["dog"]["evaluation"]["recall"]  # no image of it in this fold
    found = cross_validation_results([summary(0.5, {"cat": 1.0, "dog": 0.0}), second])
    assert found["values"]["accuracy"] == {
        "mean": pytest.approx(0.6),
        "std": pytest.approx(np.sqrt(0.02)),
        "folds": [0.5, 0.7],
    }
    assert found["classes"]["dog"]["recall"] == {"mean": 0.0, "std": None, "folds": [0.0, None]}
    of_set, of_classes = results_tables(found)
    assert "| accuracy | 0.600 ± 0.141 | 0.500  | 0.700  |" in of_set
    assert "| dog               | 0.000 ± -     |" in of_classes


def test_folds_need_a_whole_split_and_more_than_one(tmp_path):
    for flags, message in (
        (["--folds", "1"], "at least 2"),
        (["--folds", "3", "--train_split", "train[0/2]"], "leave out"),
    ):
        with pytest.raises(InputError, match=message):
            cross_validate(*parse_arguments([*flags, "--output_dir", str(tmp_path)]))


@pytest.mark.slow
def test_a_cross_validation_evaluates_each_image_once_and_continues(tmp_path, capsys):
    synthetic_dataset("train", 24, image_size=32).to_parquet(tmp_path / "train.parquet")
    settings = SETTINGS | {"data": tmp_path, "output_dir": tmp_path / "run", "folds": 2, "max_steps": 1}
    flags = as_flags(settings | {"max_eval_samples": 24})
    assert main(["train", *flags]) == 0
    out = capsys.readouterr().out
    assert "Each of 24 images was evaluated once" in out and "| value " in out
    found = json.loads((tmp_path / "run" / RESULTS).read_text())
    assert (found["folds"], found["images"]) == (2, [12, 12])
    with (tmp_path / "run" / "confusion_matrix.csv").open(newline="") as file:
        assert sum(int(cell) for row in list(csv.reader(file))[1:] for cell in row[1:]) == 24
    first = (tmp_path / "run" / "fold-0" / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "run" / "fold-1" / "training_summary.json").unlink()
    assert main(["train", *flags]) == 0
    assert (tmp_path / "run" / "fold-0" / "model.safetensors").stat().st_mtime_ns == first
    again = json.loads((tmp_path / "run" / RESULTS).read_text())
    assert again["values"]["accuracy"] == found["values"]["accuracy"]
    assert main(["train", *flags, "--learning_rate", "0.5"]) == 2
    assert "holds folds with learning_rate" in capsys.readouterr().err
