"""How a trained variant is evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.data.masks import MaskEncoding
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.results import held_out_records
from modeling_pm_vit.evaluation.run import held_out_of, prepare, run
from modeling_pm_vit.metrics.bootstrap import bootstrap, interval
from modeling_pm_vit.metrics.metric import Metric, Records
from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.training.run_arguments import PMViTTrainingArguments


@dataclass(frozen=True)
class VariantResult:
    """
    Attributes:
        values: by explainer and name.
        intervals: of each value, its 95 % bootstrap interval over the images (over the cells, for grids).
        correct: for each evaluated image, 1 if its most probable class is the right one, else 0.
    """

    values: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    correct: list[int]


@dataclass(frozen=True)
class EvaluationSettings:
    """
    Args:
        explainers: names of the explainers to evaluate.
        metrics: names of the metrics to compute.
        num_grids: number of grids of a grid pointing game.
        max_samples: at most so many images, drawn at random.
        mask_column, mask_encoding: of the evaluation split; by default those of the training, `"none"` for a split
            without masks.
        held_out_split: of the evaluated source; thresholds of localization are also chosen on it.
    """

    explainers: Sequence[str] = ("pm-vit",)
    metrics: Sequence[str] = ("localization", "pointing", "map_statistics", "grid_2x2")
    num_grids: int = 20
    max_samples: int | None = None
    mask_column: str | None = None
    mask_encoding: MaskEncoding | None = None
    held_out_split: str | None = None

    def evaluate(
        self,
        data_args: DataArguments,
        args: PMViTTrainingArguments,
        model_class: type[PMViTForImageClassification],
    ) -> VariantResult:
        """Evaluate the model in `args.output_dir`, of this class, on the evaluation split of the training."""
        masks, encoding = self.mask_column or data_args.mask_column, self.mask_encoding or data_args.mask_encoding
        masks = None if masks == "none" else masks
        arguments = EvaluationArguments(
            model=args.output_dir,
            model_class=model_class,
            output_dir=Path(args.output_dir) / f"evaluation-{self.max_samples or 'all'}-{self.num_grids}",
            data=data_args.eval_data or data_args.data,
            split=data_args.eval_split,
            mask_encoding=encoding,
            image_column=data_args.image_column,
            label_column=data_args.label_column,
            mask_column=masks,
            box_column=masks if encoding == "box" else None,
            explainers=list(self.explainers),
            metrics=list(self.metrics),
            max_samples=self.max_samples,
            num_grids=self.num_grids,
            device=str(args.device),
            precision="bf16" if args.bf16 else "fp32",
            held_out_split=self.held_out_split,
        )
        evaluation = prepare(arguments)
        run(evaluation, arguments)
        held_out = held_out_of(arguments, evaluation)
        if held_out is not None:
            run(held_out, arguments)
        values: dict[str, dict[str, float]] = {name: {} for name in self.explainers}
        intervals: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in self.explainers}

        def add(explainer: str, metric: Metric, records: Records, prefix: str = "") -> None:
            samples = bootstrap(metric, records)
            for key, value in metric.values_of(records).items():
                values[explainer][prefix + key] = value
                intervals[explainer][prefix + key] = interval(samples[key])

        for name in self.explainers:
            for metric in (METRICS[key] for key in self.metrics):
                records = evaluation.records(metric.name, name)
                if records:
                    add(name, metric, records)
                if records and held_out is not None and metric.held_out is not None:
                    fixed = held_out_records(metric.name, records, held_out, name)
                    add(name, metric.held_out.metric, fixed, "held_out_")
        correct = evaluation.records("classification")["top1"].astype(int).tolist()
        return VariantResult(values, intervals, correct)
