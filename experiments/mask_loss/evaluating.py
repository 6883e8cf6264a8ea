"""How a trained arm is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.masks import MaskEncoding
from modeling_pm_vit.evaluation.evaluator import PROTOCOLS
from modeling_pm_vit.evaluation.run import Request, held_out_of, prepare, run
from modeling_pm_vit.metrics.bootstrap import bootstrap, interval
from modeling_pm_vit.metrics.held_out_localization import HELD_OUT_LOCALIZATION, at_held_out_thresholds
from modeling_pm_vit.metrics.localization import LOCALIZATION
from modeling_pm_vit.metrics.metric import Protocol, Records
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.training.arguments import DataArguments, PMViTTrainingArguments


@dataclass(frozen=True)
class Judged:
    """
    Attributes:
        figures: by explainer and figure.
        intervals: of each of the figures, its 95 % bootstrap interval over the images (the cells, for grids).
        correct: of each image that is judged, 1 if the most probable class is its own, else 0.
    """

    figures: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    correct: list[int]


@dataclass(frozen=True)
class Judging:
    """
    Args:
        explainers: whose maps are judged.
        protocols: by which.
        grids: how many a grid pointing game plays.
        max_images: at most so many images, drawn at random.
        mask_column, mask_encoding: of the images that are judged; by default those of the training, `"none"` for a
            split that has none.
        held_out_split: of the source that is judged; thresholds of localization are chosen on it as well.
    """

    explainers: Sequence[str] = ("pm-vit",)
    protocols: Sequence[str] = ("localization", "pointing", "map_statistics", "grid_2x2")
    grids: int = 20
    max_images: int | None = None
    mask_column: str | None = None
    mask_encoding: MaskEncoding | None = None
    held_out_split: str | None = None

    def judge(
        self,
        data_args: DataArguments,
        args: PMViTTrainingArguments,
        form: type[PMViTForImageClassification],
    ) -> Judged:
        """What is found of the model in `args.output_dir`, of this form, on the split that the training judges on."""
        masks, encoding = self.mask_column or data_args.mask_column, self.mask_encoding or data_args.mask_encoding
        masks = None if masks == "none" else masks
        request = Request(
            model=args.output_dir,
            form=form,
            output=Path(args.output_dir) / f"evaluation-{self.max_images or 'all'}-{self.grids}",
            data=data_args.eval_data or data_args.data,
            split=data_args.eval_split,
            mask_encoding=encoding,
            columns=Columns(
                data_args.image_column, data_args.label_column, masks, masks if encoding == "box" else None
            ),
            explainers=self.explainers,
            protocols=self.protocols,
            max_images=self.max_images,
            grids=self.grids,
            device=str(args.device),
            bf16=args.bf16,
            held_out_split=self.held_out_split,
        )
        evaluation = prepare(request)
        run(evaluation, request)
        held_out = held_out_of(request, evaluation)
        if held_out is not None:
            run(held_out, request)
        figures: dict[str, dict[str, float]] = {name: {} for name in self.explainers}
        intervals: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in self.explainers}

        def add(explainer: str, protocol: Protocol, records: Records, prefix: str = "") -> None:
            samples = bootstrap(protocol, records)
            for figure, value in protocol.figures_of(records).items():
                figures[explainer][prefix + figure] = value
                intervals[explainer][prefix + figure] = interval(samples[figure])

        for name in self.explainers:
            for protocol in self.protocols:
                records = evaluation.records(protocol, name)
                if records:
                    add(name, PROTOCOLS[protocol], records)
                if records and held_out is not None and protocol == LOCALIZATION.name:
                    fixed = at_held_out_thresholds(records, held_out.records(protocol, name))
                    add(name, HELD_OUT_LOCALIZATION, fixed, "held_out_")
        correct = evaluation.records("classification")["top1"].astype(int).tolist()
        return Judged(figures, intervals, correct)
