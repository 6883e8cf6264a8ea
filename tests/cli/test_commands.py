"""Each command once, in this process, on tiny inputs."""

import json
import re
import sys

import numpy as np
import pytest
from datasets import Features, List
from PIL import Image
from transformers import Dinov2Config, Dinov2ForImageClassification, ViTConfig, ViTImageProcessor, ViTModel

from modeling_pm_vit import PRETRAINED, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.sources import load_split
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.inference import arguments


@pytest.fixture
def photographs(tmp_path):
    """Three photographs, one of them broken."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(np.full((40, 60, 3), 90 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0broken")
    return folder


@pytest.fixture
def source(tmp_path):
    """Parquet files of the built-in images."""
    for split in ("train", "test"):
        synthetic_dataset(split, 12, image_size=32).to_parquet(tmp_path / "source" / f"{split}.parquet")
    return str(tmp_path / "source")


def tells_where(folder, *inputs):
    """The texts below a folder of results that hold the full path of an input, which can have names of persons."""
    texts = [path for path in folder.rglob("*") if path.suffix in (".html", ".json", ".md", ".csv")]
    assert texts
    return [path.name for path in texts if any(str(place) in path.read_text("utf-8") for place in inputs)]


def test_explain(call, model, photographs, tmp_path):
    done = call("explain", model, "--top_k", 2, photographs, "--output_dir", "out", "--device", "cpu")
    assert done.status == 1  # one is broken
    page = tmp_path / "out" / "index.html"
    next_step = f"to see them, open the page in a browser: {page.as_uri()}"
    assert done.out.splitlines() == [f"2 images explained: {page}", next_step]
    assert "broken.jpg" in done.err.splitlines()[-1] and "Traceback" not in done.err
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 4
    done = call("explain", model, photographs / "1.png", "--format", "json", "--precision", "bf16", "--device", "cpu")
    assert (done.status, done.out) == (0, f"1 images explained: {tmp_path / 'explanations' / 'explanations.json'}\n")


def test_explain_without_a_model_uses_the_shipped_checkpoint(call, model, photographs, monkeypatch, tmp_path):
    image = photographs / "1.png"
    forms = ([image], [image, image], ["photographs/1.*"], [photographs], ["--data", photographs])
    for form in forms if not PRETRAINED.is_dir() else ():
        done = call("explain", *form, "--device", "cpu")
        assert done.status == 2 and "has no checkpoint of its own: give a folder or Hub id" in done.err
    monkeypatch.setattr(arguments, "require_pretrained", lambda: model)
    for form in forms[:4]:
        done = call("explain", *form, "--device", "cpu", "--format", "json")
        assert f" images explained: {tmp_path / 'explanations' / 'explanations.json'}" in done.out
    assert call("explain", model, "--device", "cpu").err.endswith("give either images or --data.\n")


def test_explain_says_what_it_skips(call, model, photographs, tmp_path, monkeypatch):
    (photographs / "broken.jpg").unlink()
    (photographs / "notes.txt").write_text("")
    done = call("explain", model, photographs, "--output_dir", "out", "--device", "cpu")
    assert done.status == 0
    assert done.err.splitlines()[-1] == "skipped in folders: 1 .txt"
    (photographs / "phone.heic").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for options in ([], ["--format", "json"], ["--format", "parquet", "--output_dir", "rows"]):
        done = call("explain", model, photographs, "--device", "cpu", *options)
        assert done.status == 1, options  # not all images were explained
        assert "skipped in folders: " in done.err and "1 .heic (pip install pillow-heif)" in done.err
    done = call("explain", model, photographs / "phone.heic", "--output_dir", "x", "--device", "cpu")
    assert done.status == 1 and "To read .heic files: pip install pillow-heif" in done.err.splitlines()[-1]
    for folder in ("out", "explanations", "rows"):
        assert not tells_where(tmp_path / folder, photographs, model)
    assert '"source": "photographs"' in (tmp_path / "rows" / "explanations.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "nan"], "--threshold: must be at least 0, got nan"),
        (["--opacity", "nan"], "--opacity: must be at least 0, got nan"),
        (["--batch_size", "0"], "--batch_size: must be at least 1, got 0"),
        (["--precision", "int8"], "--backend torch computes in fp32, bf16, fp16, got --precision int8."),
        (["--backend", "onnx", "--compile"], "--compile works with --backend torch only"),
        (["--backend", "onnx"], "`pm-vit export MODEL --output_dir"),
        (["--labels", "blue"], "no class 'blue'"),
        (["nowhere/*.png"], "nowhere/*.png: no such file"),
    ],
)
def test_explain_refuses(call, model, photographs, options, message):
    done = call("explain", model, photographs / "1.png", *options, "--device", "cpu")
    assert done.status == 2 and done.out == ""
    assert message in done.err.splitlines()[-1]


def test_explain_to_parquet(call, model, photographs, source, tmp_path):
    done = call("explain", model, "--data", source, "--streaming", "--max_samples", 5, "--device", "cpu")
    assert (done.status, done.out) == (0, f"5 images, 5 explained: {tmp_path / 'explanations'}\n")
    done = call("explain", model, photographs, "--format", "parquet", "--output_dir", "files", "--device", "cpu")
    assert (done.status, done.out) == (1, f"3 images, 2 explained: {tmp_path / 'files'}\n")
    assert "failed: 1; the column 'error' has the reasons" in done.err
    done = call("explain", model, "--data", source, "--image_column", "photo", "--output_dir", "x", "--device", "cpu")
    assert done.status == 2
    assert "--image_column: " in done.err and "no column 'photo'; its columns are image, label, mask." in done.err


def test_evaluate(call, model, tmp_path):
    options = ["--metrics", "pointing", "--explainers", "pm-vit", "gaussian", "--batch_size", 4, "--device", "cpu"]
    done = call("evaluate", "--model", model, "--max_samples", 6, *options)
    assert done.status == 0
    folder = tmp_path / "runs" / "evaluation" / "model"
    assert done.out.endswith(f"tables, values and page: {folder / 'index.html'}\n")
    assert (folder / "report.md").read_text() in done.out
    assert (folder / "values.csv").is_file()
    assert not tells_where(folder, model)


@pytest.mark.parametrize("column", ["image_column", "label_column", "mask_column", "box_column"])
def test_evaluate_checks_columns(call, model, source, column):
    done = call("evaluate", "--model", model, "--data", source, f"--{column}", "typo", "--device", "cpu")
    assert done.status == 2
    line = done.err.splitlines()[-1]
    assert line.startswith(f"pm-vit evaluate: --{column}: {source}") and "no column 'typo'; its columns are" in line


def test_train(call, tmp_path, request):
    options = {
        **{"max_train_samples": 16, "max_eval_samples": 8, "max_steps": 1, "per_device_train_batch_size": 8},
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "use_cpu": True},
        **{"overlays": 0, "report_to": "none", "save_strategy": "no", "eval_strategy": "no", "disable_tqdm": True},
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    config = request.config.rootpath / "configs" / "demo.yaml"
    fixed = ["--dataloader_num_workers", 0, "--dataloader_persistent_workers", "false", "--output_dir", "run"]
    done = call("train", config, *words, *fixed)
    assert done.status == 0
    assert "16 training images" in done.out and "accuracy" in done.out
    assert done.out.splitlines()[-1] == "next: pm-vit explain run photo.jpg"
    assert PMViTForImageClassification.from_pretrained(tmp_path / "run").config.hidden_size == 16
    wrong = call("train", config, *words, *fixed, "--data", "./nowhere")
    assert (wrong.status, wrong.err.splitlines()[-1]) == (2, "pm-vit train: there is no folder ./nowhere.")


@pytest.mark.parametrize("column", ["image_column", "label_column", "mask_column"])
def test_train_checks_columns(call, source, column):
    words = ["--use_cpu", "true", "--on_bad_sample", "skip", "--report_to", "none", "--eval_split", "test"]
    done = call("train", "--data", source, *words, f"--{column}", "typo", "--output_dir", "run")
    assert done.status == 2
    line = done.err.splitlines()[-1]
    assert line.startswith(f"pm-vit train: --{column}: ") and "no column 'typo'; its columns are" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--image_size", 33], "multiple of the patch size 16, got 33"), (["--hidden_size", 32], "must divide --hidden")],
)
def test_train_refuses_sizes_that_do_not_fit(call, options, message):
    done = call("train", "--use_cpu", "true", "--max_train_samples", 2, "--max_eval_samples", 2, *options)
    assert done.status == 2 and message in done.err.splitlines()[-1]


def test_convert(call, tmp_path):
    sizes = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2ForImageClassification(Dinov2Config(**sizes, num_labels=3)).save_pretrained("source")
    ViTImageProcessor().save_pretrained("source")
    (tmp_path / "names.txt").write_text("tabby cat\ndog\n\n", "utf-8")
    done = call("convert", "source", "--output_dir", "out", "--labels", "names.txt", "--image_size", 24)
    assert done.status == 0
    assert "largest difference from the source" in done.out and "classifier: new, train it before use" in done.out
    assert "pm-vit train --model out --data photos" in done.out.splitlines()[-1]
    config = PMViTForImageClassification.from_pretrained(tmp_path / "out").config
    assert config.id2label == {0: "tabby cat", 1: "dog"} and config.image_size == 24
    assert PMViTImageProcessor.from_pretrained(tmp_path / "out").size == {"height": 24, "width": 24}
    again = call("convert", "source", "out", "--num_labels", 2)
    assert again == (2, "", "pm-vit convert: out is not empty: give another folder, or --force to write into it.\n")


def test_pseudo_masks(call, model, source, tmp_path):
    words = ["--data", source, "--model", model, "--output_dir", "masked", "--max_samples", 8, "--device", "cpu"]
    done = call("pseudo-masks", *words)
    assert done.status == 0
    assert re.match(r"8 images: \d with a mask, \d in which no object was found, 0 with a score below 0\n", done.out)
    assert done.out.endswith("to train on: --data masked\n")
    assert len(load_split(str(tmp_path / "masked"), "train")) == 8
    assert not tells_where(tmp_path / "masked", source, model)
    for column in ("image_column", "label_column", "box_column"):
        wrong = call("pseudo-masks", *words, f"--{column}", "typo")
        assert wrong.status == 2 and f"pm-vit pseudo-masks: --{column}: {source}" in wrong.err


def test_compose_scenes(call, tmp_path):
    objects = synthetic_dataset("train", 12, image_size=32)
    single = objects.map(lambda row: {"mask": Image.fromarray(np.uint8(np.asarray(row["mask"]) == row["label"] + 1))})
    single.rename_column("label", "kind").to_parquet(tmp_path / "objects" / "train.parquet")
    objects.select_columns("image").to_parquet(tmp_path / "grounds" / "train.parquet")
    words = ["--objects", "objects", "--backgrounds", "grounds", "--num_scenes", 3, "--image_size", 48]
    words += ["--output_dir", "scenes", "--label_column", "kind"]
    done = call("compose-scenes", *words)
    assert (done.status, done.out) == (0, f"3 scenes: {tmp_path / 'scenes' / 'train.parquet'}\n")
    rows = load_split(str(tmp_path / "scenes"), "train")
    assert len(rows) == 3 and rows.features["label"].names == CLASSES
    assert rows[0]["image"].size == rows[0]["mask"].size == (48, 48)
    missing = call("compose-scenes", *words, "--split", "test")
    assert missing.status == 2 and "no split 'test'" in missing.err
    for column in ("image_column", "label_column", "mask_column"):
        wrong = call("compose-scenes", *words, f"--{column}", "typo")
        assert wrong.status == 2 and f"pm-vit compose-scenes: --{column}: " in wrong.err


@pytest.mark.parametrize("command", ["evaluate", "pseudo-masks", "compose-scenes"])
def test_commands_that_need_one_class_per_image_refuse_several_in_one_line(call, model, tmp_path, command):
    data = synthetic_dataset("train", 4, image_size=32)
    features = Features({**data.features, "label": List(data.features["label"])})
    data.map(lambda row: {"label": [row["label"]]}, features=features).to_parquet(tmp_path / "photos/train.parquet")
    words = {
        "evaluate": ["--model", model, "--data", "photos", "--split", "train"],
        "pseudo-masks": ["--model", model, "--data", "photos", "--output_dir", "masked"],
        "compose-scenes": ["--objects", "photos", "--backgrounds", "photos", "--output_dir", "scenes"],
    }
    done = call(command, *words[command], *(["--device", "cpu"] if command != "compose-scenes" else []))
    assert done.status == 2
    assert f"pm-vit {command}: " in done.err
    assert "'label' holds several labels per image, but this command needs one class per image" in done.err


def test_evaluate_refuses_a_model_of_several_labels_in_one_line(call, make_model, make_processor, tmp_path):
    make_model(problem_type="multi_label_classification").save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    done = call("evaluate", "--model", "model", "--device", "cpu")
    assert done.status == 2
    assert "pm-vit evaluate: model finds several classes in an image" in done.err


@pytest.mark.slow
def test_export(call, model, request):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    images = request.config.rootpath / "examples"
    done = call("export", model, "--output_dir", "onnx", "--precision", "fp32", "--images", images, "--max_samples", 2)
    assert done.status == 0
    assert f"{model} -> onnx, compared with PyTorch on 2 images" in done.out
    assert re.search(r"^\| fp32 .* 100\.00 % +\| 1\.0000 +\| yes +\|$", done.out, re.MULTILINE)
    explained = call("explain", "onnx", images / "scene.png", "--backend", "onnx", "--device", "cpu")
    assert explained.status == 0 and "1 images explained" in explained.out


def test_publish_without_uploading(call, model, request, monkeypatch):
    checked = {"keys": [], "explained": [{"label": "star", "score": 0.9, "box": None}]}
    monkeypatch.setattr("modeling_pm_vit.hub.publish.load_in_clean_environment", lambda *_: checked)  # 10 s
    example = request.config.rootpath / "examples" / "scene.png"
    words = ["user/name", "--tag", "v1.0", "--dataset", "the built-in images", "--license", "mit", "--dry_run"]
    words += ["--examples", example]
    done = call("publish", model, *words)
    assert done.status == 0
    assert "dry run: nothing was uploaded to user/name" in done.out
    wrong = call("publish", "nowhere", *words)
    assert wrong.status == 2 and "nowhere" in wrong.err.splitlines()[-1]


def test_prepare_imagenet_s(call, imagenet_folders, tmp_path):
    done = call("prepare-imagenet-s", *imagenet_folders, "--output_dir", "parquet", "--splits", "train", "--verify")
    assert (done.status, done.out) == (0, "1 shards in parquet\n")
    (shard,) = (tmp_path / "parquet").glob("*.parquet")
    shard.write_bytes(shard.read_bytes() + b"more")
    done = call("prepare-imagenet-s", *imagenet_folders, "--output_dir", "parquet", "--splits", "train", "--verify")
    assert done.status == 1 and f"broken: {shard.relative_to(tmp_path)}" in done.err
    done = call("prepare-imagenet-s", "nowhere", "nothing", "--output_dir", "x")
    assert done.status == 2 and "nowhere" in done.err.splitlines()[-1]


@pytest.mark.parametrize("command", ["explain", "evaluate", "export", "pseudo-masks", "train"])
def test_a_model_that_cannot_be_opened_is_one_line(call, command, source, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.json").write_text(json.dumps({"model_type": "pm_vit"}))
    (tmp_path / "swin").mkdir()
    (tmp_path / "swin" / "config.json").write_text(json.dumps({"model_type": "swin"}))
    (tmp_path / "photo.png").write_bytes(b"")
    expected = {
        "./nowhere": "there is no model folder ./nowhere.",
        "runs/nowhere": "there is no model folder runs/nowhere, and no model of this name from the Hub: ",
        "empty": "the folder empty has no config.json",
        "unfinished": "has a config.json, but no weights",
        "swin": "a model of the type 'swin', which cannot be a PM-ViT: it is hierarchical",
        "photo.png": "photo.png is a file: give the folder of the model.",
    }
    words = {
        "explain": lambda name: [name, "photo.png", "--device", "cpu"],
        "evaluate": lambda name: ["--model", name, "--device", "cpu"],
        "export": lambda name: [name, "--output_dir", "out"],
        "pseudo-masks": lambda name: ["--model", name, "--data", source, "--output_dir", "out", "--device", "cpu"],
        "train": lambda name: ["--model", name, "--use_cpu", "true", "--max_train_samples", 8, "--output_dir", "out"],
    }
    if command not in ("train", "pseudo-masks"):  # which train a classifier, or use none
        small = {"image_size": 32, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        ViTModel(ViTConfig(**small, intermediate_size=8)).save_pretrained(tmp_path / "features")
        expected["features"] = "do not fit its configuration: 2 missing (classifier.bias, classifier.weight)."
    if command == "explain":  # of two images
        del expected["photo.png"]
    for name, message in expected.items():
        done = call(command, *words[command](name))
        assert done.status == 2, name
        assert message in done.err.splitlines()[-1] and done.err.splitlines()[-1].startswith(f"pm-vit {command}: ")
