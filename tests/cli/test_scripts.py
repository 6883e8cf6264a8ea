"""What `make demo` and `make demo-train` run, at a size that takes seconds."""

import json
import runpy
import shutil
import sys

import pytest
from PIL import Image


def test_a_script_is_the_command(request, tmp_path, monkeypatch, capsys):
    """As launchers start it."""
    script = str(request.config.rootpath / "scripts" / "train.py")
    monkeypatch.setattr(sys, "argv", [script, "--data", str(tmp_path / "nowhere"), "--use_cpu", "true"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"pm-vit train: there is no folder {tmp_path / 'nowhere'}."


def test_the_demo(request, model, tmp_path, capsys):
    pytest.importorskip("pytorch_grad_cam")
    demo = runpy.run_path(str(request.config.rootpath / "scripts" / "demo.py"))["main"]
    out, picture = tmp_path / "out", tmp_path / "picture.jpg"
    assert demo([model, "--output_dir", str(out), "--picture", str(picture)]) == 0
    assert (out / "index.html").as_uri() in capsys.readouterr().out
    page = (out / "index.html").read_text()
    assert all(f"pictures/{path.name}" in page for path in (out / "pictures").iterdir())
    # three photographs with overlay and rollout, and two classes with PM-ViT, Grad-CAM and patch logits
    assert len(list((out / "pictures").iterdir())) == 3 * (3 + 2 * 3)
    assert Image.open(picture).width > 3 * 352
    assert demo([str(tmp_path / "nowhere"), "--output_dir", str(out)]) == 2
    assert "demo.py: there is no model folder" in capsys.readouterr().err


def test_the_demo_of_training(request, model, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "run")
    demo = runpy.run_path(str(request.config.rootpath / "scripts" / "demo_train.py"))["main"]
    assert demo([str(tmp_path / "run"), "--max_samples", "40"]) == 1  # an untrained model does not reach the goals
    printed = capsys.readouterr()
    assert "goals missed: accuracy" in printed.err
    report = tmp_path / "run" / "report"
    assert str(report / "index.html") in printed.out
    assert set(json.loads((report / "values.json").read_text())) == {"accuracy", "mask IoU"}
    assert Image.open(report / "explanations.png").width > 500
    assert "explanations.png" in (report / "index.html").read_text()
