"""From the arguments of a run to the model and its image processor."""

from typing import Any

import torch
from torch import nn

from ..backbone_pm_vit import pair
from ..configuration_pm_vit import UNCALIBRATED, PMViTConfig
from ..conversion.checkpoints import load_model, load_processor
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from .lora import add_adapters
from .min_area import WITHOUT_MASKS
from .model_arguments import ModelArguments
from .optimization import freeze_layers
from .stochastic_depth import add_stochastic_depth


def build_model(
    args: ModelArguments,
    names: list[str],
    mask_loss_weight: float,
    several: bool = False,
    model_class: type[PMViTForImageClassification] = PMViTForImageClassification,
) -> tuple[Any, PMViTImageProcessor]:
    """
    The model to train, from a checkpoint or from scratch, with its frozen layers or with adapters (a `PeftModel`), and
    its image processor.

    Args:
        names: of the classes. A checkpoint with another number of them gets a new classifier.
        mask_loss_weight: λ.
        several: each class is present or absent on its own; else each image shows one class.

    Raises:
        NotFoundError: if there is no such checkpoint.
        InputError: if the checkpoint cannot be loaded, or sizes or the number of frozen layers do not fit.
        MissingExtraError: if adapters are asked for and peft is not installed.
    """
    if args.lora_rank and args.model is None:
        raise InputError("--lora_rank trains adapters of a model that has learned already: name it with --model.")
    settings: dict[str, Any] = {
        "mask_loss_weight": mask_loss_weight,
        "mask_loss_type": args.mask_loss_type,
        "min_area": WITHOUT_MASKS if args.min_area is None else args.min_area,
        "problem_type": "multi_label_classification" if several else "single_label_classification",
        **UNCALIBRATED,
    }
    size = {"height": args.image_size, "width": args.image_size}
    if args.model is not None:
        model = load_model(args.model, model_class, labels=names, **settings)
        processor = load_processor(args.model, size=size, do_center_crop=False, patch_size=model.config.patch_size)
    else:
        if args.hidden_size % args.num_attention_heads:
            raise InputError(
                f"--num_attention_heads must divide --hidden_size, got {args.num_attention_heads} and "
                f"{args.hidden_size}."
            )
        config = PMViTConfig(
            image_size=args.image_size,
            patch_size=args.patch_size,
            hidden_size=args.hidden_size,
            num_hidden_layers=args.num_hidden_layers,
            num_attention_heads=args.num_attention_heads,
            intermediate_size=round(args.mlp_ratio * args.hidden_size),
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
            **settings,
        )
        model = model_class(config)
        processor = PMViTImageProcessor(size=size, patch_size=args.patch_size)
    patch = model.config.patch_size
    if any(args.image_size % side for side in (patch if isinstance(patch, list | tuple) else [patch])):
        raise InputError(f"--image_size must be a multiple of the patch size {patch}, got {args.image_size}.")
    if args.model is not None and not args.lora_rank:  # an adapter goes onto the checkpoint as it is
        _resize_positions(model, args.image_size)
    add_stochastic_depth(model, args.stochastic_depth, args.frozen_layers)
    if args.lora_rank:
        return add_adapters(model, args.lora_rank, args.frozen_layers), processor
    freeze_layers(model, args.frozen_layers)
    return model, processor


def _resize_positions(model: PMViTForImageClassification, side: int) -> None:
    """
    Give a plain ViT a position embedding of its own for square images of this side, interpolated once from that of the
    checkpoint. Other backbones interpolate in every pass.
    """
    if model.config.backbone_config is not None or pair(model.config.image_size) == (side, side):
        return
    embeddings: Any = model.vit.embeddings
    rows, columns = (side // patch for patch in pair(model.config.patch_size))
    with torch.no_grad():
        tokens = embeddings.position_embeddings.new_empty(1, 1 + rows * columns, 0)
        resized = embeddings.interpolate_pos_encoding(tokens, side, side)
    embeddings.position_embeddings = nn.Parameter(resized)
    embeddings.image_size = embeddings.patch_embeddings.image_size = (side, side)
    embeddings.patch_embeddings.num_patches = rows * columns
    model.config.image_size = side


def default_mask_loss_weight(share: float, is_weak: bool = False) -> float:
    """
    The default of λ where a `share` of the images has a mask: 1, and more for rare masks, so that their loss over all
    images has a quarter of the weight of the classification loss (docs/experiments/mask-loss.md). If images without a
    mask add to the mask loss (`is_weak`), 0.5 below a twentieth (docs/explanation/few-masks.md).
    """
    if is_weak:
        return 1.0 if share >= 0.05 else 0.5
    return max(1.0, 0.25 / share) if share else 1.0
