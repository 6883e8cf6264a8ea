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
        gpu: holds for results of a GPU; otherwise of a CPU.
    """

    benchmark: str
    pairs: str
    goal: float
    at_least: bool = False
    guard: float | None = None
    reason: str = ""
    gpu: bool = False

    def reached(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


_FILES = "reading and writing take a few percent"
_START = "the quick run is a short one"
_GRADIENTS = ("*cam*", "relevance", "legrad")
_OTHERS = ("raw-attention", "rollout", "integrated-gradients", "rise")

BOUNDS = (
    Bound("overhead", "*/top5", 1.02),
    Bound("overhead", "B/1000/*/top1000", 1.03),
    Bound("overhead", "*/top5/memory", 1.02),
    *(
        Bound("baselines", f"fp32/{name}/top1", 1, at_least=True, guard=0.95, reason="attention costs one pass too")
        for name in (*_OTHERS, *_GRADIENTS)
    ),
    *(Bound("baselines", f"fp32/{name}/top5", 7, at_least=True) for name in _GRADIENTS),
    Bound("train", "ratio", 1.03),
    Bound("explain", "json/fp32", 1, at_least=True, guard=0.9, reason=_FILES),
    Bound("explain", "page/fp32", 1, at_least=True, guard=0.9, reason=_FILES),
    Bound("explain", "json/bf16/of-machine", 1, at_least=True, guard=0.85, reason=_FILES),
    Bound("explain", "page/bf16/of-machine", 0.95, at_least=True, guard=0.8, reason=_FILES),
    Bound("explain", "parquet/2-processes/of-machine", 0.9, at_least=True, guard=0.75, reason=_START),
    # On a GPU.
    Bound("overhead", "*/1/*/eager/top5", 1.03, gpu=True),
    *(Bound("overhead", f"*/{batch}/*/eager/top5", 1.02, gpu=True) for batch in (8, 32, 128, 512)),
    Bound("overhead", "*/graphs/top5", 1.02, gpu=True),
    Bound("feed", "* at 64 px", 0.95, at_least=True, gpu=True),
    Bound("feed", "* at 224 px", 0.9, at_least=True, gpu=True),
    Bound("feed", "*/plain", 1.03, gpu=True),
    Bound("files", "*/json", 0.9, at_least=True, gpu=True),
)


@dataclass(frozen=True)
class Verdict:
    """`status`: `met`, `missed` (but the guard holds), `broken`, `not measured`, or `impossible` on this machine."""

    bound: Bound
    pair: str
    ratio: float
    low: float
    high: float
    status: str
    reason: str = ""


def check_bounds(results: Mapping[str, Mapping], bounds: Sequence[Bound] = BOUNDS) -> list[Verdict]:
    """
    Compare measured ratios with their bounds. A guard is broken if the whole interval lies beyond it; a goal is met if
    the ratio itself reaches it. A bound whose pairs the benchmark has skipped, as the machine cannot run them, is
    impossible there. Bounds of GPUs are checked if there are results of one.

    Args:
        results: by name of the benchmark (see [`pairs_of`]).
    """
    verdicts = []
    for bound in bounds:
        measured = results.get(bound.benchmark, {})
        if bound.gpu != (measured.get("machine", {}).get("device", "cpu") != "cpu"):
            continue
        pairs = pairs_of(measured)
        found = [name for name in pairs if fnmatchcase(name, bound.pairs)]
        for name in found:
            pair = pairs[name]
            best = pair["high"] if bound.at_least else pair["low"]
            status = "met" if bound.reached(pair["ratio"], bound.goal) else "missed"
            if not bound.reached(best, bound.goal if bound.guard is None else bound.guard):
                status = "broken"
            reason = bound.reason if status == "missed" else ""
            verdicts.append(Verdict(bound, name, pair["ratio"], pair["low"], pair["high"], status, reason))
        if not found:
            skipped = measured.get("skipped", {})
            reasons = [reason for name, reason in skipped.items() if bound.pairs.startswith(name)]
            status = "impossible" if reasons else "not measured"
            verdicts.append(Verdict(bound, bound.pairs, *[float("nan")] * 3, status, *reasons[:1]))
    return verdicts


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether all bounds that the machine allows were measured and none is broken."""
    return all(verdict.status in ("met", "missed", "impossible") for verdict in verdicts)
