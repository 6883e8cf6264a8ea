import ast
from dataclasses import fields
from pathlib import Path

import pytest

import modeling_pm_vit.metrics
from modeling_pm_vit.metrics.former_names import RENAMED_METRICS, RENAMED_VALUES
from modeling_pm_vit.metrics.metric import MetricOptions, every_image
from modeling_pm_vit.metrics.registry import METRICS, metric_names, reported_metrics

FOLDER = Path(modeling_pm_vit.metrics.__file__).parent


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it; relative ones with their dots."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_metrics_import_no_runner_model_or_dataset(path):
    outside = {name for name in imports_of(path) if not name.startswith(".") or name.startswith("..")}
    allowed = {
        "__future__",
        "collections.abc",
        "hashlib",
        "dataclasses",
        "typing",
        "numpy",
        "scipy.optimize",
        "scipy.stats",
        "torch",
        "cv2",
        "torchmetrics.functional.classification",
    }
    assert outside <= allowed | {"sklearn.metrics", "..utils.errors", "..utils.names"}


def test_a_single_metric_can_be_imported_without_the_libraries_of_others():
    assert not imports_of(FOLDER / "__init__.py")


def test_every_metric_is_named_once_and_says_how_it_is_run():
    values = [value.name for metric in METRICS.values() for value in metric.values]
    assert len(set(values)) == len(values)  # tables of experiments have a column for each
    for name, metric in reported_metrics().items():
        assert metric.name == name
    for metric in METRICS.values():
        assert set(metric.options) <= {field.name for field in fields(MetricOptions)}
        assert metric.needs or metric.eligible is every_image
        assert {value.spread_of for value in metric.values} <= {None, *(value.name for value in metric.values)}
        assert (metric.record is None) == (metric.grid is not None)
        assert metric.needs_explainer or not metric.grid


def test_former_names_lead_to_present_ones():
    assert set(RENAMED_METRICS.values()) <= set(METRICS)
    assert set(RENAMED_VALUES.values()) <= {value.name for metric in METRICS.values() for value in metric.values}
    assert metric_names(["pointing", "own_object", "on_target_mass"]) == ("pointing", "on_target_mass")
    assert metric_names(["pointing", "all"]) == tuple(METRICS)


def test_an_unknown_metric_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no metric 'pointer'; choose from: classification, .*, max_sensitivity\."):
        metric_names(["pointing", "pointer"])
