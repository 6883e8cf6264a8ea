"""Training data from folders and files: columns, bad rows, repeated masks, streams."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.imagenet_s_parquet import prepare
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.training import overlays
from modeling_pm_vit.training.arguments import DataArguments
from modeling_pm_vit.training.build_data import build_eval_set, open_train_sources
from modeling_pm_vit.utils.errors import InputError

from .conftest import SETTINGS, as_flags


@pytest.fixture
def photographs(tmp_path):
    """An imagefolder: a few photographs, one mask, one broken file, one mask of another size."""
    for split in ("train", "validation"):
        folder = tmp_path / "photos" / split
        folder.mkdir(parents=True)
        with (folder / "metadata.jsonl").open("w") as metadata:
            for i in range(8):
                Image.fromarray(np.full((40, 60, 3), 20 * i, np.uint8)).save(folder / f"{i}.jpg")
                row = {"file_name": f"{i}.jpg", "label": ["cup", "pen"][i % 2], "mask_file_name": None}
                if i in (2, 5):
                    Image.new("L", (60, 40 if i == 2 else 39), 255).save(folder / f"{i}_mask.png")
                    row["mask_file_name"] = f"{i}_mask.png"
                metadata.write(json.dumps(row) + "\n")
    (tmp_path / "photos" / "train" / "3.jpg").write_bytes(b"no photograph")
    return tmp_path / "photos"


@pytest.mark.slow
def test_bad_rows_of_a_folder_stop_a_run_or_are_skipped_and_counted(run, photographs, tmp_path, capsys):
    settings = SETTINGS | {"data": photographs, "mask_encoding": "binary", "output_dir": tmp_path / "run"}
    settings |= {"max_train_samples": 8, "max_steps": 2, "mask_fraction": 1.0}
    with pytest.raises(ValueError, match=r"photos \(train\), row [35] \([35].jpg\): .*--on_bad_sample skip"):
        run(as_flags(settings))
    metrics = run(as_flags(settings), "--on_bad_sample", "skip")
    assert metrics["eval_accuracy"] in [i / 7 for i in range(8)]  # one of the eight has a bad mask
    assert "skipped 2 bad samples" in (out := capsys.readouterr().out)
    assert re.search(r"row 3 \(3\.jpg\): .*cannot identify", out)
    assert "row 5 (5.jpg): a mask must be of its image's size" in out
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert max(entry.get("skipped_samples", 0) for entry in history) == 2


@pytest.mark.slow
def test_images_with_masks_can_be_repeated(run, photographs, tmp_path, capsys):
    settings = SETTINGS | {"data": photographs, "mask_encoding": "binary", "output_dir": tmp_path / "run"}
    settings |= {"max_train_samples": 8, "max_steps": 2, "on_bad_sample": "skip"}
    del settings["mask_loss_weight"]
    settings |= {"mask_fraction": 1.0, "mask_rate": 0.5}
    run(as_flags(settings))
    assert "8 training images; 62.5% of an epoch with a mask" in capsys.readouterr().out  # 2 of 8, and 8 repeats
    trained = PMViTForImageClassification.from_pretrained(tmp_path / "run")
    assert trained.config.mask_loss_weight == 1.0
    with pytest.raises(ValueError, match=r"--mask_rate 0.5: no row of .*photos \(train\) has a 'mask'"):
        run(as_flags(settings | {"mask_fraction": 0.0, "output_dir": tmp_path / "other"}))


def test_a_stream_cannot_repeat_single_rows(run, imagenet_folders, tmp_path):
    prepare(*imagenet_folders, tmp_path / "parquet", "train")
    settings = SETTINGS | {"data": tmp_path / "parquet", "streaming": True, "mask_rate": 0.5, "output_dir": tmp_path}
    with pytest.raises(ValueError, match=r"read block by block.*--mask_data"):
        run(as_flags(settings))


@pytest.mark.slow
def test_three_steps_of_the_imagenet_config_on_a_folder_of_the_same_layout(run, imagenet_folders, tmp_path, request):
    for split in ("train", "validation"):
        prepare(*imagenet_folders, tmp_path / "parquet", split)
    prepare(*imagenet_folders, tmp_path / "masked", "train", masked_only=True)
    config = PMViTConfig(
        **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    )
    PMViTForImageClassification(config).save_pretrained(tmp_path / "start")
    PMViTImageProcessor(patch_size=8).save_pretrained(tmp_path / "start")
    changes = {
        "data": tmp_path / "parquet",
        "mask_data": tmp_path / "masked",
        "model": tmp_path / "start",
        "image_size": 32,
        "max_steps": 3,
    }
    changes |= {"output_dir": tmp_path / "run", "use_cpu": True, "dataloader_num_workers": 0, "overlays": 2}
    changes |= {"dataloader_persistent_workers": False, "per_device_train_batch_size": 8, "logging_steps": 1}
    metrics = run([str(request.config.rootpath / "configs" / "imagenet1k_deit_s_pm.yaml"), *as_flags(changes)])
    assert {"eval_accuracy", "eval_patch_iou", "eval_energy_pointing_game", "eval_mask_loss"} <= set(metrics)
    trained = PMViTForImageClassification.from_pretrained(tmp_path / "run")
    assert trained.config.label2id["goldfish"] == 1
    assert trained.config.mask_loss_weight == pytest.approx(0.25 / (0.95 * 3 / 16 + 0.05))
    # What is watched: figures and pictures for TensorBoard.
    assert list((tmp_path / "run" / "runs").rglob("events.*"))
    assert Image.open(next((tmp_path / "run" / "overlays").glob("*.png"))).width > 300
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    steps = [entry for entry in history if "loss" in entry]
    assert all({"images_per_second", "data_wait_share", "mask_loss", "classification_loss"} <= set(e) for e in steps)
    assert all(0 <= entry["data_wait_share"] <= 1 for entry in steps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"image_column": "photo"},
            r"--image_column: synthetic \(train\) has no column 'photo'; its columns are",
        ),
        ({"mask_column": "segmentation"}, r"--mask_column: synthetic \(train\) has no column 'segmentation'"),
        ({"mask_data": "synthetic", "mask_column": None}, "--mask_data and --mask_rate need a --mask_column"),
        ({"mask_rate": 0.5, "mask_column": None}, "--mask_data and --mask_rate need a --mask_column"),
        ({"mask_rate": 1.0}, r"--mask_rate must lie in \[0, 1\), got 1.0"),
        ({"mask_fraction": 1.5}, r"--mask_fraction must lie in \[0, 1\], got 1.5"),
        ({"train_split": "training"}, "no split 'training'"),
    ],
)
def test_wrong_columns_and_contradicting_options_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        open_train_sources(DataArguments(**changes))


def test_the_fraction_of_masks_of_a_folder_must_be_in_range(photographs):
    with pytest.raises(InputError, match=r"--mask_fraction must lie in \[0, 1\], got 1.5"):
        open_train_sources(DataArguments(data=str(photographs), mask_fraction=1.5))


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_missing_column_of_the_evaluation_split_is_named(make_processor, tmp_path, column):
    rows = synthetic_dataset("validation", 4)
    rows.rename_column(column, "other").to_parquet(tmp_path / "validation-0.parquet")
    args = DataArguments(eval_data=str(tmp_path))
    with pytest.raises(InputError, match=f"--{column}_column: .*no column '{column}'; its columns are .*other"):
        build_eval_set(CLASSES, make_processor(), args, 0)


@pytest.mark.slow
def test_an_evaluation_split_without_masks_is_told(run, flags, tmp_path, capsys):
    synthetic_dataset("validation", 8).remove_columns("mask").to_parquet(tmp_path / "validation-0.parquet")
    metrics = run(flags, "--eval_data", tmp_path)
    assert "eval_accuracy" in metrics
    assert "eval_patch_iou" not in metrics
    assert "(validation) has no column 'mask': maps are not evaluated during training" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_a_part_of_rows_that_are_sorted_by_class_has_all_classes(run, tmp_path, streaming, monkeypatch):
    """For training, for evaluation, and in the pictures."""
    for split in ("train", "validation"):
        rows = synthetic_dataset(split, 100, image_size=16).sort("label")
        rows.to_parquet(str(tmp_path / f"{split}-0.parquet"), batch_size=10)
    shown, used = [], []
    monkeypatch.setattr(overlays, "figure", lambda rows, **_: shown.append(rows) or Image.new("RGB", (8, 8)))
    label = ExampleTransform.labels
    monkeypatch.setattr(ExampleTransform, "labels", lambda self, row: used.append(label(self, row)) or used[-1])
    settings = {"max_train_samples": 20, "max_eval_samples": 20, "max_steps": 1, "per_device_train_batch_size": 20}
    settings |= {
        "data": tmp_path,
        "streaming": streaming,
        "eval_strategy": "steps",
        "overlays": len(CLASSES),
        "cache_images": "never",
    }
    run(as_flags(SETTINGS | settings | {"mask_fraction": 1.0, "output_dir": tmp_path / "run"}))
    assert sorted(title for row in shown[0] for title, _ in row if title) == sorted(CLASSES)
    size = len(CLASSES)
    assert len(used) == size + 20 + 2 * 20  # pictures, the step, and two evaluations
    for part in (used[:size], used[size : size + 20], used[size + 20 : size + 40]):
        assert set(part) == set(range(size))
