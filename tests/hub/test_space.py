"""The Space: its results, and the app in a browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from hub.space.explanation import Explainer
from tests.conftest import NAMES
from tests.hub.browser import CHROMIUM, open_page


@pytest.fixture(scope="module")
def folder(vivid_model, make_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    vivid_model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "photograph.png"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).resize((210, 150), Image.Resampling.BICUBIC).save(path)
    return path


def test_classes_and_map_are_those_of_the_model(folder, vivid_model, make_processor, photograph):
    found = Explainer(str(folder))(Image.open(photograph))
    expected = vivid_model.explain(photograph, top_k=5, image_processor=make_processor())
    assert [label for label, _ in found.top()] == expected["labels"]
    assert [score for _, score in found.top()] == pytest.approx(expected["scores"].tolist(), abs=1e-5)
    heatmap = expected["heatmaps"][0].numpy()
    plain, tinted = (
        np.asarray(found.overlay(expected["labels"][0], 1.0, opacity), np.float32) for opacity in (0.0, 1.0)
    )
    assert (plain == np.asarray(Image.open(photograph))).all()
    tint = plain + (np.array((213, 94, 0)) - plain) * heatmap[..., None]
    assert np.abs(tinted - tint).mean() < 1


@pytest.mark.parametrize("lacks", ["doubts", "predict"])
def test_models_whose_code_is_older_are_explained_without_what_it_lacks(folder, photograph, monkeypatch, lacks):
    explainer = Explainer(str(folder))
    expected = explainer(photograph)
    model = type(explainer.model)
    code = {"predict": model, "doubts": sys.modules[model.__module__].Prediction}
    monkeypatch.delattr(code[lacks], lacks)
    found = explainer(photograph)
    assert found.doubt is None
    assert np.allclose(found.scores, expected.scores, atol=1e-6)
    assert np.allclose(found.masks, expected.masks, atol=1e-6)


@pytest.mark.parametrize("x, y, row, column", [(0, 0, 0, 0), (209, 149, 3, 3), (60, 10, 0, 1), (-5, 500, 3, 0)])
def test_classes_at_a_place(folder, photograph, x, y, row, column):
    found = Explainer(str(folder))(Image.open(photograph))
    assert found.here(x, y) == pytest.approx(dict(zip(NAMES, found.masks[:, row, column], strict=True)))


def test_large_photograph_is_shown_smaller(folder):
    found = Explainer(str(folder))(Image.new("L", (2000, 1000), 90))
    assert found.image.size == (768, 384)
    assert found.overlay("owl", 0.5, 0.5).size == (768, 384)


@pytest.fixture
def app(folder, request, tmp_path):
    if not (CHROMIUM and find_spec("gradio") and find_spec("websockets")):
        pytest.skip("needs chromium, gradio and websockets")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    space = request.config.rootpath / "hub" / "space"
    settings = {"MODEL": str(folder), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    settings |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(tmp_path)}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, str(space / "app.py")], env=os.environ | settings, cwd=tmp_path, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(address).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
def test_app_in_a_browser(app, folder, photograph, tmp_path):
    expected = Explainer(str(folder))(Image.open(photograph))
    with open_page(app, 1200, 1000) as page:
        page.wait_for("document.querySelector('#photograph input[type=file]') !== null")
        page.wait_for("document.querySelector('img[src*=\"/cat.jpg\"]')?.naturalWidth > 0")  # an example photograph
        page.choose_file("#photograph input[type=file]", photograph)
        page.wait_for("document.querySelectorAll('#class label').length === 5")
        classes = page.run("[...document.querySelectorAll('#class label')].map(l => l.innerText.trim())")
        assert classes == [f"{label} {100 * score:.1f} %" for label, score in expected.top()]
        page.wait_for("document.querySelector('#picture img')?.complete")
        page.move_to("#picture img", 0.9, 0.1, press=True)
        here = expected.here(0.9 * 210, 0.1 * 150)
        best = max(here, key=here.get)
        text = page.wait_for(
            "document.querySelector('#here')?.innerText.includes('%') && document.querySelector('#here').innerText"
        )
        assert best in text
        assert f"{here[best]:.0%}" in text
        before = page.run("document.querySelector('#picture img').src")
        page.run("document.querySelectorAll('#class input')[1].click()")
        page.wait_for(f"document.querySelector('#picture img').src !== {before!r}")

        (tmp_path / "broken.png").write_bytes(photograph.read_bytes()[:500])
        page.run("document.querySelector('#photograph button[aria-label=\"Remove Image\"]').click()")
        page.wait_for("document.querySelectorAll('#class label').length === 0")
        page.choose_file("#photograph input[type=file]", tmp_path / "broken.png")
        # Not the name alone, which is shown while the file is uploaded.
        page.wait_for("document.body.innerText.includes('broken.png is not an image, or a corrupt one: ')")
        assert page.run("document.querySelectorAll('#class label').length") == 0
