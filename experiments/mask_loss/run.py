"""One arm with one seed: trained, judged, and its figures kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.utils.files import write_json

from .evaluating import Judged, Judging
from .variants import ARMS


def run_arm(name: str, seed: int, flags: Sequence[str], output: Path, judging: Judging) -> Judged:
    """
    Train the arm and judge it on the split that the config evaluates on. An arm that is trained already, as
    `output/NAME/seed-N.json` tells, is not trained again; other explainers and protocols add their figures to it.

    Args:
        name: of an arm in `ARMS`.
        seed: of the order of the images and their augmentation; of the weights too, where no model is given.
        flags: of `scripts/train.py`: config, model, data. `{seed}` in them stands for the seed.
        output: folder of the study.
        judging: whose maps are judged, and how.

    Returns:
        What this judging found, as [`Judging.judge`] does. The file holds `top1` of the model, all `figures` with
        their `intervals`, and `correct` of the judging of most images.

    Raises:
        ValueError: if there is no such arm, or it was trained with another config or other flags.
    """
    if name not in ARMS:
        raise ValueError(f"there is no arm {name!r}; there are {', '.join(ARMS)}.")
    file = output / name / f"seed-{seed}.json"
    model_args, data_args, args = _arguments(name, seed, flags, output)
    asked = {"flags": list(flags), "config": yaml.safe_load(Path(flags[0]).read_text(encoding="utf-8"))}
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if different := [key for key, value in asked.items() if kept[key] != value]:
            raise ValueError(f"{file} was made with other {different[0]}: name another --output for this one.")
    else:
        trained = train(model_args, data_args, args, form=ARMS[name].form)
        kept = {"arm": name, "seed": seed, **asked, "top1": trained["eval_accuracy"], "figures": {}}
        write_json(file, kept)
    judged = judging.judge(data_args, args, ARMS[name].form)
    for key, found in (("figures", judged.figures), ("intervals", judged.intervals)):
        for explainer, values in found.items():
            kept.setdefault(key, {}).setdefault(explainer, {}).update(values)
    kept["correct"] = max(judged.correct, kept.get("correct", []), key=len)
    write_json(file, kept)
    return judged


def _arguments(name: str, seed: int, flags: Sequence[str], output: Path):
    """The run's arguments: the config's, changed by the arm, without what only someone watching needs."""
    folder = output / name / f"seed-{seed}"
    fixed = {
        "output_dir": folder,
        "feature_folder": output / "features",
        "seed": seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "overlays": 0,
    }
    changed = [text for key, value in (fixed | dict(ARMS[name].settings)).items() for text in (f"--{key}", str(value))]
    return parse_arguments([*(flag.replace("{seed}", str(seed)) for flag in flags), *changed])
