"""An evaluation from what a user names, a checkpoint and a dataset, to its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from datasets import ClassLabel, Dataset

from ..data.columns import Columns
from ..data.layouts import load_layout
from ..data.masks import MaskEncoding
from ..data.sources import load_split
from ..explainers import explainers as all_explainers
from ..image_processing_pm_vit import PMViTImageProcessor
from ..metrics.registry import METRICS
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.fingerprint import fingerprint
from ..utils.processes import processes
from .classifier import Classifier
from .evaluator import EvaluationPlan, Evaluator
from .report import write_report
from .results import Results


@dataclass
class Request:
    """
    What a user asks for. Attributes as in `scripts/evaluate.py --help`, and:

    Attributes:
        form: class that the checkpoint is loaded by.

    Raises:
        ValueError: if an explainer or a metric is unknown; names those that there are.
    """

    model: str
    output: Path
    data: str = "synthetic"
    layout: str | None = None
    split: str = "test"
    mask_encoding: MaskEncoding | None = None
    columns: Columns = field(default_factory=Columns)
    explainers: Sequence[str] = ("all",)
    protocols: Sequence[str] = ("all",)
    max_images: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    grids: int = 60
    step_rows: int = 1
    rise_masks: int = 4000
    integration_steps: int = 50
    batch_size: int = 16
    seed: int = 0
    device: str = "cpu"
    bf16: bool = False
    class_order: Path | None = None
    held_out_split: str | None = None
    held_out_data: str | None = None
    form: type[PMViTForImageClassification] = PMViTForImageClassification

    def __post_init__(self):
        known = all_explainers()
        for what, asked, there in (("explainer", self.explainers, known), ("metric", self.protocols, METRICS)):
            unknown = [name for name in asked if name != "all" and name not in there]
            if unknown:
                raise ValueError(f"there is no {what} {unknown[0]!r}; there are {', '.join(there)}.")
        self.explainers = tuple(known) if "all" in self.explainers else tuple(self.explainers)
        if self.held_out_split is not None and not {"all", "localization"} & set(self.protocols):
            raise ValueError("a held-out split chooses thresholds of localization: ask for that metric.")
        self.protocols = tuple(METRICS) if "all" in self.protocols else tuple(self.protocols)


def evaluate(request: Request) -> tuple[Results, Path]:
    """
    Make the records that are missing below `request.output`, by all processes, and write the report, by the first.

    Returns:
        The results, empty in all processes but the first, and the report's folder.
    """
    evaluation = prepare(request)
    held_out = held_out_of(request, evaluation)
    run(evaluation, request)
    if held_out is not None:
        run(held_out, request)
    results: Results = {}
    if evaluation.process.is_main_process:
        id2label = evaluation.classifier.model.config.id2label
        limits = " ".join(f"{name}={count}" for name, count in request.limits.items())
        chosen = {"limits": limits, "grids": request.grids, "step_rows": request.step_rows, "seed": request.seed}
        shown = evaluation.settings | chosen
        if held_out is not None:
            shown |= {name: held_out.settings[name] for name in ("held_out_data", "held_out_split")}
        title = f"Evaluation of explanations: {Path(request.model).name} on {Path(request.data).name}"
        names = [id2label[index] for index in range(len(id2label))]
        results = write_report(evaluation, request.output, names, title, shown, held_out)
    evaluation.process.wait_for_everyone()
    return results, request.output


def run(evaluation: Evaluator, request: Request) -> None:
    """Make the records that are missing, in the precision that is asked for."""
    with torch.autocast(evaluation.classifier.device.type, torch.bfloat16, enabled=request.bf16):
        evaluation.run()


def prepare(request: Request) -> Evaluator:
    """The evaluation that is asked for, with the records that are there already; nothing is computed yet."""
    process = processes(request.device.split(":")[0])
    device = process.device if process.num_processes > 1 else request.device
    model = request.form.from_pretrained(request.model).to(device).eval()
    size = model.vit.embeddings.image_size
    processor = PMViTImageProcessor.from_pretrained(
        request.model,
        size={"height": size[0], "width": size[1]},
        do_center_crop=False,
        patch_size=model.config.patch_size,
    )
    dataset, encoding, columns = _dataset(request, model.config.label2id)
    settings = {
        "model": request.model,
        "weights": fingerprint(model),
        "data": request.data,
        "layout": request.layout,
        "split": request.split,
        "rows": len(dataset),
        "precision": "bf16" if request.bf16 else "fp32",
        "rise_masks": request.rise_masks,
        "integration_steps": request.integration_steps,
    }
    methods = all_explainers(request.rise_masks, request.integration_steps)
    plan = EvaluationPlan(
        {name: methods[name] for name in methods if name in request.explainers},
        request.protocols,
        request.max_images,
        request.limits,
        request.grids,
        request.step_rows,
        request.batch_size,
        request.seed,
    )
    classifier = Classifier(model, processor.image_mean, processor.image_std)
    return Evaluator(classifier, processor, dataset, encoding, columns, plan, request.output / "records", settings)


def held_out_of(request: Request, evaluation: Evaluator) -> Evaluator | None:
    """The same explainers on the split that chooses thresholds, if there is one."""
    if request.held_out_split is None:
        return None
    there = replace(request, data=request.held_out_data or request.data, split=request.held_out_split)
    dataset, encoding, columns = _dataset(there, evaluation.classifier.model.config.label2id)
    own = {"held_out_data": there.data, "held_out_split": there.split, "rows": len(dataset)}
    return Evaluator(
        evaluation.classifier,
        evaluation.processor,
        dataset,
        encoding,
        columns,
        replace(evaluation.plan, metrics=("localization",), max_samples=None, limits={}),
        request.output / "held-out",
        evaluation.settings | own,
    )


def align_labels(
    dataset: Dataset, column: str, label2id: Mapping[str, int], class_order: Path | None = None
) -> Dataset:
    """
    The dataset with the model's class indices for labels.

    Args:
        column: of the labels, a `ClassLabel`.
        label2id: of the model.
        class_order: a text file whose line i begins with the dataset's name of the model's class i (as in
            `LOC_synset_mapping.txt`), where the model has other names for its classes.

    Raises:
        ValueError: if the dataset has a class that the model has not, or a row without a class.
    """
    feature = dataset.features[column]
    if not isinstance(feature, ClassLabel):
        raise ValueError(f"the column {column!r} must be a ClassLabel, got {feature}.")
    for row, label in enumerate(dataset[column]):
        if label is None or label < 0:
            raise ValueError(f"row {row} has no class (its label is {label}): every image needs a class.")
    if class_order is not None:
        lines = class_order.read_text(encoding="utf-8").splitlines()
        label2id = {line.split()[0]: index for index, line in enumerate(lines) if line.strip()}
    elif len(feature.names) == len(label2id) and not set(feature.names) & set(label2id):
        label2id = {name: index for index, name in enumerate(feature.names)}  # other names for the same classes
    missing = [name for name in feature.names if name not in label2id]
    if missing:
        raise ValueError(
            f"the dataset has the class {missing[0]!r}, which is none of the model's {len(label2id)}; name the "
            "dataset's classes in the model's order with --class-order."
        )
    ids = [label2id[name] for name in feature.names]
    if ids == list(range(len(ids))) and len(ids) == len(label2id):
        return dataset
    names = [name for name, _ in sorted(label2id.items(), key=lambda item: item[1])]
    labels = [ids[label] for label in dataset[column]]
    return dataset.remove_columns(column).add_column(column, labels).cast_column(column, ClassLabel(names=names))


def _dataset(request: Request, label2id: Mapping[str, int]) -> tuple[Dataset, MaskEncoding, Columns]:
    dataset, encoding, columns = _named_dataset(request)
    return align_labels(dataset, columns.label, label2id, request.class_order), encoding, columns


def _named_dataset(request: Request) -> tuple[Dataset, MaskEncoding, Columns]:
    if request.layout is not None:
        return load_layout(request.layout, Path(request.data), request.split)
    columns = request.columns
    encoding = request.mask_encoding or ("class_id" if request.data == "synthetic" else "binary")
    dataset = load_split(request.data, request.split, request.max_images if request.data == "synthetic" else None)
    for name in (columns.image, columns.label, columns.mask, columns.boxes):
        if name is not None and name not in dataset.features:
            there = ", ".join(dataset.features)
            raise ValueError(f"{request.data} has no column {name!r}; its columns are {there}.")
    return dataset, encoding, columns
