import pytest

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train

SETTINGS = {
    **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"mask_encoding": "class_id", "mask_fraction": 0.25, "mask_loss_weight": 2.5},
    **{"max_train_samples": 24, "max_eval_samples": 8},
    **{"per_device_train_batch_size": 8, "max_steps": 3, "logging_steps": 1, "eval_strategy": "no", "use_cpu": True},
    **{"save_strategy": "no", "disable_tqdm": True, "report_to": "none", "overlays": 0},
}


def as_flags(settings: dict) -> list[str]:
    return [str(x) for key, value in settings.items() for x in (f"--{key}", value)]


@pytest.fixture
def flags(tmp_path):
    """Settings, as flags, of a run of three steps that takes a second."""
    return as_flags(SETTINGS | {"output_dir": tmp_path / "run"})


@pytest.fixture
def run():
    """Train by flags; what comes later wins."""
    return lambda flags, *more, callbacks=(): train(*parse_arguments([*flags, *map(str, more)]), callbacks)
