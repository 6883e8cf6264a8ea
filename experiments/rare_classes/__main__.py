"""Class weights and balanced sampling against neither, with several seeds: each class and its map.

    python -m experiments.rare_classes experiments/rare_classes/configs/busi.yaml --model runs/vit-s14 \\
        --data path/to/busi

Further options are those of `pm-vit train`. The output folder gets a folder for each variant and seed, and table.md.
The same command goes on where it was interrupted.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.training.summary import SUMMARY
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import PMViTError
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.tables import markdown_table

from ..spread import spread

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "class weights": {"class_weights": "balanced"},
    "balanced sampling": {"balanced_sampling": True},
    "without masks": {"mask_column": "none"},  # is recall lost to the maps?
}
_spread = partial(spread, digits=3, empty="-")
_OF_SET = ("accuracy", "balanced_accuracy", "auroc")
_OF_CLASS = ("recall", "precision", "object_found", "outline_iou", "outline_iou_if_recognised", "outline_iou_if_missed")


@dataclass
class RareClassArguments:
    config: Path = option(help="YAML file of a training.", positional=True)
    seeds: list[int] = option(default_factory=lambda: [0, 1, 2], help="Seeds of the trainings.")
    variants: list[str] = option(
        default_factory=lambda: list(VARIANTS), help="Variants to train.", choices=VARIANTS, metavar="NAME"
    )
    output_dir: Path = option(Path("runs/rare_classes"), help="Folder of the results.")


def main(argv: list[str] | None = None) -> int:
    try:
        parser = ArgumentParser(RareClassArguments, command="python -m experiments.rare_classes", description=__doc__)
        arguments, flags = parser.parse_known(sys.argv[1:] if argv is None else argv)
        summaries: dict[str, list[dict[str, Any]]] = {}
        for seed in arguments.seeds:
            for name in arguments.variants:
                folder = arguments.output_dir / name.replace(" ", "-") / f"seed-{seed}"
                summaries.setdefault(name, []).append(run([str(arguments.config), *flags], name, seed, folder))
                text = markdown_table(table(summaries))
                write_text(arguments.output_dir / "table.md", text)
                print(text, flush=True)
    except PMViTError as error:
        print(f"python -m experiments.rare_classes: {error}", file=sys.stderr)
        return 2
    return 0


def run(flags: Sequence[str], name: str, seed: int, folder: Path) -> dict[str, Any]:
    """The summary of a training, which is not repeated if its folder has one."""
    if not (folder / SUMMARY).is_file():
        fixed = {"output_dir": folder, "seed": seed, "eval_strategy": "no", "save_strategy": "no", "report_to": "none"}
        settings = fixed | {"overlays": 0} | VARIANTS[name]
        changed = [str(text) for key, value in settings.items() for text in (f"--{key}", value)]
        train(*parse_arguments([*flags, *changed]))
    return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


def table(summaries: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """Mean ± standard deviation over the seeds: a column for each variant, a row for each value of set and class."""
    first = next(iter(summaries.values()))[0]
    rows = [["", *summaries]]
    for value in _OF_SET:
        rows.append([value, *(_spread([run["evaluation"].get(value) for run in runs]) for runs in summaries.values())])
    for name in first["classes"]:
        for value in _OF_CLASS:
            of_runs = [[run["classes"][name]["evaluation"].get(value) for run in runs] for runs in summaries.values()]
            if any(found is not None for runs in of_runs for found in runs):
                rows.append([f"{name}: {value}", *map(_spread, of_runs)])
    return rows


if __name__ == "__main__":
    sys.exit(main())
