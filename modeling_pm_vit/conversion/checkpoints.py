"""Checkpoints opened by name, with one line that says what is wrong where one cannot be opened."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from ..checkpoint_pm_vit import check_weights
from ..configuration_pm_vit import PMViTConfig
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError, NotFoundError
from ..utils.hub import asking_once, require_path
from .adapters import adapter_settings, merged_folder
from .source import numbered_labels

logger = logging.getLogger(__name__)

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def load_model(
    name: str | Path,
    model_class: type[PMViTForImageClassification] = PMViTForImageClassification,
    labels: Sequence[str] | None = None,
    uses_classifier: bool = True,
    **settings: Any,
) -> PMViTForImageClassification:
    """
    The model of a folder or Hub id: of a PM-ViT, of a ViT with transformers' names, or of an adapter of one (LoRA),
    which is merged into its base model. All weights are those of the checkpoint.

    Args:
        name: a folder or Hub id.
        model_class: that loads it.
        labels: the classes to train. The classifier of a checkpoint without a classifier, or with another number of
            classes, is then newly initialised, with a warning. The same classes in another order are reordered.
        uses_classifier: if False, the checkpoint may be without one, and that of the model is random.
        settings: as of `from_pretrained`.

    Raises:
        NotFoundError: if there is no such folder, and no such model on the Hub or the Hub cannot be reached.
        InputError: if the folder has no configuration, the model is of another kind, or its weights are missing,
            unreadable or not those of its configuration.
    """
    name = str(name)
    adapter = adapter_settings(name)
    if adapter is not None:
        with merged_folder(name, adapter, partial(load_model, model_class=model_class)) as folder:
            merged = load_model(folder, model_class, labels, uses_classifier, **settings)
        merged.name_or_path = merged.config.name_or_path = name
        return merged
    own = checkpoint_names(_config(name))
    if Path(name).is_dir() and not any(found for pattern in _WEIGHTS for found in Path(name).glob(pattern)):
        raise InputError(f"the folder {name} has a config.json, but no weights (*.safetensors).")
    if labels is not None:
        settings |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    try:
        with loading_reports(), asking_once(name):
            model, info = model_class.from_pretrained(
                name, output_loading_info=True, ignore_mismatched_sizes=True, **settings
            )
        check_weights(name, info, new_classifier=labels is not None or not uses_classifier)
    except ValueError as error:
        raise InputError(str(error)) from error
    except (SafetensorError, UnpicklingError, EOFError, KeyError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and not Path(name).is_dir():
            raise not_found(name, error) from error
        raise InputError(f"the weights of {name} cannot be read: {error!r}") from error
    if labels is not None:
        unfilled = info["missing_keys"] | {key for key, *_ in info["mismatched_keys"]}
        _match_classifier(model, name, own, list(labels), is_new="classifier.weight" in unfilled)
    found: PMViTForImageClassification = model
    return found


def checkpoint_classes(name: str | Path) -> list[str]:
    """
    The classes of the model of a folder or Hub id, in their order; only its configuration is read.

    Raises:
        NotFoundError, InputError: as [`load_model`].
    """
    return checkpoint_names(_config(str(name)))


def load_processor(name: str | Path, **settings: Any) -> PMViTImageProcessor:
    """
    The image processor of a folder or Hub id; that of its kind of model, with a warning, if it has none.

    Raises:
        NotFoundError: if there is no such folder, and no such model on the Hub or the Hub cannot be reached.
        InputError: if the folder has no model, or its processor cannot be read.
    """
    name = str(name)
    _refuse_file(name)
    adapter = adapter_settings(name)
    if adapter is not None and not (Path(name) / "preprocessor_config.json").is_file():
        name = str(adapter.get("base_model_name_or_path"))
    try:
        with asking_once(name):
            return PMViTImageProcessor.from_pretrained(name, **settings)
    except OSError as error:
        if Path(name).is_dir():
            raise InputError(f"the image processor of {name} cannot be read: {error}") from error
        raise not_found(name, error) from error


def checkpoint_names(config: dict[str, Any]) -> list[str]:
    """The classes of a configuration, in their order."""
    names = config.get("id2label") or numbered_labels(config.get("num_labels", 2))
    return list(names) if isinstance(names, list) else [names[key] for key in sorted(names, key=int)]


def _match_classifier(
    model: PMViTForImageClassification, name: str, own: list[str], labels: list[str], is_new: bool
) -> None:
    """Bring the classes of a loaded classifier into the order of `labels`, or say what it starts from."""
    if is_new:
        logger.warning("%s has no classifier of %d classes: a new one is trained.", name, len(labels))
    elif own != labels and sorted(own) == sorted(labels):
        order = [own.index(label) for label in labels]
        with torch.no_grad():
            for parameter in model.classifier.parameters():
                parameter.copy_(parameter[order].clone())
    elif own not in (labels, numbered_labels(len(labels))):
        logger.warning(
            "Classes of %s have other names (%s) than those of the data (%s): its classifier is kept as it is.",
            name,
            ", ".join(own[:2]),
            ", ".join(labels[:2]),
        )


@contextmanager
def loading_reports() -> Iterator[list[str]]:
    """Collects, instead of printing, the tables in which transformers lists weights that do not fit a model."""
    log = logging.getLogger("transformers.modeling_utils")
    level, shown = log.level, log.getEffectiveLevel()
    reports: list[str] = []

    def is_other(record: logging.LogRecord) -> bool:
        if is_report := "LOAD REPORT" in record.getMessage():
            reports.append(record.getMessage())
        return not is_report and record.levelno >= shown

    log.addFilter(is_other)
    if shown > logging.WARNING:  # the table would not be made
        log.setLevel(logging.WARNING)
    try:
        yield reports
    finally:
        log.removeFilter(is_other)
        log.setLevel(level)


def _refuse_file(name: str) -> None:
    if Path(name).is_file():
        raise InputError(f"{name} is a file: give the folder of the model.")


def _config(name: str) -> dict[str, Any]:
    _refuse_file(name)
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        checkpoints = sorted(path.name for path in folder.glob("checkpoint-*"))
        hint = f"; it has checkpoints of a training, such as {checkpoints[-1]}" if checkpoints else ""
        raise InputError(f"the folder {name} has no config.json: it is not the folder of a model{hint}.")
    require_path(name, "model folder")
    try:
        with asking_once(name):
            return PMViTConfig.get_config_dict(name)[0]
    except ValueError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        if folder.is_dir():
            raise InputError(f"{name}/config.json cannot be read: {error}") from error
        raise not_found(name, error) from error


def not_found(name: str, error: OSError) -> NotFoundError:
    """The error to raise where transformers cannot load a folder or Hub id."""
    reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
    return NotFoundError(f"there is no model folder {name}, and no model of this name from the Hub: {reason}.")
