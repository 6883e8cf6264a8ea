"""Adapters of `peft`: a folder with a few weights that belong to those of a base model."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import find_adapter_config_file

from ..configuration_pm_vit import UNCALIBRATED
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError, NotFoundError
from ..utils.extras import require
from ..utils.hub import asking_once, require_path

# Of the configuration beside an adapter: what differs from that of its base model.
_OWN_SETTINGS = (
    *("id2label", "label2id", "problem_type", "mask_loss_weight", "mask_loss_type"),
    *UNCALIBRATED,
)


def adapter_settings(name: str) -> dict[str, Any] | None:
    """
    The contents of `adapter_config.json` of a folder or Hub id; `None` if it is no adapter.

    Raises:
        NotFoundError: if the name can only be a path, and there is none.
    """
    if require_path(name, "model folder") and not (Path(name) / "adapter_config.json").is_file():
        return None
    try:
        with asking_once(name):
            file = find_adapter_config_file(name)
    except (OSError, ValueError):  # no such folder or repository, which is told where its configuration is read
        return None
    return None if file is None else dict(json.loads(Path(file).read_text(encoding="utf-8")))


@contextmanager
def merged_folder(
    name: str, settings: dict[str, Any], load_base: Callable[..., PMViTForImageClassification]
) -> Iterator[str]:
    """
    A temporary folder of the whole model: the adapter `name` merged into its base model, in float32.

    Args:
        settings: of the adapter, from [`adapter_settings`].
        load_base: loads the base model by its name.

    Raises:
        MissingExtraError: if peft is not installed.
        NotFoundError: if there is no such base model.
        InputError: if the adapter does not fit it.
    """
    require(f"the adapter {name}", "peft", "peft")
    from peft import PeftModel

    base, own = str(settings.get("base_model_name_or_path")), {}
    if (Path(name) / "config.json").is_file():
        config = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
        own = {key: config[key] for key in _OWN_SETTINGS if key in config}
        own["id2label"] = {int(index): label for index, label in own.get("id2label", {}).items()}
    has_classifier = "classifier" in (settings.get("modules_to_save") or ())
    try:
        model = load_base(base, uses_classifier=not has_classifier, dtype=torch.float32, **own)
        merged = PeftModel.from_pretrained(model, name).merge_and_unload()
    except NotFoundError as error:
        raise NotFoundError(f"the base model of the adapter {name}: {error}") from error
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the adapter {name} does not fit its base model {base}: {error}") from error
    with tempfile.TemporaryDirectory(prefix="pm-vit-merged-") as folder:
        merged.save_pretrained(folder)
        yield folder
