import subprocess
import sys

import evaluate
import numpy as np
import pytest

from modeling_pm_vit.evaluation.evaluate_modules import load_metric
from modeling_pm_vit.metrics.registry import METRICS

RNG = np.random.default_rng(0)
MAPS = RNG.random((6, 8, 8)).astype(np.float32)
MASKS = (RNG.random((6, 8, 8)) > 0.5).astype(np.uint8)
INPUTS = {
    "pointing": {"heatmaps": MAPS, "masks": MASKS},
    "segmentation": {"heatmaps": MAPS, "masks": MASKS},
    "map_calibration": {"heatmaps": MAPS, "masks": MASKS},
    "map_statistics": {"heatmaps": MAPS},
    "grid_2x2": {"heatmaps": MAPS, "cells": np.array([0, 1, 2, 3, 0, 1])},
    "classification": {"logits": RNG.normal(size=(6, 7)).astype(np.float32), "labels": np.arange(6)},
    "localization": {
        "heatmaps": MAPS,
        "boxes": [[[0, 0, 3, 3]]] * 5 + [[[0, 0, 3, 3], [1, 1, 7, 7]]],
        "correct": np.ones(6, np.float32),
    },
    "insertion_deletion": {name: RNG.random((6, 9)).astype(np.float32) for name in ("insertion", "deletion")},
}


def part(inputs: dict, rows: slice) -> dict:
    return {name: values[rows] for name, values in inputs.items()}


@pytest.mark.parametrize("name", INPUTS)
def test_in_pieces_the_module_gives_what_the_metric_gives(name, tmp_path):
    metric = load_metric(name, cache_dir=str(tmp_path))
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        metric.add_batch(**part(INPUTS[name], rows))
    assert metric.compute() == pytest.approx(METRICS[name].compute(**INPUTS[name]), abs=1e-6)


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


def test_two_processes_count_as_one(tmp_path):
    """Each process adds its rows; the first waits for the other and gets the figures, the other none."""
    script = tmp_path / "process.py"
    script.write_text(
        "import sys\nimport numpy as np\nfrom modeling_pm_vit.evaluation.evaluate_modules import load_metric\n"
        "process, start, stop, folder = *map(int, sys.argv[1:4]), sys.argv[4]\n"
        "shared = dict(num_process=2, process_id=process, experiment_id='two', cache_dir=folder)\n"
        "metric = load_metric('segmentation', **shared)\n"
        "data = np.load(folder + '/data.npz')\n"
        "metric.add_batch(heatmaps=data['maps'][start:stop], masks=data['masks'][start:stop])\n"
        "figures = metric.compute()\n"
        "print(process, None if figures is None else figures['mean_iou'])\n"
    )
    np.savez(tmp_path / "data.npz", maps=MAPS, masks=MASKS)
    rows = [("0", "0", "4"), ("1", "4", "6")]
    started = [
        subprocess.Popen([sys.executable, script, *row, tmp_path], stdout=subprocess.PIPE, text=True) for row in rows
    ]
    first, second = (process.communicate(timeout=120)[0].split()[-2:] for process in started)
    expected = METRICS["segmentation"].compute(heatmaps=MAPS, masks=MASKS)["mean_iou"]
    assert float(first[1]) == pytest.approx(expected, abs=1e-6)
    assert second == ["1", "None"]


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match="no metric 'pointer'; choose from: classification"):
        load_metric("pointer")
