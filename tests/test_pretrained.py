"""The checkpoint that ships, and the script that puts it into the package."""

import runpy

import pytest
import torch
from PIL import Image

from modeling_pm_vit import PRETRAINED, PMViTForImageClassification
from modeling_pm_vit.utils.pretrained import require_pretrained

has_checkpoint = pytest.mark.skipif(not PRETRAINED.is_dir(), reason="no checkpoint ships")


@pytest.fixture
def ship(request):
    return runpy.run_path(str(request.config.rootpath / "scripts" / "ship_pretrained.py"))["main"]


def test_a_shipped_checkpoint_is_half_as_large_and_computes_in_single_precision(
    ship, make_model, make_processor, tmp_path
):
    model = make_model(id2label=dict(enumerate(["cat", "dog", "elk"])))
    for saved in (model, make_processor()):
        saved.save_pretrained(tmp_path / "run")
    assert ship([str(tmp_path / "run"), "--training", "pm-vit train", "--output_dir", str(tmp_path / "shipped")]) == 0
    names = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    assert {path.name for path in (tmp_path / "shipped").iterdir()} == names
    sizes = [(tmp_path / folder / "model.safetensors").stat().st_size for folder in ("run", "shipped")]
    assert sizes[1] < 0.7 * sizes[0]
    shipped = PMViTForImageClassification.from_pretrained(require_pretrained(tmp_path / "shipped"))
    assert shipped.dtype == torch.float32
    image = Image.effect_noise((40, 50), 80)
    found, expected = shipped.explain(image, top_k=3), model.explain(image, image_processor=make_processor(), top_k=3)
    assert found["labels"] == expected["labels"]
    assert torch.allclose(found["heatmaps"], expected["heatmaps"], atol=1e-2)
    card = (tmp_path / "shipped" / "README.md").read_text()
    assert all(word in card for word in ("pm-vit train", "cat, dog, elk", "Research use only", "Bias"))


def test_a_model_that_is_too_large_does_not_ship(ship, make_model, make_processor, tmp_path, capsys, monkeypatch):
    for saved in (make_model(), make_processor()):
        saved.save_pretrained(tmp_path / "run")
    monkeypatch.setitem(ship.__globals__, "MOST_BYTES", 1000)
    assert ship([str(tmp_path / "run"), "--training", "x", "--output_dir", str(tmp_path / "shipped")]) == 2
    assert "MB in half precision, at most 12 ship" in capsys.readouterr().err
    assert not (tmp_path / "shipped").exists()


@has_checkpoint
@pytest.mark.parametrize(("file", "labels"), [("cat.jpg", {"tabby"}), ("coffee.jpg", {"espresso"})])
def test_the_checkpoint_knows_the_bundled_photographs(request, file, labels):
    assert sum(path.stat().st_size for path in PRETRAINED.iterdir()) < 12_500_000
    model = PMViTForImageClassification.from_pretrained(PRETRAINED)
    assert labels & set(model.explain(request.config.rootpath / "examples" / file, top_k=3)["labels"])
