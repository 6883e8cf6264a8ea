"""A training run from its arguments to a folder that the Auto classes load."""

from pathlib import Path

from transformers import set_seed
from transformers.trainer_utils import get_last_checkpoint

from ..configuration_pm_vit import PMViTConfig
from ..data.sources import load_split
from ..data.transforms import Examples, class_names
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from .arguments import DataArguments, ModelArguments, PMViTTrainingArguments
from .trainer import PMViTTrainer, freeze_layers


def train(model_args: ModelArguments, data_args: DataArguments, args: PMViTTrainingArguments) -> dict[str, float]:
    """
    Train, evaluate and save to `args.output_dir`: weights, processor and code at the top, checkpoints below.

    A run that was interrupted goes on from its last checkpoint with `args.resume_from_checkpoint` set to "last" (or to
    a checkpoint's path).

    Returns:
        The figures of the final evaluation (see [`explanation_metrics`]).
    """
    set_seed(args.seed)
    train_set, eval_set = (
        load_split(data_args.data, split, size, data_args.mask_fraction if masks else 1.0, 0, data_args.label_column)
        for split, size, masks in (
            (data_args.train_split, data_args.train_size, True),
            (data_args.eval_split, data_args.eval_size, False),
        )
    )
    if data_args.mask_column is not None and data_args.mask_column not in train_set.features:
        raise ValueError(
            f"{data_args.data} has no column {data_args.mask_column!r}; its columns are "
            f"{', '.join(train_set.features)}. Name the masks' column with --mask_column."
        )
    names = class_names(train_set.features, data_args.label_column)
    mask_share = 0.0
    if data_args.mask_column is not None:
        masks = train_set.data.column(data_args.mask_column)
        mask_share = 1 - masks.null_count / max(1, len(masks))
    weight = model_args.mask_loss_weight
    if weight is None:
        weight = 1 / mask_share if mask_share else 1.0
    model, processor = build_model(model_args, names, weight)

    columns = {
        "image_column": data_args.image_column,
        "label_column": data_args.label_column,
        "mask_column": data_args.mask_column,
    }
    augmentation = {"min_scale": data_args.min_crop_scale, "colour_jitter": data_args.colour_jitter}
    train_set.set_transform(Examples(processor, data_args.mask_encoding, augment=True, **augmentation, **columns))
    eval_set.set_transform(Examples(processor, data_args.mask_encoding, **columns))

    trainer = PMViTTrainer(
        model=model,
        args=args,
        train_dataset=train_set,
        eval_dataset=eval_set,
        processing_class=processor,
        mosaics=data_args.mosaics,
    )
    resume = args.resume_from_checkpoint
    if resume == "last":
        resume = get_last_checkpoint(args.output_dir)
    print(f"{len(train_set)} training images, {mask_share:.1%} of them with a mask; {len(eval_set)} to evaluate on")
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    # Trainer leaves its arguments as a pickle; what is published shall be readable and safe to load.
    (Path(args.output_dir) / "training_args.bin").unlink(missing_ok=True)
    (Path(args.output_dir) / "training_args.json").write_text(args.to_json_string())
    trainer.save_state()
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", metrics)
    return metrics


def build_model(
    args: ModelArguments, names: list[str], mask_loss_weight: float
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
        model = PMViTForImageClassification.from_pretrained(args.model, ignore_mismatched_sizes=True, **settings)
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
        model = PMViTForImageClassification(config)
        processor = PMViTImageProcessor(size=size, patch_size=args.patch_size)
    freeze_layers(model, args.frozen_layers)
    return model, processor
