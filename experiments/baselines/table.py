"""Where PM-ViT stands, per metric and dataset."""

from collections.abc import Mapping

from modeling_pm_vit.evaluation.results import Result, Results
from modeling_pm_vit.explainers.registry import EXPLAINERS
from modeling_pm_vit.metrics.metric import MetricValue
from modeling_pm_vit.metrics.registry import reported_metrics

OURS = ("pm-vit", "patch-logits")  # on a PM-ViT the same map, with and without the sigmoid


def table(results: Mapping[str, Results]) -> list[list[str]]:
    """
    Args:
        results: of each dataset.

    Returns:
        A head, and a row for each value that has a better direction: in each dataset PM-ViT's value, that of the best
        other explainer, and between them which is better: ">" PM-ViT, "<" the other, "=" where their 95 % intervals
        overlap. The report of the dataset compares by paired differences, which tells more apart.
    """
    rows = [["", *results]]
    for name, metric in reported_metrics().items():
        for value in metric.values:
            if value.higher_is_better is None or not metric.needs_explainer:
                continue
            cells = [_cell(found.get(name, {}), value) for found in results.values()]
            if any(cells):
                rows.append([value.title if len(metric.values) > 1 else metric.title, *cells])
    return rows


def _cell(found: Mapping[str, Mapping[str, Result]], value: MetricValue) -> str:
    if "pm-vit" not in found:
        return ""
    ours = found["pm-vit"][value.name]
    others = {e: values[value.name] for e, values in found.items() if e not in OURS}
    known = {e: result for e, result in others.items() if result.value == result.value}
    text = _number(ours, value)
    if not known:
        return text
    best = (max if value.higher_is_better else min)(known, key=lambda e: known[e].value)
    other = known[best]
    above, below = ours.low > other.high, ours.high < other.low
    better, worse = (above, below) if value.higher_is_better else (below, above)
    return f"{text} {'>' if better else '<' if worse else '='} {_number(other, value)} ({EXPLAINERS[best].title})"


def _number(result: Result, value: MetricValue) -> str:
    return f"{value.scale * result.value:.{1 if value.scale >= 10 else 3}f}"
