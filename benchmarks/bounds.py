"""Goals and guards for measured ratios, and the check against them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .pairs import pairs_of


@dataclass(frozen=True)
class Bound:
    """
    Args:
        benchmark, pairs: name of the benchmark and of its ratios, a pattern with `*`.
        goal: largest wanted ratio; with `at_least`, smallest.
        guard: limit that must hold if the goal is not reached yet; default: the goal.
        reason: why the goal is not reached.
    """

    benchmark: str
    pairs: str
    goal: float
    at_least: bool = False
    guard: float | None = None
    reason: str = ""

    def reached(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


_GRADIENTS = ("*cam*", "relevance", "legrad")
_BACKWARD = "a backward pass without the gradients of weights takes about one more forward pass"

BOUNDS = (
    Bound("overhead", "*/top5", 1.02),
    Bound("overhead", "B/1000/*/top1000", 1.03),
    Bound("overhead", "*/top5/memory", 1.02),
    *(Bound("baselines", f"fp32/{name}/top1", 1, at_least=True) for name in ("raw-attention", "rollout", "rise")),
    Bound("baselines", "fp32/integrated-gradients/top1", 3, at_least=True),
    *(Bound("baselines", f"fp32/{name}/top1", 3, at_least=True, guard=1.5, reason=_BACKWARD) for name in _GRADIENTS),
    *(Bound("baselines", f"fp32/{name}/top5", 3, at_least=True) for name in _GRADIENTS),
    Bound("train", "ratio", 1.03),
    Bound("explain", "json/bf16", 1.8, at_least=True, guard=1.2, reason="the quick run's model is a small one"),
    Bound("explain", "parquet/2-processes", 1.7, at_least=True, guard=1.3, reason="the quick run is a short one"),
)


@dataclass(frozen=True)
class Verdict:
    """`status`: `met`, `missed` (but the guard holds), `broken`, or `not measured`."""

    bound: Bound
    pair: str
    ratio: float
    low: float
    high: float
    status: str


def check_bounds(results: Mapping[str, Mapping], bounds: Sequence[Bound] = BOUNDS) -> list[Verdict]:
    """
    Compare measured ratios with their bounds. A guard is broken if the whole interval lies beyond it; a goal is met if
    the ratio itself reaches it.

    Args:
        results: by name of the benchmark (see [`pairs_of`]).
    """
    verdicts = []
    for bound in bounds:
        pairs = pairs_of(results.get(bound.benchmark, {}))
        found = [name for name in pairs if fnmatchcase(name, bound.pairs)]
        for name in found:
            pair = pairs[name]
            best = pair["high"] if bound.at_least else pair["low"]
            status = "met" if bound.reached(pair["ratio"], bound.goal) else "missed"
            if not bound.reached(best, bound.goal if bound.guard is None else bound.guard):
                status = "broken"
            verdicts.append(Verdict(bound, name, pair["ratio"], pair["low"], pair["high"], status))
        if not found:
            verdicts.append(Verdict(bound, bound.pairs, *[float("nan")] * 3, "not measured"))
    return verdicts


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether all bounds were measured and none is broken."""
    return all(verdict.status in ("met", "missed") for verdict in verdicts)
