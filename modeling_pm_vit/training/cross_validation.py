"""Cross-validation: the same training on N - 1 of N parts of the data, evaluated on the part that it has not seen."""

import copy
import csv
import gc
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics.intervals import proportion
from ..reporting.class_summary import listed_counts
from ..reporting.confusion_matrix import CONFUSION_TABLE, write_confusion_matrix
from ..utils.errors import InputError
from ..utils.files import write_json
from ..utils.resuming import keep_settings
from ..utils.tables import markdown_table
from .checkpoints import checkpoints
from .data_arguments import DataArguments
from .model_arguments import ModelArguments
from .run import train
from .run_arguments import LAST, PMViTTrainingArguments
from .summary import SUMMARY

RESULTS = "cross_validation.json"
_SETTINGS = "cross_validation_settings.json"
# Beginnings of the names of training settings on which the results do not depend.
_HOW = (
    *("output_dir", "resume_", "dataloader_", "num_threads", "disable_tqdm", "report_to", "log", "save_", "overlays"),
    *("run_name", "hub_", "push_to_hub", "local_rank", "feature_folder", "accelerator_config", "project", "trackio"),
)
_SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision", "auroc", "object_found", "outline_iou")
_SHOWN_OF_CLASSES = ("recall", "precision", "f1", "auroc", "object_found", "outline_iou")


def cross_validate(
    model_args: ModelArguments, data_args: DataArguments, args: PMViTTrainingArguments
) -> dict[str, Any]:
    """
    Train `args.folds` times, each in a folder `fold-K` of `args.output_dir`, and write the mean and the spread of all
    values to `cross_validation.json`, and the confusion matrix of all folds together. Complete folds are not trained
    again, and an interrupted one continues from its newest complete checkpoint.

    Raises:
        InputError: as [`train`]; if the split to divide is a part already, or the folder has folds of other settings.
    """
    if args.folds < 2:
        raise InputError(f"--folds must be at least 2, got {args.folds}.")
    if data_args.eval_data is not None or "[" in data_args.train_split:
        raise InputError(
            "--folds divides --train_split into parts to train and to evaluate on: leave out --eval_data "
            "and parts such as 'train[!0/5]'."
        )
    output = Path(str(args.output_dir))
    folders = [output / f"fold-{fold}" for fold in range(args.folds)]
    if args.process_index == 0:
        how = {name: value for name, value in args.to_dict().items() if not name.startswith(_HOW)}
        keep_settings(output / _SETTINGS, {**asdict(model_args), **asdict(data_args), **how}, "folds")
    # Asked before the first training, so that all processes agree.
    missing = [fold for fold, folder in enumerate(folders) if not (folder / SUMMARY).is_file()]
    for fold in missing:
        if args.process_index == 0:
            print(f"\nfold {fold + 1} of {args.folds}\n")
        own_data, own = copy.copy(data_args), copy.copy(args)
        own_data.train_split = f"{data_args.train_split}[!{fold}/{args.folds}]"
        own_data.eval_split = f"{data_args.train_split}[{fold}/{args.folds}]"
        own.output_dir = str(folders[fold])
        own.resume_from_checkpoint = LAST if checkpoints(folders[fold]) else None
        train(model_args, own_data, own)
        gc.collect()  # the model of this fold
    results: dict[str, Any] = {}
    if args.process_index == 0:
        results = cross_validation_results([json.loads((folder / SUMMARY).read_text("utf-8")) for folder in folders])
        write_json(output / RESULTS, results)
        print("\n".join(["", *_together(output, folders), "", *results_tables(results)]))
        print(f"values of all folds: {output / RESULTS}")
    return results


def cross_validation_results(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """
    Mean, standard deviation (n - 1) and the values of the folds, from what [`write_summary`] wrote: of the set
    (`values`) and of each class (`classes`). A value that a fold does not have is None there.
    """
    names = list(summaries[0]["classes"])
    of_set = [summary["metrics"] | _numbers(summary["evaluation"]) for summary in summaries]
    of_classes = {name: [_numbers(summary["classes"][name]["evaluation"]) for summary in summaries] for name in names}
    return {
        "folds": len(summaries),
        "images": [summary["evaluation"]["images"] for summary in summaries],
        "values": _spread(of_set),
        "classes": {name: _spread(of) for name, of in of_classes.items()},
        "versions": summaries[0]["versions"],
    }


def results_tables(results: dict[str, Any]) -> list[str]:
    """Mean ± standard deviation: of the set with the values of all folds, and of each class."""
    number = lambda value: "-" if value is None else f"{value:.3f}"  # noqa: E731
    spread = lambda of: f"{number(of['mean'])} ± {number(of['std'])}"  # noqa: E731
    rows = [["value", "mean ± sd", *(f"fold {fold + 1}" for fold in range(results["folds"]))]]
    rows += [
        [name, spread(results["values"][name]), *map(number, results["values"][name]["folds"])]
        for name in _SHOWN
        if name in results["values"]
    ]
    used = [name for name in _SHOWN_OF_CLASSES if any(name in of for of in results["classes"].values())]
    each = [["class (mean ± sd)", *used]]
    each += [
        [name, *(spread(of[value]) if value in of else "-" for value in used)]
        for name, of in results["classes"].items()
    ]
    return [markdown_table(rows), markdown_table(each)]


def _together(output: Path, folders: Sequence[Path]) -> list[str]:
    """Sentences on the images of all folds, each of which was evaluated once; writes their confusion matrix."""
    tables = [
        list(csv.reader((folder / CONFUSION_TABLE).read_text("utf-8").splitlines()))
        for folder in folders
        if (folder / CONFUSION_TABLE).is_file()
    ]
    if len(tables) < len(folders):
        return []  # several labels per image
    names = tables[0][0][1:]
    confusion = np.sum([[[int(cell) for cell in row[1:]] for row in table[1:]] for table in tables], axis=0)
    write_confusion_matrix(output, confusion, names)
    lines = [f"Each of {confusion.sum()} images was evaluated once, by a model that had not seen it."]
    for c, name in enumerate(names):
        right, images = int(confusion[c, c]), int(confusion[c].sum())
        if images:
            share, low, high = 100 * proportion(np.array(right), np.array(images))
            missed = {n: int(k) for n, k in zip(names, confusion[c], strict=True) if k and n != name}
            text = f"{name}: {right} of {images} images recognised ({share:.1f} % [{low:.1f}, {high:.1f}])"
            called = listed_counts(dict(sorted(missed.items(), key=lambda pair: -pair[1])))
            lines.append(text + (f"; {images - right} missed, called {called}." if missed else "."))
    return lines


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if isinstance(value, (int, float))}


def _spread(folds: Sequence[dict[str, float]]) -> dict[str, Any]:
    spread = {}
    for name in dict.fromkeys(name for of in folds for name in of):
        known = [of[name] for of in folds if name in of]
        std = float(np.std(known, ddof=1)) if len(known) > 1 else None
        spread[name] = {"mean": float(np.mean(known)), "std": std, "folds": [of.get(name) for of in folds]}
    return spread
