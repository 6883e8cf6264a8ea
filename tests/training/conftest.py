from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
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


def write_sure_model(folder: Path) -> None:
    """A model of the size of `SETTINGS` that is sure of what it takes to be on a patch: as a teacher it teaches."""
    torch.manual_seed(0)
    names = ("image_size", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
    model = PMViTForImageClassification(PMViTConfig(**{name: SETTINGS[name] for name in names}, **labels))
    torch.nn.init.normal_(model.classifier.weight)
    torch.nn.init.zeros_(model.classifier.bias)
    model.save_pretrained(folder)
    PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(folder)


def write_several_labels(folder: Path, train: int = 16, validation: int = 11) -> None:
    """
    The built-in set with all the classes that an image shows, multi-hot. Some labels are unknown, those of every 5th
    image altogether; every 7th image has neither labels nor objects, and an empty mask.
    """
    features = Features({"image": ImageFeature(), "label": List(Value("float32")), "mask": ImageFeature()})
    for split, size in (("train", train), ("validation", validation)):
        rng = np.random.default_rng(0)
        rows = []
        for number, row in enumerate(synthetic_dataset(split, size, image_size=32)):
            mask = np.array(row["mask"])
            mask = np.where(number % 7 == 6, 0, mask).astype(np.uint8)
            labels = np.isin(np.arange(len(CLASSES)) + 1, mask).astype(np.float32)
            labels[(labels == 0) & (rng.random(len(CLASSES)) < 0.2)] = -100
            labels = np.zeros(len(CLASSES)) if number % 7 == 6 else labels
            label = None if number % 5 == 4 else labels
            rows.append(row | {"mask": ImageFeature().encode_example(mask), "label": label})
        Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}-0.parquet")


@pytest.fixture
def flags(tmp_path):
    """Settings, as flags, of a run of three steps that takes a second."""
    return as_flags(SETTINGS | {"output_dir": tmp_path / "run"})


@pytest.fixture
def run():
    """Train by flags; what comes later wins."""
    return lambda flags, *more, callbacks=(): train(*parse_arguments([*flags, *map(str, more)]), callbacks)
