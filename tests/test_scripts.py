"""The scripts of `make demo`, and whole commands, at a size that takes seconds."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.sources import load_split
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset


@pytest.mark.slow
def test_demo_trains_and_reports(request, tmp_path):
    def call(script: str, *arguments) -> subprocess.CompletedProcess:
        command = [sys.executable, str(request.config.rootpath / "scripts" / script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    flags = "--max_train_samples 64 --max_eval_samples 20 --num_train_epochs 1 --hidden_size 32 --num_hidden_layers 1"
    flags += f" --use_cpu true --output_dir {tmp_path / 'run'} --dataloader_num_workers 0"
    flags += " --dataloader_persistent_workers false"
    trained = call("train.py", request.config.rootpath / "configs" / "demo.yaml", *flags.split())
    assert trained.returncode == 0, trained.stderr
    assert "64 training images" in trained.stdout
    assert "accuracy" in trained.stdout

    report = call("demo.py", tmp_path / "run", "--max_samples", 40)
    assert report.returncode == 1, report.stderr  # a model that has learned nothing misses the goals
    assert "goals missed: accuracy" in report.stderr
    folder = tmp_path / "run" / "report"
    assert str(folder / "index.html") in report.stdout
    assert set(json.loads((folder / "values.json").read_text())) == {"accuracy", "mask IoU"}
    assert Image.open(folder / "explanations.png").width > 500
    assert "explanations.png" in (folder / "index.html").read_text()


def test_wrong_call_is_one_line(tmp_path, capsys):
    assert main(["train", "--data", str(tmp_path / "nowhere"), "--use_cpu", "true"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"pm-vit train: there is no folder {tmp_path / 'nowhere'}."]


@pytest.mark.slow
def test_export(request, tmp_path, make_model, make_processor, capsys):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    model, output = tmp_path / "model", tmp_path / "onnx"
    make_model().save_pretrained(model)
    make_processor().save_pretrained(model)
    images = request.config.rootpath / "examples"
    words = ["export", model, "--output_dir", output, "--precision", "fp32", "--images", images]
    assert main(list(map(str, words))) == 0
    printed = capsys.readouterr().out
    assert "compared with PyTorch on 3 images" in printed
    assert re.search(r"^fp32 .* 100\.00 ?% +1\.0000$", printed, re.MULTILINE)
    assert (output / "example.py").is_file()


def test_scenes_are_composed(tmp_path, capsys):
    objects = synthetic_dataset("train", 12, image_size=32)
    single = objects.map(lambda row: {"mask": Image.fromarray(np.uint8(np.asarray(row["mask"]) == row["label"] + 1))})
    single.to_parquet(tmp_path / "objects" / "train.parquet")
    objects.select_columns("image").to_parquet(tmp_path / "grounds" / "train.parquet")
    words = ["compose-scenes", "--objects", tmp_path / "objects", "--backgrounds", tmp_path / "grounds"]
    words = list(map(str, [*words, "--num_scenes", 3, "--image_size", 48, "--output_dir", tmp_path / "scenes"]))
    assert main(words) == 0
    rows = load_split(str(tmp_path / "scenes"), "train")
    assert len(rows) == 3 and rows.features["label"].names == CLASSES
    assert rows[0]["image"].size == rows[0]["mask"].size == (48, 48)
    capsys.readouterr()
    assert main([*words, "--split", "test"]) == 2
    assert "no split 'test'" in capsys.readouterr().err
