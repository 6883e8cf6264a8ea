"""Results of a benchmark as Markdown tables."""

from collections.abc import Mapping, Sequence

from modeling_pm_vit.utils.tables import markdown_table

from .bounds import Verdict
from .pairs import pairs_of

_COLUMNS = (
    *("images_per_second", "peak_mib", "matrix_passes", "matmul_share"),
    *("data_wait_share", "model_flops_share", "mib_per_image"),
)
# In a pair; `compile_seconds` is what the first call of a compiled PM-ViT takes beyond a later one.
_TIMINGS = {"ours_seconds": "ours, s", "theirs_seconds": "theirs, s", "compile_seconds": "compile, s"}


def markdown(results: Mapping) -> str:
    """All results of a benchmark: machine, single numbers, a row for each pair, what was skipped."""
    machine = results.get("machine", {})
    parts = [", ".join(f"{name} {value}" for name, value in machine.items())]
    single = {name: value for name, value in results.items() if isinstance(value, (int, float, str))}
    parts.append("\n".join(f"- {name}: {_number(value)}" for name, value in single.items()))
    parts.append(_pair_table(results))
    skipped = results.get("skipped", {})
    parts.append("\n".join(f"- left out: {name}: {reason}" for name, reason in skipped.items()))
    return "\n\n".join(part.rstrip() for part in parts if part)


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """The checked bounds, one row for each pair."""
    rows = []
    for verdict in verdicts:
        bound = verdict.bound
        sign = "≥" if bound.at_least else "≤"
        guard = "" if bound.guard is None else f"{sign} {bound.guard:g}"
        interval = f"{verdict.low:.3f} … {verdict.high:.3f}"
        status = verdict.status + (f": {verdict.reason}" if verdict.reason else "")
        rows.append(
            [bound.benchmark, verdict.pair, f"{verdict.ratio:.3f}", interval, f"{sign} {bound.goal:g}", guard, status]
        )
    return markdown_table([["benchmark", "pair", "ratio", "95 % interval", "goal", "guard", "status"], *rows])


def _pair_table(results: Mapping) -> str:
    pairs = pairs_of(results)
    columns = [column for column in _COLUMNS if column in results]
    names = list(dict.fromkeys([*pairs, *(name for column in columns for name in results[column])]))
    timings = [key for key in _TIMINGS if any(key in pair for pair in pairs.values())]
    rows = []
    for name in names:
        pair = pairs.get(name, {})
        interval = f"{pair['low']:.3f} … {pair['high']:.3f}" if pair else ""
        row = [name, f"{pair['ratio']:.3f}" if pair else "", interval, str(pair.get("rounds", ""))]
        row += [_number(pair.get(key, "")) for key in timings]
        rows.append(row + [_number(results[column].get(name, "")) for column in columns])
    head = ["pair", "ratio", "95 % interval", "rounds", *(_TIMINGS[key] for key in timings), *columns]
    return markdown_table([head, *rows]) if rows else ""


def _number(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
