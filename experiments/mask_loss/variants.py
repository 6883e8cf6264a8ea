"""The variants of the experiment: what each changes in an otherwise equal training run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification

from .models import (
    DetachedBackbone,
    DiceToo,
    EarlierPatches,
    HardNegative,
    LightSigmoid,
    PooledLogits,
    SampledNegative,
    SoftmaxAndTarget,
    TargetOnly,
    UniformBackground,
)


@dataclass(frozen=True)
class Variant:
    """
    Args:
        title: row of the tables.
        settings: options of `pm-vit train` that replace the config's.
        model_class: the model to train, where the mask loss is not one of the package's.
    """

    title: str
    settings: Mapping[str, object] = field(default_factory=dict)
    model_class: type[PMViTForImageClassification] = PMViTForImageClassification


CONTROL = "none"
VARIANTS: dict[str, Variant] = {
    CONTROL: Variant("no mask loss", {"mask_loss_weight": 0.0}),
    "target": Variant("sigmoid, class of the mask only", {"mask_loss_type": "sigmoid"}, TargetOnly),
    "hard": Variant("sigmoid, class of the mask and hardest other", {"mask_loss_type": "sigmoid"}, HardNegative),
    "sampled": Variant("sigmoid, class of the mask and a random other", {"mask_loss_type": "sigmoid"}, SampledNegative),
    "sigmoid": Variant("sigmoid, all classes", {"mask_loss_type": "sigmoid"}),
    "uniform": Variant("softmax, uniform on the background", {"mask_loss_type": "softmax"}, UniformBackground),
    "softmax": Variant("softmax with a background of logit 0", {"mask_loss_type": "softmax"}),
    "joint": Variant("softmax with background + sigmoid", {"mask_loss_type": "joint"}),
    "light": Variant("softmax with background + sigmoid / 4", {"mask_loss_type": "joint"}, LightSigmoid),
    "present": Variant(
        "softmax with background + sigmoid, classes of the image only", {"mask_loss_type": "softmax"}, SoftmaxAndTarget
    ),
    "dice": Variant("joint + soft Dice", {"mask_loss_type": "joint"}, DiceToo),
    "dice-weak": Variant("joint + soft Dice, λ = 1/4", {"mask_loss_type": "joint", "mask_loss_weight": 0.25}, DiceToo),
    "joint-no-mosaics": Variant("joint, no mosaics", {"mask_loss_type": "joint", "mosaics": 0.0}),
    "joint-cutmix": Variant("joint, CutMix, no mosaics", {"mask_loss_type": "joint", "mosaics": 0.0, "cutmix": 1.0}),
    "softmax-no-mosaics": Variant("softmax, no mosaics", {"mask_loss_type": "softmax", "mosaics": 0.0}),
    "joint-weak": Variant("joint, λ = 1/4", {"mask_loss_type": "joint", "mask_loss_weight": 0.25}),
    "joint-strong": Variant("joint, λ = 4", {"mask_loss_type": "joint", "mask_loss_weight": 4.0}),
    "joint-detached": Variant("joint, no gradient into the ViT", {"mask_loss_type": "joint"}, DetachedBackbone),
    "joint-earlier": Variant("joint, patches before the last layer", {"mask_loss_type": "joint"}, EarlierPatches),
    "joint-pooled": Variant("joint, image logits from [CLS] and patches", {"mask_loss_type": "joint"}, PooledLogits),
    "joint-10": Variant("joint, masks on 10 %", {"mask_loss_type": "joint", "mask_fraction": 0.1, "mask_rate": 0.25}),
    "joint-1": Variant("joint, masks on 1 %", {"mask_loss_type": "joint", "mask_fraction": 0.01, "mask_rate": 0.25}),
}
