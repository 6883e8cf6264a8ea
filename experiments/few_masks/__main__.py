"""Train the variants of a plan side by side on one device, evaluate each, and compare them with the control.

    python -m experiments.few_masks experiments/few_masks/configs/tin200.yaml --data path/to/data --at_once 4 \\
        --seconds 540 --device cuda
    python -m experiments.few_masks experiments/few_masks/configs/fine_tuned.yaml --data path/to/data \\
        --model 'runs/few_masks/start/{dataset}-{seed}' --device cuda

The folder --data has a folder for each dataset of the plan. --model names the checkpoint to fine-tune, made for each
dataset and seed by `pm-vit convert`. All other options go to the training and win over the plan. The same command
resumes the runs where they were stopped. The output folder gets a log and a model for each run, and table.md.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.utils.arguments import ArgumentParser, default_device, option
from modeling_pm_vit.utils.errors import PMViTError
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.names import resolve_names
from modeling_pm_vit.utils.tables import markdown_table

from ..commands import pm_vit
from .half import write_half
from .plan import Plan, Run, evaluate_words, read_plan, runs_of, train_words
from .side_by_side import Command, run_side_by_side
from .table import comparison


@dataclass
class FewMaskArguments:
    config: Path = option(help="YAML file with the plan.", positional=True)
    data: Path = option(help="Folder of the datasets.")
    model: str | None = option(None, help="Checkpoint to fine-tune, with {dataset} and {seed}. Default: from scratch.")
    variants: list[str] | None = option(None, help="Variants of the plan. Default: all.", metavar="NAME")
    datasets: list[str] | None = option(None, help="Datasets of the plan. Default: all.", metavar="NAME")
    seeds: list[int] | None = option(None, help="Seeds. Default: those of the plan.", metavar="N")
    output_dir: Path | None = option(None, help="Folder of the results. Default: runs/few_masks/NAME_OF_CONFIG.")
    at_once: int = option(1, at_least=1, help="Number of runs at a time.")
    seconds: float | None = option(None, help="Stop after so many seconds; rerun to resume. Default: never.")
    device: str = option(default_factory=default_device, help="Of the evaluation. Default: a GPU if there is one.")
    keep: str | None = option(None, help="Write the model of this variant, in half precision, to VARIANT.safetensors.")


def main(argv: list[str] | None = None) -> int:
    try:
        parser = ArgumentParser(FewMaskArguments, command="python -m experiments.few_masks", description=__doc__)
        arguments, more = parser.parse_known(sys.argv[1:] if argv is None else argv)
        plan = read_plan(arguments.config)
        output = arguments.output_dir or Path("runs/few_masks") / arguments.config.stem
        chosen = Plan(**{**vars(plan), "seeds": arguments.seeds or plan.seeds})
        names = resolve_names(arguments.variants or list(plan.variants), plan.variants, {}, "variant")
        datasets = resolve_names(arguments.datasets or list(plan.datasets), plan.datasets, {}, "dataset")
        runs = [run for run in runs_of(chosen, output) if run.variant in names and run.dataset in datasets]
        jobs = [(run.name, _commands(chosen, run, arguments, more), run.folder.with_suffix(".log")) for run in runs]
        left = run_side_by_side(
            [job for job in jobs if job[1]], arguments.at_once, arguments.seconds, lambda text: print(text, flush=True)
        )
        text = "\n".join(
            f"## {name}\n\n{markdown_table(comparison(plan, runs_of(chosen, output), name))}" for name in datasets
        )
        write_text(output / "table.md", text)
        print(text)
        if arguments.keep:
            print(f"written: {write_half(runs, arguments.keep, output)}")
        if left:
            print(f"not completed: {', '.join(left)}. Rerun the same command.")
    except PMViTError as error:
        print(f"python -m experiments.few_masks: {error}", file=sys.stderr)
        return 2
    return 1 if left else 0


def _commands(plan: Plan, run: Run, arguments: FewMaskArguments, more: list[str]) -> list[Command]:
    """What of a run is not done yet; finished parts are told by their files."""
    commands = []
    summary = run.folder / "training_summary.json"
    if not summary.exists():
        commands.append(pm_vit("train", *train_words(plan, run, arguments.data, arguments.model, {}), *more))
    if not (run.folder / "evaluation" / "report.md").exists():
        precision = {"device": arguments.device, **({"precision": "bf16"} if arguments.device != "cpu" else {})}
        commands.append(pm_vit("evaluate", *evaluate_words(plan, run, arguments.data, precision)))
    return commands


if __name__ == "__main__":
    sys.exit(main())
