"""Fine-tuning of a few added weights: low-rank adapters (LoRA; Hu et al., ICLR 2022) beside frozen weights."""

from pathlib import Path
from typing import Any

from transformers.dynamic_module_utils import custom_object_save

from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from ..utils.extras import require


def add_adapters(model: PMViTForImageClassification, rank: int, frozen_layers: int = 0) -> Any:
    """
    The model as a `PeftModel`: adapters beside the query and value projections of each layer after the frozen ones, and
    a classifier that is trained and saved whole. The scale of the adapters is peft's default, without dropout.

    Args:
        model: loaded from the checkpoint that its `name_or_path` says.
        rank: of the adapters.
        frozen_layers: number of layers without adapters.

    Raises:
        MissingExtraError: if peft is not installed.
        InputError: if no layer is left.
    """
    require("--lora_rank", "peft", "peft")
    from peft import LoraConfig, get_peft_model

    count = len(model.layers)
    if not 0 <= frozen_layers < count:
        raise InputError(f"--lora_rank: --frozen_layers must lie in 0 ... {count - 1}, got {frozen_layers}.")
    source = Path(str(model.name_or_path))
    if source.is_dir():
        model.name_or_path = str(source.resolve())  # so that the adapter is loaded from any folder
    config = LoraConfig(
        r=rank,
        target_modules=_projections(model.layers[0]),
        layers_to_transform=list(range(frozen_layers, count)),
        layers_pattern=model.family.layers.rpartition(".")[2],
        modules_to_save=["classifier"],
    )
    return get_peft_model(model, config)


def _projections(layer: Any) -> list[str]:
    """The query and value projections of a layer; in timm, those of queries, keys and values in one."""
    own = {name.rpartition(".")[2] for name, _ in layer.named_modules()}
    return ["q_proj", "v_proj"] if "q_proj" in own else ["qkv"]


def is_adapted(model: Any) -> bool:
    """Whether a model is a `PeftModel`; peft need not be installed."""
    return hasattr(model, "get_base_model") and hasattr(model, "peft_config")


def save_base_config(model: Any, folder: Path) -> None:
    """Beside an adapter: the configuration of the whole model, with its classes, and its code."""
    base = model.get_base_model()
    base.config.architectures = [type(base).__name__]
    custom_object_save(base, folder, config=base.config)
    base.config.save_pretrained(folder)
