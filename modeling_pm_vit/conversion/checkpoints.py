"""Checkpoints opened by name, with one line that says what is wrong where one cannot be opened."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedConfig

from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError, NotFoundError

_KINDS = ("pm_vit", "vit")  # `model_type` of checkpoints that PM-ViT loads as they are
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def load_model(
    name: str | Path,
    model_class: type[PMViTForImageClassification] = PMViTForImageClassification,
    **settings: Any,
) -> PMViTForImageClassification:
    """
    The model of a folder or Hub id: of a PM-ViT, or of a ViT with transformers' names.

    Args:
        name: a folder or Hub id.
        model_class: that loads it.
        settings: as of `from_pretrained`.

    Raises:
        NotFoundError: if there is no such folder, and no such model on the Hub or the Hub cannot be reached.
        InputError: if the folder has no configuration or no weights, or the model is of another kind.
    """
    name = str(name)
    kind = _config(name).get("model_type")
    if kind not in _KINDS:
        raise InputError(
            f"{name} is a model of the type {kind!r}, expected a PM-ViT or a ViT: convert it with "
            f"`pm-vit convert {name} --output_dir FOLDER`, if it can be."
        )
    if Path(name).is_dir() and not any(found for pattern in _WEIGHTS for found in Path(name).glob(pattern)):
        raise InputError(f"the folder {name} has a config.json, but no weights (*.safetensors).")
    try:
        return model_class.from_pretrained(name, **settings)
    except SafetensorError as error:
        raise InputError(f"the weights of {name} cannot be read: {error}") from error
    except OSError as error:
        raise not_found(name, error) from error


def load_processor(name: str | Path, **settings: Any) -> PMViTImageProcessor:
    """
    The image processor of a folder or Hub id.

    Raises:
        NotFoundError: if there is no such folder, and no such model on the Hub or the Hub cannot be reached.
        InputError: if the folder has no processor.
    """
    name = str(name)
    if Path(name).is_dir() and not (Path(name) / "preprocessor_config.json").is_file():
        raise InputError(f"the folder {name} has no preprocessor_config.json, which says how images are prepared.")
    try:
        return PMViTImageProcessor.from_pretrained(name, **settings)
    except OSError as error:
        raise not_found(name, error) from error


def _config(name: str) -> dict[str, Any]:
    folder = Path(name)
    if folder.is_file():
        raise InputError(f"{name} is a file: give the folder of the model.")
    if folder.is_dir() and not (folder / "config.json").is_file():
        checkpoints = sorted(path.name for path in folder.glob("checkpoint-*"))
        hint = f"; it has checkpoints of a training, such as {checkpoints[-1]}" if checkpoints else ""
        raise InputError(f"the folder {name} has no config.json: it is not the folder of a model{hint}.")
    if not folder.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise NotFoundError(f"there is no model folder {name}.")
    try:
        return dict(PreTrainedConfig.get_config_dict(name)[0])
    except OSError as error:
        if folder.is_dir():
            raise InputError(f"{name}/config.json cannot be read: {error}") from error
        raise not_found(name, error) from error


def not_found(name: str, error: OSError) -> NotFoundError:
    """The error to raise where transformers cannot load a folder or Hub id."""
    reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
    return NotFoundError(f"there is no model folder {name}, and no model of this name from the Hub: {reason}.")
