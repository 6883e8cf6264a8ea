"""Classes that are recognised by something else than their object are named, with pictures."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit import PMViTConfig
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.evaluation.batch import read_batch
from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.evaluation.shortcuts.classes import summarize_classes
from modeling_pm_vit.evaluation.shortcuts.measure import ImageShares, measure_shares
from modeling_pm_vit.evaluation.shortcuts.report import class_table, findings_of

NAMES = ["lesion", "ruler"]


class Shortcut(torch.nn.Module):
    """Knows 'lesion' by the bright square in the middle, and 'ruler' by the mark in the upper left corner."""

    config = PMViTConfig(image_size=32, patch_size=8, id2label=dict(enumerate(NAMES)))

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixel_values, explain_labels=None, return_dict=True):
        patches = torch.nn.functional.avg_pool2d(pixel_values.mean(1, keepdim=True), 8)[:, 0]
        logits = torch.stack([patches[:, 2, 2] - 0.5, patches[:, 0, 0] - 0.2], 1)
        return SimpleNamespace(logits=logits, mask_logits=20 * patches[:, None] - 10)


def evidence(model, pixel_values, labels):
    maps = np.zeros((len(labels), 4, 4), np.float32)
    for row, label in enumerate(labels.tolist()):
        maps[row][(0, 0) if label else (2, 2)] = 1
    return maps


@pytest.fixture
def batch(make_processor):
    pixels = np.zeros((8, 32, 32, 3), np.uint8)
    pixels[:, 16:24, 16:24] = 255
    pixels[4:, :8, :8] = 255  # the mark
    pixels[3, 16:24, 16:24] = 60  # a lesion that is missed
    masks = np.zeros((32, 32), np.uint8)
    masks[16:24, 16:24] = 1
    rows = {
        "image": [Image.fromarray(image) for image in pixels],
        "label": [0] * 4 + [1] * 4,
        "mask": [Image.fromarray(masks)] * 7 + [None],
    }
    processor = make_processor(image_mean=[0] * 3, image_std=[1] * 3)
    return read_batch(rows, processor, "binary", Columns("image", "label", "mask", None))


def test_a_class_that_is_known_by_a_mark_is_named(batch):
    classifier = Classifier(Shortcut(), (0, 0, 0), (1, 1, 1))
    shares = measure_shares(classifier, evidence, batch)
    assert shares.right.tolist() == [1, 1, 1, 0, 1, 1, 1, 1]
    assert np.isnan(shares.map_off[7]) and shares.map_off[:7].max() < 0.6  # without a mask nothing is known
    assert shares.right_hidden[:3].tolist() == [0, 0, 0] and np.isnan(shares.right_hidden[[3, 7]]).all()
    assert shares.right_hidden[4:7].tolist() == [1, 1, 1]
    lesion, ruler = classes = summarize_classes(shares, NAMES, (32, 32))
    assert (lesion.images, lesion.findings) == (4, [])
    assert lesion.values["right"][0] == 0.75 and lesion.values["evidence_off"][0] < 0.2
    off, hidden, border = ruler.findings
    assert "of the evidence is off the object" in off and "in the border zone" in border
    assert hidden == "100 % of the right answers stay right with the object hidden"
    assert findings_of(classes) == [f"ruler: {off}; {hidden}; {border}."]
    assert findings_of([lesion])[0].startswith("No class is recognised by more than its object")
    assert [row[0] for row in class_table(classes)] == ["class", *NAMES]


def test_an_even_map_is_no_finding():
    """And neither is one that differs by chance."""
    rng = np.random.default_rng(0)
    area = rng.uniform(0.5, 0.9, 40)
    noisy = (area + rng.normal(0, 0.1, 40)).clip(0, 1)
    zone = 1 - 0.8**2
    shares = ImageShares(np.zeros(40, int), np.ones(40), area, noisy, area, *[np.full(40, zone)] * 2, np.arange(40) % 2)
    (found,) = summarize_classes(shares, ["a"], (100, 100))
    assert found.findings == []


def test_the_command(make_model, make_processor, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_model(id2label=dict(enumerate(CLASSES))).save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    assert main(["shortcuts", "model", "--max_samples", "12", "--examples", "2", "--device", "cpu"]) == 0
    folder = tmp_path / "runs" / "shortcuts" / "model"
    printed = capsys.readouterr().out
    assert str(folder / "index.html") in printed and "evidence off the object" in printed
    classes = json.loads((folder / "shortcuts.json").read_text("utf-8"))["classes"]
    assert sum(found["images"] for found in classes) == 12
    assert all(0 <= found["values"]["map_off"][0] <= 1 for found in classes)
    for number in range(len(classes)):
        assert Image.open(folder / f"class-{number}.png").width > 600
        assert f"class-{number}.png" in (folder / "report.md").read_text("utf-8")


def test_images_without_masks_are_checked_at_the_border(make_model, make_processor, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_model(id2label=dict(enumerate(NAMES))).save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=NAMES)})
    images = [Image.new("RGB", (32, 32), (40 * number, 0, 0)) for number in range(4)]
    Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features).to_parquet(tmp_path / "photos/test.parquet")
    words = ["--data", "photos", "--mask_column", "none", "--explainer", "grad-cam", "--device", "cpu"]
    assert main(["shortcuts", "model", *words]) == 0
    classes = json.loads((tmp_path / "runs/shortcuts/model/shortcuts.json").read_text("utf-8"))["classes"]
    assert all(found["values"]["map_off"] is None for found in classes)
    assert all(0 <= found["values"]["map_border"][0] <= 1 for found in classes)
