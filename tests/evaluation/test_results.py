import csv
import io
import json

import numpy as np
import pytest

from modeling_pm_vit.evaluation import results as results_module
from modeling_pm_vit.evaluation.results import metric_results
from modeling_pm_vit.evaluation.tables import as_json, comma_separated, cost_table, metric_table
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.insertion_deletion import INSERTION_DELETION
from modeling_pm_vit.metrics.map_statistics import MAP_STATISTICS
from modeling_pm_vit.metrics.pointing import POINTING
from modeling_pm_vit.utils.tables import markdown_table

BASE = np.random.default_rng(0).random(60)


def records(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"image": np.arange(len(values)), "pointing_game": values, "energy_pointing_game": values}


def test_bold_is_what_differs_from_every_other_on_the_same_images():
    noise = np.random.default_rng(1).normal(size=60)
    results = metric_results(
        POINTING, {"random": records(BASE), "rise": records(BASE + 0.05), "rollout": records(BASE + 0.001 * noise)}
    )
    assert [name for name, found in results.items() if found["energy_pointing_game"].best] == ["rise"]
    results = metric_results(POINTING, {"random": records(BASE), "rollout": records(BASE + 0.001 * noise)})
    assert not any(found["energy_pointing_game"].best for found in results.values())


def test_the_very_same_value_shares_the_mark():
    results = metric_results(
        POINTING, {"random": records(BASE - 0.1), "pm-vit": records(BASE), "patch-logits": records(BASE)}
    )
    assert [found["energy_pointing_game"].best for found in results.values()] == [False, True, True]


def test_without_a_better_direction_there_is_no_best():
    found = {
        name: {"image": np.arange(60), "sparseness": BASE + i, "complexity": BASE + i} for i, name in enumerate("ab")
    }
    results = metric_results(MAP_STATISTICS, found)
    assert not any(result.best for found in results.values() for result in found.values())


@pytest.mark.parametrize("at_once", [7, 60, 256])
def test_a_value_lies_in_its_interval_and_single_images_mean_to_it(at_once, monkeypatch):
    monkeypatch.setattr(results_module, "_AT_ONCE", at_once)
    result = metric_results(POINTING, {"random": records(BASE)})["random"]["energy_pointing_game"]
    assert result.low < result.value < result.high
    assert result.per_image == pytest.approx(BASE)
    assert result.value == pytest.approx(BASE.mean())
    assert (result.count, result.images.tolist()) == (60, list(range(60)))


def test_a_spread_stands_beside_its_value_in_the_table_and_on_its_own_line_in_the_file():
    curves = np.zeros((8, 3, 10))  # images, orders, points
    curves[:, 1:] = 1
    records = {"image": np.arange(8), **INSERTION_DELETION.measure(curves, 1 - curves)}
    one_order = {"image": np.arange(8), **INSERTION_DELETION.measure(curves[:, 0], curves[:, 0])}
    results = {"insertion_deletion": metric_results(INSERTION_DELETION, {"rise": records, "random": one_order})}
    table = metric_table("insertion_deletion", results, EXPLAINERS)
    assert table[0] == ["", "Insertion ↑", "Deletion ↓", "n"]
    assert table[1] == ["RISE", "66.7 [66.7, 66.7] ± 57.7", "33.3 [33.3, 33.3] ± 57.7", "8"]
    assert table[2][1] == "0.0 [0.0, 0.0]"  # of one order there is no spread
    assert "insertion_deletion,insertion_spread,rise,0.577" in comma_separated(results)


def test_passes_that_vary_are_approximate():
    rows = {row[0]: row for row in cost_table({}, EXPLAINERS)}
    assert (rows["ViT-CX"][1], rows["RISE"][1], rows["LeGrad"][1]) == ("~121", "8000", "1")


def test_tables_say_the_same_in_every_form():
    values = BASE.copy()
    values[0] = np.nan
    results = {"pointing": metric_results(POINTING, {"random": records(BASE * 0), "rise": records(values)})}
    table = metric_table("pointing", results, EXPLAINERS)
    assert [row[0] for row in table] == ["", "Random", "RISE"]
    text = markdown_table(table)
    mean = np.nanmean(values)
    assert f"| RISE   | **{100 * mean:.1f} [" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1
    rows = {(row["value_name"], row["explainer"]): row for row in csv.DictReader(io.StringIO(comma_separated(results)))}
    assert float(rows["energy_pointing_game", "rise"]["value"]) == pytest.approx(mean)
    assert rows["energy_pointing_game", "rise"]["best"] == "True"

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    document = json.loads(json.dumps(as_json(results)), parse_constant=refuse)
    found = document["pointing"]["rise"]["energy_pointing_game"]
    assert found["value"] == pytest.approx(mean, abs=1e-6)
    assert found["per_image"][0] is None
    assert found["per_image"][1:] == pytest.approx(values[1:].tolist(), abs=1e-6)
