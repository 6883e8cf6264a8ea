"""Maps of a classifier on the mean of the patches: without masks, with masks, and of other explainers, over seeds.

    python -m experiments.backbones experiments/backbones/configs/cub10.yaml --data path/to/cub10 \\
        --model path/to/vit-s14

All other options go to the trainings and win over the plan. The output folder gets a folder for each model, and
table.md, which is written anew after each evaluation. The same command goes on where it was interrupted.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import PMViTError
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.tables import markdown_table

from ..commands import call_pm_vit
from ..plans import read_fields
from ..spread import spread
from .run import Evaluated, Plan, run_seed


@dataclass
class BackboneArguments:
    config: Path = option(help="YAML file with the plan.", positional=True)
    data: Path = option(help="The dataset.")
    model: str = option(help="Checkpoint whose features are used, for `pm-vit convert`.")
    seeds: list[int] | None = option(None, help="Seeds. Default: those of the plan.", metavar="N")
    output_dir: Path | None = option(None, help="Folder of the results. Default: runs/backbones/NAME_OF_CONFIG.")


def main(argv: list[str] | None = None) -> int:
    try:
        parser = ArgumentParser(BackboneArguments, command="python -m experiments.backbones", description=__doc__)
        arguments, more = parser.parse_known(sys.argv[1:] if argv is None else argv)
        plan = read_fields(Plan, arguments.config)
        output = arguments.output_dir or Path("runs/backbones") / arguments.config.stem
        results: dict[Evaluated, list[dict[str, float]]] = {}
        for seed in arguments.seeds or plan.seeds:
            for evaluated, values in run_seed(call_pm_vit, plan, seed, arguments.data, arguments.model, output, more):
                results.setdefault(evaluated, []).append(values)
                write_text(output / "table.md", markdown_table(table(results, plan.values)))
        print(markdown_table(table(results, plan.values)))
    except PMViTError as error:
        print(f"python -m experiments.backbones: {error}", file=sys.stderr)
        return 2
    return 0


def table(results: dict[Evaluated, list[dict[str, float]]], values: list[str]) -> list[list[str]]:
    """A row for each explainer of each evaluated model: mean ± standard deviation over the seeds."""
    of_value = {value.name: value for metric in METRICS.values() for value in metric.values}
    rows = [["model", "evaluation", "explainer", *(of_value[name].title for name in values), "seeds"]]
    for (model, evaluation, explainer), found in results.items():
        cells = []
        for name in values:
            known = [values_of[name] for values_of in found if values_of.get(name) is not None]
            cells.append(spread([of_value[name].scale * value for value in known]))
        rows.append([model, evaluation, explainer, *cells, str(len(found))])
    return rows


if __name__ == "__main__":
    sys.exit(main())
