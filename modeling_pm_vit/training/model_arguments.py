"""The options of a training run that say which model is trained, and on which loss."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass
class ModelArguments:
    _argument_group_name: ClassVar[str] = "model"

    model: str | None = field(
        default=None,
        metadata={"help": "PM-ViT or ViT checkpoint to fine-tune: a folder or a Hub id. Default: train from scratch."},
    )
    image_size: int = field(default=224, metadata={"help": "Height and width of the model's input in pixels."})
    patch_size: int = field(default=16, metadata={"help": "From scratch only: height and width of a patch in pixels."})
    hidden_size: int = field(default=384, metadata={"help": "From scratch only: size of the token embeddings."})
    num_hidden_layers: int = field(default=12, metadata={"help": "From scratch only: number of Transformer layers."})
    num_attention_heads: int = field(default=6, metadata={"help": "From scratch only: number of attention heads."})
    mlp_ratio: float = field(
        default=4.0,
        metadata={"help": "From scratch only: size of the hidden layer of an MLP, as a multiple of --hidden_size."},
    )
    stochastic_depth: float = field(
        default=0.0,
        metadata={
            "help": "Probability that the attention, or the MLP, of the last layer is left out for an image in "
            "training; it grows linearly with the depth, from 0. A common value is 0.1.",
            "at_least": 0,
            "at_most": 0.9,
        },
    )
    mask_loss_weight: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the mask loss (lambda). Default: the larger of 1 and 0.25 / (share of the training "
            "images with a mask), so that the loss of rare masks still counts; with --weak_supervision 0.5 if less "
            "than a twentieth of the images have a mask, else 1."
        },
    )
    mask_loss_type: Literal["joint", "softmax", "sigmoid"] = field(
        default="joint",
        metadata={
            "help": "Loss of a patch: softmax over the classes and background, sigmoid for each class, or joint, their "
            "sum. Default: joint, whose maps are the most class-dependent."
        },
    )
    min_area: float | None = field(
        default=None,
        metadata={
            "help": "With --weak_supervision: the share of an image on which its class has half the probability, in "
            "(0, 1). Default: the median area of the objects of each class in the masks of the training images; "
            "without masks 0.25."
        },
    )
    frozen_layers: int = field(
        default=0,
        metadata={"help": "Partial fine-tuning: freeze the embeddings and the first N layers. 0: full fine-tuning."},
    )
    lora_rank: int = field(
        default=0,
        metadata={
            "help": "With --model: train low-rank adapters (LoRA) of this rank in the layers that are not frozen, and "
            "the classifier, and save these only. A common value is 8. 0: no adapters.",
            "at_least": 0,
        },
    )
