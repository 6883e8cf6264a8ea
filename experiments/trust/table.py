"""The table of all results: means and standard deviations over the seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..spread import spread

Results = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # by dataset and variant, one for each seed


def table(results: Results) -> list[list[str]]:
    """A row per dataset and variant: calibration errors before and after, then the AUROC of each score on each set."""
    rows = [["dataset", "variant", "value", "", "seeds"]]
    for (dataset, variant), found in results.items():
        for kind in ("classes", "maps"):
            for when in ("before", "after"):
                values = [one["values"][kind][f"calibration_error_{when}"] for one in found if kind in one["values"]]
                rows.append(
                    [dataset, variant, f"calibration error of the {kind}, {when}", _percent(values), str(len(values))]
                )
        for score, areas in found[0]["confidence"]["auroc"].items():
            for source in areas:
                areas_of = [one["confidence"]["auroc"][score][source] for one in found]
                values = [area[0] for area in areas_of if area is not None]
                rows.append([dataset, variant, f"AUROC of {score}, {source}", _percent(values), str(len(values))])
        for name in ("coverage", "precision"):
            values = [one["confidence"][name] for one in found]
            rows.append([dataset, variant, f"{name} at the threshold", _percent(values), str(len(values))])
    return rows


def _percent(values: Sequence[float]) -> str:
    return f"{spread([100 * value for value in values])} %" if values else ""
