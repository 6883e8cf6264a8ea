"""The commands of `make demo`, at a size that takes seconds."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.data.sources import load_split
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset


@pytest.fixture
def call(request, tmp_path):
    def run(script: str, *arguments) -> subprocess.CompletedProcess:
        command = [sys.executable, str(request.config.rootpath / "scripts" / script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    return run


def test_train_and_report(call, request, tmp_path):
    flags = "--max_train_samples 64 --max_eval_samples 20 --num_train_epochs 1 --hidden_size 32 --num_hidden_layers 1"
    flags += f" --use_cpu true --output_dir {tmp_path / 'run'}"
    flags += " --dataloader_num_workers 0 --dataloader_persistent_workers false"
    trained = call("train.py", request.config.rootpath / "configs" / "demo.yaml", *flags.split())
    assert trained.returncode == 0, trained.stderr
    assert "64 training images; 3.1% of an epoch with a mask" in trained.stdout
    assert "accuracy" in trained.stdout

    judged = call("demo.py", tmp_path / "run", "--images", 40)
    assert judged.returncode == 1, judged.stderr  # a model that has learned nothing does not reach the goals
    assert "goals missed: accuracy" in judged.stderr
    report = tmp_path / "run" / "report"
    assert str(report / "index.html") in judged.stdout
    assert set(json.loads((report / "figures.json").read_text())) == {"accuracy", "mask IoU"}
    assert Image.open(report / "explanations.png").width > 500
    assert "explanations.png" in (report / "index.html").read_text()


def test_a_wrong_call_is_one_line(call, tmp_path):
    done = call("train.py", "--data", tmp_path / "nowhere", "--use_cpu", "true")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"pm-vit train: there is no folder {tmp_path / 'nowhere'}."
    assert "Traceback" not in done.stderr


def test_export(call, request, tmp_path, make_model, make_processor):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    make_model().save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    images = request.config.rootpath / "examples"
    done = call("export.py", tmp_path / "model", tmp_path / "onnx", "--precision", "fp32", "--images", images)
    assert done.returncode == 0, done.stderr
    assert "compared with PyTorch on 3 images" in done.stdout
    assert re.search(r"^fp32 .* 100.00% +1.0000$", done.stdout, re.MULTILINE)
    assert (tmp_path / "onnx" / "example.py").is_file()


def test_scenes_are_composed(call, tmp_path):
    objects = synthetic_dataset("train", 12, image_size=32)
    single = objects.map(lambda row: {"mask": Image.fromarray(np.uint8(np.asarray(row["mask"]) == row["label"] + 1))})
    single.to_parquet(tmp_path / "objects" / "train.parquet")
    objects.select_columns("image").to_parquet(tmp_path / "grounds" / "train.parquet")
    flags = ["--objects", "objects", "--backgrounds", "grounds", "--count", 3, "--size", 48, "--output", "scenes"]
    done = call("compose_scenes.py", *flags)
    assert done.returncode == 0, done.stderr
    rows = load_split(str(tmp_path / "scenes"), "train")
    assert len(rows) == 3 and rows.features["label"].names == CLASSES
    assert rows[0]["image"].size == rows[0]["mask"].size == (48, 48)
    missing = call("compose_scenes.py", *flags, "--split", "test")
    assert missing.returncode == 2 and "no split 'test'" in missing.stderr
