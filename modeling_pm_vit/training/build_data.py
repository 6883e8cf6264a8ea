"""From the arguments of a run to its training and evaluation sets."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ..conversion.checkpoints import checkpoint_classes
from ..conversion.source import numbered_labels
from ..data.augmentation.parameters import AugmentationSettings
from ..data.class_overview import Part, class_overview
from ..data.class_views import with_empty_classes, without_classes
from ..data.classes import are_numbers, match_classes
from ..data.columns import Columns, require_columns
from ..data.dataset import ExampleDataset
from ..data.drawing import draw
from ..data.label_columns import label_kind, label_names
from ..data.masks import MaskFormat
from ..data.multi_label import LabelVectors
from ..data.overview import mask_overview
from ..data.rows import MaskSubset, Rows, RowsWithMasks
from ..data.sources import is_single, open_rows
from ..data.transforms import ExampleTransform
from ..image_processing_pm_vit import PMViTImageProcessor
from ..utils.errors import InputError
from .data_arguments import DataArguments
from .imbalance import sampled_labels

FEW_MASKS = 1 / 32  # share of the images of an epoch that have a mask


def open_train_sources(args: DataArguments, seed: int = 0) -> list[Rows]:
    """
    The training split, or a part of it, followed by the source of additional images with masks if there is one.

    Args:
        seed: of the choice of a part.

    Raises:
        InputError: if a split or column does not exist, a shard cannot be read, or options contradict one another.
    """
    if args.mask_rate is not None and not 0 <= args.mask_rate < 1:
        raise InputError(f"--mask_rate must lie in [0, 1), got {args.mask_rate}.")
    if args.mask_column is None and (args.mask_data or args.mask_rate):
        raise InputError("--mask_data and --mask_rate need a --mask_column.")
    settings: dict[str, Any] = {
        "streaming": args.streaming,
        "label_column": args.label_column,
        "skip_bad_shards": args.on_bad_sample == "skip",
        "class_names": args.names,
        "group_column": args.group_column,
    }
    generated = args.max_train_samples if args.data == "synthetic" else None
    train = open_rows(args.data, args.train_split, generated, mask_fraction=args.mask_fraction, **settings)
    train = without_classes(train, args.columns, args.leave_out_classes, args.masks.encoding)
    train = draw(train, args.label_column, args.max_train_samples, seed)
    require_columns(train.name, train.features, {"--image_column": args.image_column})
    selects = args.data != "synthetic" and args.mask_fraction != 1
    if selects and args.mask_column is not None and args.mask_column in train.features:
        train = MaskSubset(train, args.mask_column, args.label_column, args.mask_fraction)
    train = with_empty_classes(train, args.columns, args.empty_classes)
    if args.is_weak and args.mask_rate is None:
        args.mask_rate = default_mask_rate(train, args.mask_column)
    sources: list[Rows] = [train]
    if args.mask_data:
        settings["streaming"] &= "://" in args.mask_data  # small, and read in random order
        extra = open_rows(args.mask_data, args.train_split, **settings)
        extra = without_classes(extra, args.columns, args.leave_out_classes, args.masks.encoding)
        sources.append(with_empty_classes(extra, args.columns, args.empty_classes))
        require_columns(sources[1].name, sources[1].features, {"--image_column": args.image_column})
    if args.mask_column is not None:
        require_columns(sources[-1].name, sources[-1].features, {"--mask_column": args.mask_column})
        if args.mask_rate and not args.mask_data:
            sources.append(RowsWithMasks(train, args.mask_column))
            if not len(sources[1]):
                raise InputError(f"--mask_rate {args.mask_rate}: no row of {train.name} has a {args.mask_column!r}.")
    return sources


def default_mask_rate(rows: Rows, column: str | None) -> float | None:
    """
    The default of `--mask_rate` where images without a mask teach too: `FEW_MASKS`, if there are masks, but not as many
    (docs/explanation/few-masks.md). Rows that are read block by block cannot be repeated.
    """
    if column is None or column not in rows.features or rows.blocks is not None:
        return None
    return FEW_MASKS if 0 < len(rows.rows_with(column)) < FEW_MASKS * len(rows) else None


def mask_share(sources: Sequence[Rows], args: DataArguments) -> float:
    """The share of an epoch's images that have a mask."""
    column, rate = args.mask_column, args.mask_rate or 0.0
    if column is None:
        return 0.0
    shares = [len(rows.rows_with(column)) / max(1, len(rows)) if column in rows.features else 0.0 for rows in sources]
    return shares[0] if len(shares) == 1 else (1 - rate) * shares[0] + rate * shares[1]


def training_classes(rows: Rows, args: DataArguments, model: str | None) -> list[str]:
    """
    The names of the classes to train: those of the training set; if these are numbers, those of the checkpoint `model`,
    if it has equally many.
    """
    names = label_names(rows.features, args.label_column)
    if args.names and label_kind(rows.features.get(args.label_column)) == "multi_hot":
        match_classes(names, args.names, rows.name, " Name all classes.", "--class_names")
        return args.names
    if model is None or not are_numbers(names):
        return names
    own = checkpoint_classes(model)
    return own if len(own) == len(names) and own != numbered_labels(len(own)) else names


def data_overview(
    sources: Sequence[Rows], names: Sequence[str], args: DataArguments, evaluation: Rows | None = None
) -> list[str]:
    """
    What the data hold, in lines for the user: images and masks of each class, warnings, values of a few masks of the
    sources.

    Args:
        names: of the classes to train.
        evaluation: the images to evaluate on.

    Raises:
        InputError: if one of these masks cannot be used and rows are not skipped.
    """

    def part(title: str, rows: Rows, columns: Columns) -> Part:
        known = match_classes(label_names(rows.features, columns.label), names, rows.name, of="the training set")
        return Part(title, rows, columns, known)

    columns, skip = args.columns, args.on_bad_sample == "skip"
    parts = [part("training", sources[0], columns)]
    parts += [part("second", rows, columns) for rows in sources[1:] if not isinstance(rows, RowsWithMasks)]
    without_masks = args.eval_mask_encoding == "none"
    on = Columns(columns.image, columns.label, None) if without_masks else columns
    lines = class_overview(parts, names, None if evaluation is None else part("evaluation", evaluation, on))
    return lines + [note for of in parts for note in mask_overview(of.rows, columns, args.masks, of.classes, skip)]


def build_train_set(
    sources: Sequence[Rows],
    processor: PMViTImageProcessor,
    args: DataArguments,
    seed: int,
    names: Sequence[str] | None = None,
) -> ExampleDataset:
    """
    The dataset of the sources of [`open_train_sources`], with augmentation.

    Args:
        names: of the classes to train; by default those of the first source.
    """
    names = label_names(sources[0].features, args.label_column) if names is None else names
    several = label_kind(sources[0].features[args.label_column]) != "class"
    if several and args.is_weak:
        raise InputError(
            f"--weak_supervision needs one class per image, as other classes may not be on any patch: "
            f"{sources[0].name} has several labels per image, or a single class."
        )
    augmentation = AugmentationSettings(
        **{field.name: getattr(args, field.name) for field in fields(AugmentationSettings)}
    )
    pairs = [(rows, _transform(rows, names, several, processor, args, augmentation)) for rows in sources]
    labels = sampled_labels(sources[0], args)
    return ExampleDataset(pairs, seed, args.on_bad_sample, args.repeated_augmentation, labels)


def build_eval_set(
    names: Sequence[str], processor: PMViTImageProcessor, args: DataArguments, seed: int, several: bool = False
) -> ExampleDataset:
    """
    Args:
        names: classes of the training set.
        several: its images can show several classes, or none.

    Raises:
        InputError: if the split or a column does not exist, or it has a class that the training set does not have.
    """
    source = args.eval_data or args.data
    if source == args.data and args.eval_split != args.train_split and is_single(source) and "[" not in args.eval_split:
        raise InputError(
            f"{source} has the rows of all splits: name the images to evaluate on with --eval_data, or divide it, such "
            "as --train_split 'train[!0/5]' --eval_split 'train[0/5]'."
        )
    rows = open_rows(
        source,
        args.eval_split,
        args.max_eval_samples if source == "synthetic" else None,
        streaming=args.streaming,
        label_column=args.label_column,
        skip_bad_shards=args.on_bad_sample == "skip",
        class_names=args.names,
        group_column=args.group_column,
    )
    rows = without_classes(rows, args.columns, args.leave_out_classes, args.eval_masks.encoding)
    rows = draw(rows, args.label_column, args.max_eval_samples, seed)
    rows = with_empty_classes(rows, args.columns, args.empty_classes)
    require_columns(rows.name, rows.features, {"--image_column": args.image_column})
    transform = _transform(rows, names, several, processor, args, masks=args.eval_masks)
    if args.eval_mask_encoding == "none":
        transform.mask_column = None
    columns = Columns(args.image_column, args.label_column, transform.mask_column)
    if transform.classes is not None:  # refuses masks that cannot be read before the first step
        mask_overview(rows, columns, args.eval_masks, transform.classes, args.on_bad_sample == "skip")
    return ExampleDataset([(rows, transform)], seed, args.on_bad_sample)


def _transform(
    rows: Rows,
    names: Sequence[str],
    several: bool,
    processor: PMViTImageProcessor,
    args: DataArguments,
    augmentation: AugmentationSettings | None = None,
    masks: MaskFormat | None = None,
) -> ExampleTransform:
    classes = match_classes(label_names(rows.features, args.label_column), names, rows.name, of="the training set")
    vectors = LabelVectors.of_column(rows.features, args.label_column, classes, len(names))
    if (vectors is not None) != several:
        has = ("one class per image", "several labels per image, or a single class")
        raise InputError(
            f"--label_column: {rows.name} has {has[not several]} in {args.label_column!r}, and the training set "
            f"{has[several]}."
        )
    return ExampleTransform(
        processor,
        masks or args.masks,
        classes=classes,
        several=vectors,
        image_column=args.image_column,
        label_column=args.label_column,
        mask_column=args.mask_column,
        augmentation=augmentation,
        weak=augmentation is not None and args.is_weak,
    )
