"""Rare classes, calibration and unknown images, of PM-ViT and the equally trained ViT, over seeds.

    python -m experiments.trust experiments/trust/configs/published.yaml --data path/to/data --model path/to/vit-s14

The folder --data has a folder for each dataset of the config. A fifth of its training split, by groups, is held out:
the models are calibrated on it, and tested on the test split. The output folder gets a folder for each training, and
table.md with what is there so far. The same command goes on where it was interrupted; two commands with different
--studies can run at once.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import InputError, PMViTError
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.tables import markdown_table

from ..commands import call_pm_vit
from .run import Plan, read_plan, results_of, run_training, trainings
from .table import table, values_of


@dataclass
class TrustArguments:
    config: Path = option(help="YAML file with seeds, options and studies.", positional=True)
    data: Path = option(help="Folder of the datasets.")
    model: str = option("", help="Model that is trained further. Default: from scratch.")
    studies: list[str] = option(
        default_factory=list, help="Studies of the config to run. Default: all.", metavar="NAME"
    )
    output_dir: Path | None = option(None, help="Folder of the results. Default: runs/trust/NAME_OF_CONFIG.")


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = ArgumentParser(TrustArguments, command="python -m experiments.trust", description=__doc__).parse(
            sys.argv[1:] if argv is None else argv
        )
        plan = read_plan(arguments.config)
        output = arguments.output_dir or Path("runs/trust") / arguments.config.stem
        studies = arguments.studies or list(plan.studies)
        unknown = [name for name in studies if name not in plan.studies]
        if unknown:
            raise InputError(f"--studies: {arguments.config} has no {unknown[0]!r}; it has {', '.join(plan.studies)}.")
        for training in trainings(plan, studies):
            run_training(call_pm_vit, plan, training, arguments.data, output, arguments.model)
            write_text(output / "table.md", report(plan, output))
        print((output / "table.md").read_text(encoding="utf-8"))
    except PMViTError as error:
        print(f"python -m experiments.trust: {error}", file=sys.stderr)
        return 2
    return 0


def report(plan: Plan, output: Path) -> str:
    """A table for each study of which there are results, whichever command has computed them."""
    parts = []
    for study in plan.studies:
        results: dict[str, dict[int, dict[str, float]]] = {}
        for training in trainings(plan, [study]):
            found = results_of(training, output)
            if found is not None:
                results.setdefault(training.variant, {})[training.seed] = values_of(found)
        if results:
            parts.append(f"## {study}\n\n{markdown_table(table(results))}")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
