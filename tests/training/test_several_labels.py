"""Whole trainings on images with several labels, or with a single class that is present or absent."""

import json

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, List
from PIL import Image

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.samplers import Sample
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.training.build_data import build_train_set, open_train_sources
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.training.run_arguments import PMViTTrainingArguments
from modeling_pm_vit.training.trainer import PMViTTrainer
from modeling_pm_vit.utils.errors import InputError

from .conftest import SETTINGS, as_flags, write_several_labels


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    write_several_labels(folder)
    return folder


@pytest.mark.parametrize(("smoothing", "unlabelled"), [(0.0, 3), (0.2, 3), (0.0, 16)])
@pytest.mark.parametrize("parts", [1, 4])
def test_the_loss_of_a_step_is_that_of_the_model_on_all_its_images(
    several, make_model, tmp_path, parts, smoothing, unlabelled
):
    args = DataArguments(data=str(several), mask_encoding="class_id")
    processor = PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8)
    data = build_train_set(open_train_sources(args), processor, args, 0)
    settings = {"report_to": "none", "use_cpu": True, "overlays": 0, "label_smoothing_factor": smoothing}
    training = PMViTTrainingArguments(output_dir=str(tmp_path), eval_strategy="no", **settings)
    model = make_model(num_labels=len(CLASSES), problem_type="multi_label_classification", mask_loss_weight=0.5).train()
    trainer = PMViTTrainer(model=model, args=training, train_dataset=data)

    examples = [data[Sample(epoch=0, position=i, index=i)] for i in range(len(data))]
    for example in examples[: 16 if unlabelled == 16 else 0]:
        example["labels"][:] = -100
    whole = Collator()(examples)
    assert whole.pop("unlabelled_images") == unlabelled  # of the 16 images, and all have masks
    labels = whole["labels"]
    smoothed = torch.where(labels < 0, labels, labels * (1 - smoothing) + smoothing / 2)
    expected = model(**whole | {"labels": smoothed})
    size = len(examples) // parts
    batches = [Collator()(examples[start : start + size]) for start in range(0, len(examples), size)]
    count = trainer._get_num_items_in_batch(batches, torch.device("cpu"))
    assert count.tolist() == [max(1, (labels >= 0).sum()), 16]
    losses = [trainer.compute_loss(model, batch, num_items_in_batch=count) for batch in batches]
    assert sum(losses).item() == pytest.approx(expected.loss.item(), rel=1e-5)
    sum(losses).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.slow
def test_images_without_any_label_train_the_maps(run, several, tmp_path):
    feature = List(ClassLabel(names=CLASSES))
    for split in ("train", "validation"):
        data = Dataset.from_parquet(str(several / f"{split}-0.parquet"), cache_dir=str(tmp_path / "cache"))
        data = data.remove_columns("label").add_column("label", [None] * len(data), feature=feature)
        data.to_parquet(tmp_path / "masks" / f"{split}-0.parquet")
    settings = SETTINGS | {"data": tmp_path / "masks", "mask_fraction": 1.0, "output_dir": tmp_path / "run"}
    metrics = run(as_flags(settings))
    assert metrics["eval_classification_loss"] == 0
    assert metrics["eval_mask_loss"] > 0
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert all(entry["mask_loss"] > 0 == entry["classification_loss"] for entry in history if "loss" in entry)


@pytest.mark.slow
def test_several_labels_are_trained_evaluated_continued_and_explained(run, several, tmp_path, capsys):
    settings = SETTINGS | {"data": several, "mask_fraction": 1.0, "overlays": 4, "output_dir": tmp_path / "run"}
    settings |= {"mosaics": 0.5, "cutmix": 1.0, "mixup": 0.5, "ema_decay": 0.9, "max_train_samples": 12}
    metrics = run(as_flags(settings))
    out = capsys.readouterr().out
    assert "images of" in out
    assert "show none of the classes" in out
    assert {"eval_mean_average_precision", "eval_auroc", "eval_auroc_0", "eval_patch_iou", "eval_loss"} <= set(metrics)
    assert "eval_accuracy" not in metrics
    assert all(0 <= metrics[f"eval_{name}"] <= 1 for name in ("mean_average_precision", "auroc", "patch_iou"))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert Image.open(next((tmp_path / "run" / "overlays").glob("*.png"))).width > 300

    again = {"model": tmp_path / "run", "output_dir": tmp_path / "again", "frozen_layers": 1, "feature_epochs": 1}
    run(as_flags(settings | again))
    model = PMViTForImageClassification.from_pretrained(tmp_path / "again")
    assert model.config.problem_type == "multi_label_classification"
    scores = model.explain(np.zeros((8, 8, 3), np.uint8), top_k=len(CLASSES))["scores"]
    assert (scores.diff() <= 0).all()
    single = SETTINGS | {"model": tmp_path / "run", "output_dir": tmp_path / "single", "max_steps": 1}
    run(as_flags(single))
    model = PMViTForImageClassification.from_pretrained(tmp_path / "single")
    assert model.config.problem_type == "single_label_classification"


def write_photographs(folder, labels, masks: bool = True) -> None:
    """An imagefolder of squares on grey."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        with (folder / split / "metadata.jsonl").open("w") as metadata:
            for number, label in enumerate(labels):
                image, mask = np.full((32, 32, 3), 90, np.uint8), np.zeros((32, 32), np.uint8)
                if label:
                    image[8:24, 8:24], mask[8:24, 8:24] = 220, 255
                row = {"file_name": f"{number}.png", "label": label}
                Image.fromarray(image).save(folder / split / f"{number}.png")
                if masks:
                    Image.fromarray(mask).save(folder / split / f"{number}_mask.png")
                    row["mask_file_name"] = f"{number}_mask.png"
                metadata.write(json.dumps(row) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("labels", [["spot", None] * 8, [True, False] * 8])
def test_a_single_class_learns_which_images_show_it_and_where(run, tmp_path, labels):
    write_photographs(tmp_path / "photos", labels)
    settings = SETTINGS | {"data": tmp_path / "photos", "mask_encoding": "binary", "mask_fraction": 1.0}
    settings |= {"max_steps": 30, "learning_rate": 0.01, "warmup_steps": 2, "output_dir": tmp_path / "run"}
    metrics = run(as_flags(settings | {"max_train_samples": 16, "max_eval_samples": 16, "colour_jitter": 0}))
    assert metrics["eval_auroc"] == metrics["eval_mean_average_precision"] == 1
    assert metrics["eval_empty_masks"] == 8
    model = PMViTForImageClassification.from_pretrained(tmp_path / "run")
    assert list(model.config.id2label.values()) == ["label" if labels[0] is True else "spot"]
    spot, plain = (model.explain(tmp_path / "photos" / "train" / f"{number}.png") for number in (0, 1))
    assert spot["scores"][0] > 0.8
    assert plain["scores"][0] < 0.2
    assert spot["heatmaps"].max() > 0.5 > plain["heatmaps"].max()


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (["spot"] * 4, ["spot"] * 4, r"has one class, 'spot', and no image without it.*the label null"),
        ([["spot"], ["dot"]] * 2, ["spot", "dot"] * 2, r"has one class per image .*training set several labels"),
        (["spot", "dot"] * 2, [["spot"], ["dot"]] * 2, r"has several labels per image.*training set one class per"),
        ([["spot"], []] * 2, [["dot"], []] * 2, "classes that the training set does not have: dot"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_the_training(run, tmp_path, train, validation, message):
    for split, labels in (("train", train), ("validation", validation)):
        (tmp_path / split).mkdir()
        data = Dataset.from_dict({"image": ["x.png"] * 4, "label": labels})
        data.to_parquet(tmp_path / split / f"{split}-0.parquet")
    settings = SETTINGS | {"data": tmp_path / "train", "eval_data": tmp_path / "validation", "mask_column": "none"}
    with pytest.raises(InputError, match=message):
        run(as_flags(settings | {"output_dir": tmp_path / "run"}))
