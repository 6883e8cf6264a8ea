import json
import os
from pathlib import Path

import evaluate
import numpy as np
import pytest

from modeling_pm_vit.evaluation.evaluate_modules import load_metric
from modeling_pm_vit.metrics.registry import METRICS
from tests.metrics.inputs import N, random_inputs
from tests.processes import in_processes

RNG = np.random.default_rng(0)
MAPS = RNG.random((6, 8, 8)).astype(np.float32)
MASKS = (RNG.random((6, 8, 8)) > 0.5).astype(np.uint8)


@pytest.mark.parametrize("name", METRICS)
def test_in_pieces_the_module_gives_what_the_metric_gives(name, tmp_path):
    given, rest = random_inputs(METRICS[name], seed=0)
    inputs = {}
    for feature, (_, dtype) in METRICS[name].features.items():  # as the module stores them
        cast = [np.asarray(row).astype(dtype) for row in given[feature]]
        inputs[feature] = cast if isinstance(given[feature], list) else np.array(cast)
    module = load_metric(name, cache_dir=str(tmp_path))
    for rows in (slice(0, 1), slice(1, 4), slice(4, N)):
        module.add_batch(**{feature: values[rows] for feature, values in inputs.items()})
    expected = METRICS[name].compute(**inputs, **rest)
    assert module.compute(**rest) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_what_is_no_column_goes_to_compute(tmp_path):
    ids = RNG.integers(0, 4, (6, 5, 5))
    metric = load_metric("semantic_segmentation", cache_dir=str(tmp_path))
    metric.add_batch(predictions=ids[::-1], targets=ids)
    expected = METRICS["semantic_segmentation"].compute(predictions=ids[::-1], targets=ids, num_classes=3)
    assert metric.compute(num_classes=3) == pytest.approx(expected)


def test_modules_combine(tmp_path):
    both = evaluate.combine([load_metric(name, cache_dir=str(tmp_path)) for name in ("pointing", "segmentation")])
    both.add_batch(heatmaps=MAPS, masks=MASKS)
    expected = [METRICS[name].compute(heatmaps=MAPS, masks=MASKS) for name in ("pointing", "segmentation")]
    assert both.compute() == pytest.approx(expected[0] | expected[1], abs=1e-6)


def mean_iou_of_part(folder: Path) -> None:
    """Of the first process the first four rows, of the second the rest."""
    process = int(os.environ["RANK"])
    metric = load_metric("segmentation", num_process=2, process_id=process, experiment_id="two", cache_dir=str(folder))
    rows = slice(0, 4) if process == 0 else slice(4, 6)
    metric.add_batch(heatmaps=MAPS[rows], masks=MASKS[rows])
    values = metric.compute()
    (folder / f"{process}.json").write_text(json.dumps(values and values["mean_iou"]))


@pytest.mark.slow
def test_two_processes_count_as_one(tmp_path):
    """Each process adds its rows; the first waits for the other and gets the values, the other gets none."""
    assert in_processes(2, mean_iou_of_part, tmp_path) == [0, 0]
    expected = METRICS["segmentation"].compute(heatmaps=MAPS, masks=MASKS)["mean_iou"]
    assert json.loads((tmp_path / "0.json").read_text()) == pytest.approx(expected, abs=1e-6)
    assert json.loads((tmp_path / "1.json").read_text()) is None


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match="no metric 'pointer'; choose from: classification"):
        load_metric("pointer")
