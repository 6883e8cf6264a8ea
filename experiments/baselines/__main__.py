"""Every explainer by every metric on several datasets, each with the PM-ViT that was trained there.

    python -m experiments.baselines experiments/baselines/configs/published.yaml --data path/to/data \\
        --models runs/baselines/models --device cuda --precision bf16

The folder --data has a folder or file for each dataset of the config, the folder --models a model of the same name.
The output folder gets a report for each dataset and table.md, where PM-ViT stands. The same command goes on where it
was interrupted; after each dataset the table is written anew.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modeling_pm_vit.evaluation.results import Results
from modeling_pm_vit.utils.arguments import ArgumentParser, device_option, option
from modeling_pm_vit.utils.errors import InputError, PMViTError
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.tables import markdown_table

from .run import read_plan, run_dataset
from .table import table


@dataclass
class BaselineArguments:
    config: Path = option(help="YAML file with options, datasets and steps.", positional=True)
    data: Path = option(help="Folder of the datasets.")
    models: Path = option(help="Folder of the models.")
    datasets: list[str] | None = option(None, help="Datasets of the config. Default: all.", metavar="NAME")
    output_dir: Path | None = option(None, help="Folder of the results. Default: runs/baselines/NAME_OF_CONFIG.")
    device: str = device_option("speed")
    precision: Literal["fp32", "bf16"] = option("fp32", help="Precision of the model's matrix products.", group="speed")


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = ArgumentParser(
            BaselineArguments, command="python -m experiments.baselines", description=__doc__
        ).parse(sys.argv[1:] if argv is None else argv)
        plan, output = read_plan(arguments.config), arguments.output_dir
        output = output or Path("runs/baselines") / arguments.config.stem
        results: dict[str, Results] = {}
        for name in arguments.datasets or plan.datasets:
            if name not in plan.datasets:
                raise InputError(f"the config has no dataset {name!r}; choose from {', '.join(plan.datasets)}.")
            machine = {"device": arguments.device, "precision": arguments.precision}
            results[name] = run_dataset(name, plan, arguments.data, arguments.models, output, **machine)
            if results[name]:  # in the first process
                text = markdown_table(table(results))
                write_text(output / "table.md", text)
                print(text, flush=True)
    except PMViTError as error:
        print(f"python -m experiments.baselines: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
