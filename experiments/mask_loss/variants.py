"""The arms of the study: what each changes in an otherwise equal training run."""

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
class Arm:
    """
    Args:
        title: row of the tables.
        settings: of `scripts/train.py`, in place of the config's.
        form: the model, where the mask loss is none of the configuration's.
    """

    title: str
    settings: Mapping[str, object] = field(default_factory=dict)
    form: type[PMViTForImageClassification] = PMViTForImageClassification


CONTROL = "none"
ARMS: dict[str, Arm] = {
    CONTROL: Arm("no mask loss", {"mask_loss_weight": 0.0}),
    "target": Arm("sigmoid, class of the mask only", {"mask_loss_type": "sigmoid"}, TargetOnly),
    "hard": Arm("sigmoid, class of the mask and hardest other", {"mask_loss_type": "sigmoid"}, HardNegative),
    "sampled": Arm("sigmoid, class of the mask and a random other", {"mask_loss_type": "sigmoid"}, SampledNegative),
    "sigmoid": Arm("sigmoid, all classes", {"mask_loss_type": "sigmoid"}),
    "uniform": Arm("softmax, uniform on the background", {"mask_loss_type": "softmax"}, UniformBackground),
    "softmax": Arm("softmax with a background of logit 0", {"mask_loss_type": "softmax"}),
    "joint": Arm("softmax with background + sigmoid", {"mask_loss_type": "joint"}),
    "light": Arm("softmax with background + sigmoid / 4", {"mask_loss_type": "joint"}, LightSigmoid),
    "present": Arm(
        "softmax with background + sigmoid, classes of the image only", {"mask_loss_type": "softmax"}, SoftmaxAndTarget
    ),
    "dice": Arm("joint + soft Dice", {"mask_loss_type": "joint"}, DiceToo),
    "dice-weak": Arm("joint + soft Dice, λ = 1/4", {"mask_loss_type": "joint", "mask_loss_weight": 0.25}, DiceToo),
    "joint-no-mosaics": Arm("joint, no mosaics", {"mask_loss_type": "joint", "mosaics": 0.0}),
    "joint-cutmix": Arm("joint, CutMix, no mosaics", {"mask_loss_type": "joint", "mosaics": 0.0, "cutmix": 1.0}),
    "softmax-no-mosaics": Arm("softmax, no mosaics", {"mask_loss_type": "softmax", "mosaics": 0.0}),
    "joint-weak": Arm("joint, λ = 1/4", {"mask_loss_type": "joint", "mask_loss_weight": 0.25}),
    "joint-strong": Arm("joint, λ = 4", {"mask_loss_type": "joint", "mask_loss_weight": 4.0}),
    "joint-detached": Arm("joint, no gradient into the ViT", {"mask_loss_type": "joint"}, DetachedBackbone),
    "joint-earlier": Arm("joint, patches before the last layer", {"mask_loss_type": "joint"}, EarlierPatches),
    "joint-pooled": Arm("joint, image logits from [CLS] and patches", {"mask_loss_type": "joint"}, PooledLogits),
    "joint-10": Arm("joint, masks on 10 %", {"mask_loss_type": "joint", "mask_fraction": 0.1, "mask_rate": 0.25}),
    "joint-1": Arm("joint, masks on 1 %", {"mask_loss_type": "joint", "mask_fraction": 0.01, "mask_rate": 0.25}),
}
