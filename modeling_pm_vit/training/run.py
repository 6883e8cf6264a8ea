"""A training run from its arguments to a folder that the Auto classes load."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from transformers import TrainerCallback, set_seed

from ..configuration_pm_vit import PMViTConfig
from ..data.classes import class_names, match_classes
from ..data.collation import Collator
from ..data.dataset import ExampleDataset
from ..data.rows import MaskSubset, Rows, RowsWithMasks
from ..data.sources import open_rows
from ..data.transforms import ExampleTransform
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.files import write_text
from .arguments import LAST, DataArguments, ModelArguments, PMViTTrainingArguments
from .cached_features import FrozenLayers
from .callbacks import table
from .checkpoints import checkpoints, last_complete
from .optimization import freeze_layers
from .trainer import PMViTTrainer


def train(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: PMViTTrainingArguments,
    callbacks: Sequence[TrainerCallback] = (),
    form: type[PMViTForImageClassification] = PMViTForImageClassification,
) -> dict[str, float]:
    """
    Train, evaluate and save to `args.output_dir`: weights, processor and code at the top, checkpoints below.

    A run that was interrupted goes on from its last whole checkpoint with `args.resume_from_checkpoint` set to "last"
    (or to a checkpoint's path), and ends with the weights that it would have had anyway. Without any it starts afresh.

    Args:
        form: the model's class.

    Returns:
        The figures of the final evaluation (see [`explanation_metrics`]).

    Raises:
        ValueError: if a split, column, class or shard is not there or not as expected, or if a new run would write
            among the checkpoints of an earlier one.
    """
    set_seed(args.seed)
    checkpoint = _checkpoint_to_resume(args)
    sources = open_train_sources(data_args)
    names = class_names(sources[0].features, data_args.label_column)
    share = mask_share(sources, data_args)
    weight = model_args.mask_loss_weight
    if weight is None:
        weight = default_mask_loss_weight(share)
    if args.layer_decay is None:
        # docs/experiments/mask-loss.md
        args.layer_decay = 0.75 if model_args.model and not model_args.frozen_layers else 1.0
    model, processor = build_model(model_args, names, weight, form)
    train_set = training_set(sources, processor, data_args, args.seed)
    eval_set = evaluation_set(names, processor, data_args, args.seed)

    frozen = features = None
    if args.feature_epochs:
        frozen = FrozenLayers(model, model_args.frozen_layers, args.bf16)
        settings = {
            "data": asdict(data_args),
            "rows": [(rows.name, len(rows)) for rows in sources],
            "processor": processor.to_dict(),
            "seed": args.seed,
            "batch": args.per_device_train_batch_size,
        }
        features = Path(args.feature_folder or Path(args.output_dir) / "features") / frozen.fingerprint(settings)

    trainer = PMViTTrainer(
        model=model,
        args=args,
        train_dataset=train_set,
        eval_dataset=eval_set,
        processing_class=processor,
        collator=Collator(data_args.mosaics, data_args.mixup, data_args.cutmix),
        second_rate=data_args.mask_rate or 0.0,
        frozen=frozen,
        features=features,
        callbacks=list(callbacks),
    )
    if args.process_index == 0:
        count = sum(len(rows) for rows in sources if not isinstance(rows, RowsWithMasks))
        print(f"{count} training images; {share:.1%} of an epoch with a mask; {len(eval_set)} to evaluate on")
    trainer.train(resume_from_checkpoint=checkpoint)
    with trainer.averaged():
        trainer.save_model()
    trainer.save_state()
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", metrics)
    if args.process_index == 0:
        output = Path(args.output_dir)
        # Trainer leaves its arguments as a pickle; what is published shall be readable and safe to load.
        (output / "training_args.bin").unlink(missing_ok=True)
        write_text(output / "training_args.json", args.to_json_string())
        print(table(metrics, {"model": output, "logs": output / "runs", "overlays": output / "overlays"}))
    if trainer.meter.skipped:
        print(f"skipped {len(trainer.meter.skipped)} bad samples (process {args.process_index}):")
        print("\n".join(f"  {message}" for message in trainer.meter.skipped[:20]))
    return metrics


def _checkpoint_to_resume(args: PMViTTrainingArguments) -> str | None:
    output = Path(args.output_dir)
    if args.resume_from_checkpoint not in (None, LAST):
        return args.resume_from_checkpoint
    if args.resume_from_checkpoint == LAST:
        found = last_complete(output)
        return None if found is None else str(found)
    if checkpoints(output):
        raise ValueError(
            f"{output} holds checkpoints of an earlier run: go on from them with --resume_from_checkpoint, remove "
            "them, or name another --output_dir."
        )
    return None


def open_train_sources(args: DataArguments) -> list[Rows]:
    """The training set, and the second source of images with masks if there is one; their columns checked."""
    settings = {
        "streaming": args.streaming,
        "label_column": args.label_column,
        "skip_bad_shards": args.on_bad_sample == "skip",
    }
    sources = [
        open_rows(args.data, args.train_split, args.max_train_samples, mask_fraction=args.mask_fraction, **settings)
    ]
    if args.data != "synthetic" and args.mask_fraction < 1 and args.mask_column in sources[0].features:
        sources[0] = MaskSubset(sources[0], args.mask_column, args.mask_fraction)
    if args.mask_data:
        settings["streaming"] &= "://" in args.mask_data  # small, and read in any order
        sources.append(open_rows(args.mask_data, args.train_split, **settings))
    with_masks = sources[-1]
    if args.mask_column is not None and args.mask_column not in with_masks.features:
        raise ValueError(
            f"{args.mask_data or args.data} has no column {args.mask_column!r}; its columns are "
            f"{', '.join(with_masks.features)}. Name the masks' column with --mask_column."
        )
    if args.mask_rate and not args.mask_data:
        sources.append(RowsWithMasks(sources[0], args.mask_column))
        if not len(sources[1]):
            raise ValueError(f"--mask_rate {args.mask_rate}: no row of {sources[0].name} has a {args.mask_column!r}.")
    return sources


def mask_share(sources: Sequence[Rows], args: DataArguments) -> float:
    """The share of an epoch's images that have a mask."""
    column = args.mask_column
    shares = [len(rows.rows_with(column)) / max(1, len(rows)) if column in rows.features else 0.0 for rows in sources]
    return shares[0] if len(shares) == 1 else (1 - args.mask_rate) * shares[0] + args.mask_rate * shares[1]


def default_mask_loss_weight(share: float) -> float:
    """
    λ, where it is not given and a `share` of the images has a mask: 1, and more of rare masks, so that over all images
    their loss weighs a quarter of the classification loss (docs/experiments/mask-loss.md).
    """
    return max(1.0, 0.25 / share) if share else 1.0


def training_set(
    sources: Sequence[Rows], processor: PMViTImageProcessor, args: DataArguments, seed: int
) -> ExampleDataset:
    names = class_names(sources[0].features, args.label_column)
    augmentation = {
        "augment": True,
        "min_scale": args.min_crop_scale,
        "colour_jitter": args.colour_jitter,
        "rand_augment": args.rand_augment,
    }
    pairs = [(rows, _examples(rows, names, processor, args, **augmentation)) for rows in sources]
    return ExampleDataset(pairs, seed, args.on_bad_sample)


def evaluation_set(names: list[str], processor: PMViTImageProcessor, args: DataArguments, seed: int) -> ExampleDataset:
    rows = open_rows(
        args.eval_data or args.data,
        args.eval_split,
        args.max_eval_samples,
        streaming=args.streaming,
        label_column=args.label_column,
        skip_bad_shards=args.on_bad_sample == "skip",
    )
    return ExampleDataset([(rows, _examples(rows, names, processor, args))], seed, args.on_bad_sample)


def _examples(rows: Rows, names: list[str], processor: PMViTImageProcessor, args: DataArguments, **augmentation):
    own = class_names(rows.features, args.label_column)
    return ExampleTransform(
        processor,
        args.mask_encoding,
        num_labels=len(own),
        label_map=match_classes(own, names, rows.name),
        image_column=args.image_column,
        label_column=args.label_column,
        mask_column=args.mask_column,
        **augmentation,
    )


def build_model(
    args: ModelArguments,
    names: list[str],
    mask_loss_weight: float,
    form: type[PMViTForImageClassification] = PMViTForImageClassification,
) -> tuple[PMViTForImageClassification, PMViTImageProcessor]:
    """The model to train, from a checkpoint or from scratch, with classes of these names, and its processor."""
    settings = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "mask_loss_weight": mask_loss_weight,
        "mask_loss_type": args.mask_loss_type,
    }
    size = {"height": args.image_size, "width": args.image_size}
    if args.model is not None:
        model = form.from_pretrained(args.model, ignore_mismatched_sizes=True, **settings)
        patch_size = model.config.patch_size
        processor = PMViTImageProcessor.from_pretrained(
            args.model, size=size, do_center_crop=False, patch_size=patch_size
        )
    else:
        config = PMViTConfig(
            image_size=args.image_size,
            patch_size=args.patch_size,
            hidden_size=args.hidden_size,
            num_hidden_layers=args.num_hidden_layers,
            num_attention_heads=args.num_attention_heads,
            intermediate_size=4 * args.hidden_size,
            **settings,
        )
        model = form(config)
        processor = PMViTImageProcessor(size=size, patch_size=args.patch_size)
    freeze_layers(model, args.frozen_layers)
    return model, processor
