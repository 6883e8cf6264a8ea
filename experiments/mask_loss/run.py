"""One variant with one seed: train it, evaluate it, keep its results."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.training.model_arguments import ModelArguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.training.run_arguments import PMViTTrainingArguments
from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.utils.files import write_json

from .evaluation import EvaluationSettings, VariantResult
from .results import read_run
from .variants import VARIANTS


def run_variant(
    name: str, seed: int, flags: Sequence[str], output: Path, evaluation: EvaluationSettings
) -> VariantResult:
    """
    Train the variant and evaluate it on the config's evaluation split. A variant that is trained already, as
    `output/NAME/seed-N.json` tells, is not trained again; other explainers and metrics add their values to the file.

    Args:
        name: of a variant in `VARIANTS`.
        seed: of the order of the images and their augmentation; of the weights too, if no model is given.
        flags: of `pm-vit train`: config, model, data. `{seed}` in them stands for the seed.
        output: folder of the experiment.
        evaluation: which explainers and metrics, on which images.

    Returns:
        The result of this evaluation. The file holds `top1` of the model, the `values` of all evaluations with their
        `intervals`, and `correct` of the evaluation with most images.

    Raises:
        InputError: if there is no such variant, or it was trained with another config or other flags.
    """
    if name not in VARIANTS:
        raise InputError(f"there is no variant {name!r}; choose from {', '.join(VARIANTS)}.")
    variant, file = VARIANTS[name], output / name / f"seed-{seed}.json"
    model_args, data_args, args = _arguments(name, seed, flags, output)
    asked = {"flags": list(flags), "config": yaml.safe_load(Path(flags[0]).read_text(encoding="utf-8"))}
    if file.exists():
        kept = read_run(file)
        # Not where the config lies: its content counts.
        if kept["flags"][1:] != asked["flags"][1:] or kept["config"] != asked["config"]:
            different = "flags" if kept["config"] == asked["config"] else "config"
            raise InputError(f"{file} was made with other {different}: name another --output_dir for this run.")
    else:
        trained = train(model_args, data_args, args, model_class=variant.model_class)
        kept = {"variant": name, "seed": seed, **asked, "top1": trained["eval_accuracy"], "values": {}}
        write_json(file, kept)
    result = evaluation.evaluate(data_args, args, variant.model_class)
    for key, found in (("values", result.values), ("intervals", result.intervals)):
        for explainer, values in found.items():
            kept.setdefault(key, {}).setdefault(explainer, {}).update(values)
    kept["correct"] = max(result.correct, kept.get("correct", []), key=len)
    write_json(file, kept)
    return result


def _arguments(
    name: str, seed: int, flags: Sequence[str], output: Path
) -> tuple[ModelArguments, DataArguments, PMViTTrainingArguments]:
    """The config's arguments, changed by the flags and the variant, without evaluations and logs on the way."""
    fixed = {
        "output_dir": output / name / f"seed-{seed}",
        "feature_folder": output / "features",
        "seed": seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "overlays": 0,
    }
    settings = fixed | dict(VARIANTS[name].settings)
    changed = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
    return parse_arguments([*(flag.replace("{seed}", str(seed)) for flag in flags), *changed])
