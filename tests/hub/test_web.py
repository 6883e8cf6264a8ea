"""The page of hub/web in a browser."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from tests.hub.browser import CHROMIUM, file_server, open_page

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytest.importorskip("websockets")

from modeling_pm_vit.export import export_folder

pytestmark = pytest.mark.slow  # builds the page, starts Chromium
NAMES = ["tit", "owl", "hen", "elk", "cod"]


@pytest.fixture(scope="module")
def web(request):
    folder = request.config.rootpath / "hub" / "web"
    if not (CHROMIUM and shutil.which("node") and (folder / "node_modules").is_dir()):
        pytest.skip("needs chromium, node and `npm install` in hub/web")
    return folder


@pytest.fixture(scope="module")
def model(make_model):
    model = make_model(id2label=dict(enumerate(NAMES)))
    with torch.no_grad():
        model.classifier.weight *= 20  # so that the scores of classes and places differ clearly
    return model


@pytest.fixture(scope="module")
def site(web, model, make_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    export_folder(model, make_processor(), folder / "onnx", [Image.new("RGB", (40, 40))], least={})
    build = ["node", str(web / "build.mjs"), str(folder / "onnx"), str(folder / "site")]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).resize((210, 150), Image.Resampling.BICUBIC).save(folder / "site" / "photograph.png")
    with file_server(folder / "site") as address:
        yield address, folder / "site"


DROP = """(async () => {
  const blob = await (await fetch("photograph.png")).blob();
  const files = new DataTransfer();
  files.items.add(new File([blob], "photograph.png", {type: "image/png"}));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true}));
})()"""
CLASSES = "[...document.querySelectorAll('#classes button')].map(b => [b.dataset.label, Number(b.dataset.score)])"


@pytest.mark.parametrize("precision, resample, tolerance", [("fp32", 2, 1e-3), ("fp32", 3, 1e-3), ("int8", 2, 0.08)])
def test_dropped_photograph_is_explained(site, model, make_processor, precision, resample, tolerance):
    address, folder = site
    description = json.loads((folder / "model" / "model.json").read_text())
    (folder / "model" / "model.json").write_text(json.dumps(description | {"resample": resample}))
    image = Image.open(folder / "photograph.png")
    processor = make_processor(resample=resample)
    expected = model.explain(image, top_k=5, image_processor=processor)
    scores = dict(zip(expected["labels"], expected["scores"].tolist(), strict=True))
    with open_page(f"{address}/?precision={precision}") as page:
        page.wait_for("document.body.dataset.state === 'ready'")
        page.run(DROP)
        page.wait_for("document.body.dataset.state === 'explained'")
        found = page.run(CLASSES)
        assert len(found) == 5
        assert dict(found) == pytest.approx(scores, abs=tolerance)

        label = found[0][0]
        covered = float(page.run("document.getElementById('canvas').dataset.covered"))
        mask = expected["heatmaps"][expected["labels"].index(label)] >= 0.5
        assert covered == pytest.approx(mask.float().mean().item(), abs=max(0.01, tolerance))
        slider = "Object.assign(document.getElementById('threshold'), {value: .95}).dispatchEvent(new Event('input'))"
        page.run(slider)
        assert float(page.run("document.getElementById('canvas').dataset.covered")) <= covered

        page.move_to("#canvas", 0.9, 0.1)  # the upper right of 4 x 4 patches
        rows = "[...document.querySelectorAll('#place tr')].map(r => [...r.cells].map(c => c.textContent))"
        here = {name: float(text.split()[0]) / 100 for name, text in page.run(rows)}
        pixel_values = processor(image, return_tensors="pt").pixel_values
        with torch.no_grad():
            masks = model(pixel_values, explain_labels=torch.arange(5)[None]).mask_logits.sigmoid()[0, :, 0, 3]
        assert here == pytest.approx(dict(zip(NAMES, masks.tolist(), strict=True)), abs=tolerance + 1e-3)
        assert page.errors == []


def test_file_that_is_not_an_image_is_reported_and_the_next_is_shown(site, tmp_path):
    address, folder = site
    (tmp_path / "notes.png").write_text("no image")
    with open_page(address) as page:
        page.wait_for("document.body.dataset.state === 'ready'")
        page.choose_file("#file", tmp_path / "notes.png")
        page.wait_for("document.body.dataset.state === 'failed'")
        assert "notes.png is not an image" in page.run("document.getElementById('status').textContent")
        page.choose_file("#file", folder / "photograph.png")
        page.wait_for("document.body.dataset.state === 'explained'")


def test_page_loads_nothing_from_other_servers(site):
    _, folder = site
    description = json.loads((folder / "model" / "model.json").read_text())
    assert all((folder / "model" / name).is_file() for name in description["files"].values())
    for name in ("index.html", "style.css"):
        assert "//" not in (folder / name).read_text()
