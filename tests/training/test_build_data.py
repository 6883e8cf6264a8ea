"""Training data from folders and files: columns, bad rows, repeated masks, streams."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.imagenet_s_parquet import prepare
from modeling_pm_vit.data.samplers import Sample
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.training import overlays
from modeling_pm_vit.training.build_data import (
    build_eval_set,
    build_train_set,
    data_overview,
    mask_share,
    open_train_sources,
    training_classes,
)
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.utils.errors import InputError, NotFoundError

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
    assert "8 training images; 62.5 % of an epoch with a mask" in capsys.readouterr().out  # 2 of 8, and 8 repeats
    trained = PMViTForImageClassification.from_pretrained(tmp_path / "run")
    assert trained.config.mask_loss_weight == 1.0
    with pytest.raises(ValueError, match=r"--mask_rate 0.5: no row of .*photos \(train\) has a 'mask'"):
        run(as_flags(settings | {"mask_fraction": 0.0, "output_dir": tmp_path / "other"}))


@pytest.mark.parametrize(("masked", "weak", "rate"), [(1, True, 1 / 32), (1, False, None), (3, True, None)])
def test_few_masks_are_repeated_where_images_without_one_teach_too(photographs, masked, weak, rate):
    lines = (photographs / "train" / "metadata.jsonl").read_text().splitlines()
    rows = [json.loads(lines[0]) | {"mask_file_name": "2_mask.png" if k < masked else None} for k in range(64)]
    (photographs / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    args = DataArguments(data=str(photographs), weak_supervision="labels" if weak else "none")
    assert len(open_train_sources(args)) == 1 + (rate is not None)
    assert args.mask_rate == rate


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


# --- classes and masks of a run ---------------------------------------------------------------------------------------


@pytest.fixture
def integers(tmp_path):
    """Integer labels 0 and 1 in a file of each split; the first image of each class has a trimap as mask."""
    trimap = np.full((40, 60), 2, np.uint8)
    trimap[:24, :36], trimap[:20, :30] = 3, 1  # of patches of 10 x 15
    for split in ("train", "validation"):
        images, masks = [], []
        for _ in range(4):
            images.append({"bytes": encoded(np.zeros((40, 60, 3), np.uint8))})
            masks.append(encoded(trimap) if len(masks) < 2 else None)
        table = pa.table({"image": images, "label": [0, 1, 0, 1], "mask": masks})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    return tmp_path


def encoded(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


def test_a_trimap_is_refused_before_the_first_step_and_read_as_the_options_say(integers, make_processor):
    args = DataArguments(data=str(integers))
    sources = open_train_sources(args)
    told = r"\(train\), row 0: a binary mask has one value besides 0, found 1 \(25 %\), 2 .*--mask_foreground 1"
    with pytest.raises(InputError, match=told):
        data_overview(sources, ["0", "1"], args)
    args = DataArguments(data=str(integers), mask_foreground=["1"], mask_ignore=["3"])
    assert "masks (binary): values 1, 2, 3 (2 of 2 looked at)" in data_overview(sources, ["0", "1"], args)
    batch = build_eval_set(["0", "1"], make_processor(), args, 0)
    mask = batch[Sample(0, 0, 0)]["mask_labels"][0]
    assert (mask[:2, :2] > 0.95).all()
    assert (mask[2, :3] == -100).all()  # unknown
    assert (mask[3] == 0).all()


def test_masks_of_the_evaluation_split_may_have_another_encoding(make_processor, tmp_path):
    """As pseudo masks have; told before the first step."""
    (tmp_path / "shapes").mkdir()
    synthetic_dataset("validation", 4, image_size=48).to_parquet(tmp_path / "shapes" / "validation-0.parquet")
    settings = {"data": str(tmp_path / "shapes"), "mask_foreground": ["1"]}
    with pytest.raises(InputError, match=r"\(validation\), row \d: a binary mask has one value besides 0"):
        build_eval_set(CLASSES, make_processor(), DataArguments(data=settings["data"]), 0)
    found = build_eval_set(CLASSES, make_processor(), DataArguments(**settings, eval_mask_encoding="class_id"), 0)
    assert found[Sample(0, 0, 0)]["mask_labels"].max() > 0
    without = build_eval_set(CLASSES, make_processor(), DataArguments(**settings, eval_mask_encoding="none"), 0)
    assert len(without[Sample(0, 0, 0)]["explain_labels"]) == 0


def test_integer_classes_get_the_names_of_the_model_to_start_from(integers, make_model, make_processor, tmp_path):
    make_model(id2label={0: "jay", 1: "owl"}).save_pretrained(tmp_path / "birds")
    make_model(id2label={0: "jay", 1: "owl", 2: "tit"}).save_pretrained(tmp_path / "three")
    make_model(num_labels=2).save_pretrained(tmp_path / "unnamed")
    args = DataArguments(data=str(integers), mask_column="none")
    (rows,) = open_train_sources(args)
    assert training_classes(rows, args, str(tmp_path / "birds")) == ["jay", "owl"]
    for model in (None, str(tmp_path / "three"), str(tmp_path / "unnamed")):
        assert training_classes(rows, args, model) == ["0", "1"]
    for examples in (
        build_train_set([rows], make_processor(), args, 0, ["jay", "owl"]),
        build_eval_set(["jay", "owl"], make_processor(), args, 0),
    ):
        assert [examples[Sample(0, 0, i)]["labels"] for i in range(4)] == [0, 1, 0, 1]
    assert "| owl   | 2      |" in data_overview([rows], ["jay", "owl"], args)[0]
    named = DataArguments(data=str(integers), class_names=["pen", "cup"])
    assert training_classes(open_train_sources(named)[0], named, str(tmp_path / "birds")) == ["pen", "cup"]


def test_names_of_classes_may_stand_in_a_file(integers, tmp_path):
    (tmp_path / "names.txt").write_text("pen\n\ncup \n", encoding="utf-8")
    args = DataArguments(data=str(integers), class_names=[str(tmp_path / "names.txt")])
    assert open_train_sources(args)[0].features["label"].names == ["pen", "cup"]
    with pytest.raises(NotFoundError, match=r"there is no file other.txt of class names \(--class_names\)"):
        open_train_sources(DataArguments(class_names=["other.txt"]))
    with pytest.raises(InputError, match="--class_names has 'pen' more than once"):
        open_train_sources(DataArguments(class_names=["pen", "pen"]))


def test_one_file_for_training_and_evaluation_is_refused_and_may_be_divided(integers, make_processor):
    file = str(integers / "train.parquet")
    with pytest.raises(InputError, match=r"train.parquet has the rows of all splits: .*--train_split 'train\[!0/5\]'"):
        build_eval_set(["0", "1"], make_processor(), DataArguments(data=file), 0)
    args = DataArguments(data=file, train_split="train[!0/2]", eval_split="train[0/2]", mask_column="none")
    assert len(open_train_sources(args)[0]) == len(build_eval_set(["0", "1"], make_processor(), args, 0)) == 2
    args = DataArguments(data=file, eval_data=str(integers / "validation.parquet"), mask_column="none")
    assert len(build_eval_set(["0", "1"], make_processor(), args, 0)) == 4


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_images_of_a_class_without_an_object_teach_that_nothing_is_there(integers, make_processor, fraction):
    settings = {"mask_foreground": ["1"], "class_names": ["benign", "normal"], "mask_fraction": fraction}
    args = DataArguments(data=str(integers), empty_classes=["normal"], **settings)
    sources = open_train_sources(args)
    examples = build_train_set(sources, make_processor(), args, 0)
    known = [examples[Sample(0, 0, i)]["explain_labels"].tolist() for i in range(4)]
    assert known == ([[0], [1], [], [1]] if fraction == 1 else [[], [1], [], [1]])
    assert not examples[Sample(0, 0, 3)]["mask_labels"].any()
    assert mask_share(sources, args) == len([k for k in known if k]) / 4
    with pytest.raises(InputError, match=r"--empty_classes: .* has no class 'healthy'; its classes are benign, normal"):
        open_train_sources(replace(args, empty_classes=["healthy"]))
