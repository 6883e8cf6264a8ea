"""The snippets of the README run as printed."""

import re
import runpy
import shutil

import pytest

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.synthetic import CLASSES


@pytest.fixture
def place(tmp_path, monkeypatch, request):
    """A folder as `make demo` leaves it, but for an untrained model."""
    config = PMViTConfig(
        **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1},
        **{"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}},
    )
    PMViTForImageClassification(config).save_pretrained(tmp_path / "runs" / "demo")
    PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / "runs" / "demo")
    shutil.copytree(request.config.rootpath / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_snippets(place, request):
    text = (request.config.rootpath / "README.md").read_text()
    snippets = [s for s in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "google/" not in s]  # a download
    assert len(snippets) >= 3
    script = place / "snippets.py"
    script.write_text("\n".join(snippets))
    result = runpy.run_path(str(script))
    assert len(result["explanation"]["labels"]) == 2
    assert result["explanation"]["heatmaps"].shape == (2, 256, 256)
    assert result["found"]["mask"].size == (256, 256)
    assert result["outputs"].mask_logits.shape == (1, 3, 4, 4)


def test_the_files_and_commands_that_it_names_are_there(request):
    root = request.config.rootpath
    text = (root / "README.md").read_text()
    for path in re.findall(r"\b(?:scripts|configs|docs|examples)/[\w.-]+\.\w+", text):
        assert (root / path).is_file(), path
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in (root / "Makefile").read_text()
