"""Calibration and unknown images, of PM-ViT and the equally trained ViT, over seeds.

    python -m experiments.trust experiments/trust/configs/published.yaml --data path/to/data --model runs/vit-s14

The folder --data has a folder for each dataset of the config. A fifth of its training split, by groups, is held out:
the models are calibrated on it, and tested on the test split. The output folder gets a report for each training, and
table.md. The same command goes on where it was interrupted.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import PMViTError
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.tables import markdown_table

from ..commands import call_pm_vit
from ..plans import read_fields
from .run import Plan, run_training
from .table import table


@dataclass
class TrustArguments:
    config: Path = option(help="YAML file with seeds, variants, options and datasets.", positional=True)
    data: Path = option(help="Folder of the datasets.")
    model: str = option("", help="Model that is trained further. Default: from scratch.")
    output_dir: Path | None = option(None, help="Folder of the results. Default: runs/trust/NAME_OF_CONFIG.")


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = ArgumentParser(TrustArguments, command="python -m experiments.trust", description=__doc__).parse(
            sys.argv[1:] if argv is None else argv
        )
        plan, output = read_fields(Plan, arguments.config), arguments.output_dir
        output = output or Path("runs/trust") / arguments.config.stem
        results: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for name in plan.datasets:
            for variant in plan.variants:
                for seed in plan.seeds:
                    found = run_training(
                        call_pm_vit, plan, name, variant, seed, arguments.data, output, arguments.model
                    )
                    results.setdefault((name, variant), []).append(found)
                    write_text(output / "table.md", markdown_table(table(results)))
        print(markdown_table(table(results)))
    except PMViTError as error:
        print(f"python -m experiments.trust: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
