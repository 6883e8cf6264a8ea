"""The page of hub/web in a browser."""

import json
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import NAMES
from tests.hub.browser import CHROMIUM, file_server, open_page

pytest.importorskip("websockets")

pytestmark = pytest.mark.slow  # builds the page, starts Chromium
MINUTES = 600  # seconds: a GPU in software compiles its programs for long on a busy machine


@pytest.fixture(scope="module")
def web(request):
    folder = request.config.rootpath / "hub" / "web"
    if not (CHROMIUM and shutil.which("node") and (folder / "node_modules").is_dir()):
        pytest.skip("needs chromium, node and `npm install` in hub/web")
    return folder


@pytest.fixture(scope="module")
def model(vivid_model):
    return vivid_model


@pytest.fixture(scope="module")
def site(web, model, export_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    build = ["node", str(web / "build.mjs"), str(export_once(model)), str(folder / "site")]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).resize((210, 150), Image.Resampling.BICUBIC).save(folder / "site" / "photograph.png")
    shutil.copy(folder / "site" / "model" / "model.json", folder / "site")
    with file_server(folder / "site") as address:
        yield address, folder / "site"


DROP = """(async () => {
  const blob = await (await fetch("photograph.png")).blob();
  const files = new DataTransfer();
  files.items.add(new File([blob], "photograph.png", {type: "image/png"}));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true}));
})()"""
ROWS = "[...document.querySelectorAll('#place tr')].map(r => [...r.cells].map(c => c.textContent))"
EXPLAINED = "document.body.dataset.state === 'explained'"
CLASSES = "[...document.querySelectorAll('#classes button')].map(b => [b.dataset.label, Number(b.dataset.score)])"


def classes_at(model, processor, image, row, column):
    pixel_values = processor(image, return_tensors="pt").pixel_values
    with torch.no_grad():
        masks = model(pixel_values, explain_labels=torch.arange(5)[None]).mask_logits.sigmoid()
    return dict(zip(NAMES, masks[0, :, row, column].tolist(), strict=True))


def classes_of(rows):
    return {name: float(text.split()[0]) / 100 for name, text in rows}


@contextmanager
def explained_page(site, phone=False):
    address, folder = site
    (folder / "model" / "model.json").write_text((folder / "model.json").read_text())
    with open_page(f"{address}/?precision=fp32") as page:
        if phone:
            page.be_a_phone()
        page.wait_for("document.body.dataset.state === 'ready'")
        page.choose_file("#file", folder / "photograph.png")
        page.wait_for(EXPLAINED)
        yield page
        assert page.errors == []


def test_a_tap_reports_the_classes_at_its_place(site, model, make_processor):
    image = Image.open(site[1] / "photograph.png")
    with explained_page(site, phone=True) as page:
        assert page.run("document.documentElement.scrollWidth") <= 360
        assert page.run("document.getElementById('here').hidden")
        page.tap("#canvas", 0.1, 0.9)
        page.wait_for("!document.getElementById('here').hidden")
        expected = classes_at(model, make_processor(), image, row=3, column=0)
        assert classes_of(page.run(ROWS)) == pytest.approx(expected, abs=2e-3)
        below = "document.getElementById('place').getBoundingClientRect().bottom"
        assert page.run(below) <= page.run("innerHeight")  # next to the photograph, not below the page


def test_the_canvas_is_used_with_the_keyboard(site, model, make_processor):
    image = Image.open(site[1] / "photograph.png")
    spoken = "document.getElementById('spoken').textContent"
    with explained_page(site) as page:
        for _ in range(4):
            page.press("Tab")
            if page.run("document.activeElement.id") == "canvas":
                break
        assert page.run("document.activeElement.id") == "canvas"
        assert page.run(spoken).startswith("Row 3 of 4, column 3 of 4: ")
        scrolled = page.run("scrollY")
        for keys, row, column in [
            (["ArrowUp"], 1, 2),
            (["ArrowRight", "ArrowRight", "ArrowRight"], 1, 3),
            (["Home", "ArrowDown"], 2, 0),
            (["End"], 2, 3),
        ]:
            for key in keys:
                page.press(key)
            expected = classes_at(model, make_processor(), image, row, column)
            assert classes_of(page.run(ROWS)) == pytest.approx(expected, abs=2e-3)
            best = max(expected, key=expected.get)
            assert page.run(spoken).startswith(f"Row {row + 1} of 4, column {column + 1} of 4: {best} ")
        assert page.run("scrollY") == scrolled
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        (canvas,) = [node for node in nodes if node["role"]["value"] == "application"]
        assert canvas["name"]["value"].endswith("% of the picture")
        assert "arrow keys" in canvas["description"]["value"]


def test_a_file_that_comes_before_the_model_is_explained_after_it(site):
    hold = "const held = new Promise(go => window.release = go), get = fetch;"
    hold += "window.fetch = async (...what) => (String(what[0]).includes('model') && await held, get(...what));"
    with open_page(site[0]) as page:
        page.call("Page.enable")
        page.call("Page.addScriptToEvaluateOnNewDocument", source=hold)
        page.call("Page.reload")
        page.wait_for("'release' in window && document.readyState === 'complete'")
        page.run(DROP)
        assert page.run("document.getElementById('status').textContent") == "Loading the model, then photograph.png …"
        page.run("release()")
        page.wait_for(EXPLAINED)
        assert not page.errors


def test_two_files_at_once_are_explained_one_after_the_other(site):
    with explained_page(site) as page:
        page.run(f"{DROP}; {DROP}")
        page.wait_for("document.body.dataset.state === 'working'")
        page.wait_for(EXPLAINED)
        assert len(page.run(CLASSES)) == 5


def test_a_precision_that_was_not_exported_is_named(site):
    address, _ = site
    with open_page(f"{address}/?precision=int4") as page:
        page.wait_for("document.body.dataset.state === 'failed'")
        status = page.run("document.getElementById('status').textContent")
        assert "int4 is not among its precisions: fp16, fp32, int8" in status


def test_page_prefers_a_graph_that_is_not_int8(site):
    address, folder = site
    description = json.loads((folder / "model.json").read_text())
    files = {name: description["files"][name] for name in ("int8", "fp32")}
    (folder / "model" / "model.json").write_text(json.dumps(description | {"files": files}))
    with open_page(address) as page:
        page.wait_for("document.body.dataset.state === 'ready'")
        assert "model.onnx" in page.run("document.getElementById('status').textContent")


@pytest.mark.parametrize("precision, resample, tolerance", [("fp32", 2, 1e-3), ("fp32", 3, 1e-3), ("int8", 2, 0.08)])
def test_dropped_photograph_is_explained(site, model, make_processor, precision, resample, tolerance):
    address, folder = site
    description = json.loads((folder / "model.json").read_text())
    (folder / "model" / "model.json").write_text(json.dumps(description | {"resample": resample}))
    image = Image.open(folder / "photograph.png")
    processor = make_processor(resample=resample)
    expected = model.explain(image, top_k=5, image_processor=processor)
    scores = dict(zip(expected["labels"], expected["scores"].tolist(), strict=True))
    with open_page(f"{address}/?precision={precision}") as page:
        page.wait_for("document.body.dataset.state === 'ready'")
        page.run(DROP)
        page.wait_for(EXPLAINED)
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
        expected_here = classes_at(model, processor, image, row=0, column=3)
        assert classes_of(page.run(ROWS)) == pytest.approx(expected_here, abs=tolerance + 1e-3)
        assert page.errors == []


# The probabilities at all patches, as the page shows them.
EVERYWHERE = """[...Array(16).keys()].map((number) => {
  const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
  const [across, down] = [(number % 4 + .5) / 4, ((number >> 2) + .5) / 4];
  const [clientX, clientY] = [box.left + box.width * across, box.top + box.height * down];
  canvas.dispatchEvent(new PointerEvent("pointerdown", {clientX, clientY}));
  return [...document.querySelectorAll("#place tr")].map((row) => [...row.cells].map((cell) => cell.textContent));
})"""
FEATURES = (
    "(async () => { const found = await navigator.gpu?.requestAdapter(); return found && [...found.features]; })()"
)


def test_the_gpu_gives_the_maps_of_the_model(site, model, make_processor):
    address, folder = site
    (folder / "model" / "model.json").write_text((folder / "model.json").read_text())
    image, processor = Image.open(folder / "photograph.png"), make_processor()
    with open_page(address, gpu=True) as page:
        features = page.run(FEATURES)
        if features is None:
            pytest.skip("the browser has no WebGPU adapter")
        page.wait_for("document.body.dataset.state === 'ready'", MINUTES)
        page.choose_file("#file", folder / "photograph.png")
        page.wait_for(EXPLAINED, MINUTES)
        file = "model_fp16.onnx" if "shader-f16" in features else "model.onnx"
        assert f"{file} on the GPU" in page.run("document.getElementById('status').textContent")
        expected = model.explain(image, top_k=5, image_processor=processor)
        scores = dict(zip(expected["labels"], expected["scores"].tolist(), strict=True))
        assert dict(page.run(CLASSES)) == pytest.approx(scores, abs=1e-2)
        for number, rows in enumerate(page.run(EVERYWHERE)):
            expected_here = classes_at(model, processor, image, *divmod(number, 4))
            assert classes_of(rows) == pytest.approx(expected_here, abs=1e-2)
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
        page.wait_for(EXPLAINED)


def test_file_that_is_not_an_image_leaves_no_classes_of_the_one_before(site, tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    with explained_page(site) as page:
        page.move_to("#canvas", 0.5, 0.5)
        page.choose_file("#file", tmp_path / "notes.png")
        page.wait_for("document.body.dataset.state === 'failed'")
        assert page.run(CLASSES) == page.run(ROWS) == []
        assert page.run("document.getElementById('canvas').hidden && document.getElementById('here').hidden")


def test_page_loads_nothing_from_other_servers(site):
    _, folder = site
    description = json.loads((folder / "model" / "model.json").read_text())
    assert all((folder / "model" / name).is_file() for name in description["files"].values())
    for name in ("index.html", "style.css"):
        assert "//" not in (folder / name).read_text()
